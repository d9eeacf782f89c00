"""The study that all rules ask, and the inputs of the rules."""

import logging
import re
import shlex
import sys
from functools import partial
from pathlib import Path

from gta.errors import GtaError
from gta.study import Study
from gta.workflow.configs import study_of
from gta.workflow.outdated import (
    mark_of_choice,
    mark_of_collected,
    mark_of_pack,
    mark_outdated,
)


def read_study():
    """The study of the configs, or, in a job on a node, as the main process has written it."""
    if workflow.is_main_process:
        return study_of(workflow.configfiles, workflow.config_settings.config)
    return Study.load([Path("results", config["study"], "config.yaml")])


# On a full disk, each line of Snakemake's own log would print a traceback; the error is one line.
logging.raiseExceptions = False

try:
    study = read_study()
    if workflow.is_main_process:
        mark_outdated(study)
except GtaError as error:
    sys.exit(f"error: {error}")

if {"{", "}"} & set(f"{study.store_root}"):
    sys.exit(
        f"error: GTA_STORE: {study.store_root}: Snakemake takes braces for wildcards; give the "
        "folder another name, or a link to it"
    )

# Jobs find `gta` next to the Python that runs Snakemake, also where no environment is activated.
shell.prefix(f"export PATH=$PATH:{shlex.quote(str(Path(sys.executable).parent))}; ")

# Every job reads this file, which the Snakefile writes before the first one. It is not an input:
# rewriting it re-runs nothing. What must re-run a job is among the job's own params.
CONFIG = study.folder / "config.yaml"
CHOSEN = study.folder / "chosen.json"
METRICS = study.folder / "metrics.parquet"
# Of the study that stands in tables in place of the paper.
OTHER = study.reference_study
OTHER_METRICS = [] if OTHER is None else [OTHER / "metrics.parquet"]
INTERVALS = study.folder / "intervals.parquet"
MASKS = study.folder / "segmentation.parquet"
ROBUSTNESS = study.folder / "robustness.parquet"
AVERAGES = study.folder / "averages.parquet"
BACKDOOR = study.folder / "backdoor.parquet"
LOGS = study.folder / "logs"
# The dataset whose masks table 4 and figure 3 take, where it is not each dataset itself.
MASKS_OF = study.config.segmentation.dataset
DATASETS = list(
    dict.fromkeys([*study.config.datasets, *([MASKS_OF] if MASKS_OF else [])])
)
# Datasets whose archives are fetched, or checked where they were placed by hand.
FETCHED = [dataset for dataset in DATASETS if study.dataset_info(dataset).forms]
TABLE_FORMATS = ["csv", "md", "tex", "html"]
FIGURE_FORMATS = ["pdf", "svg", "png", "csv"]


# Datasets and sources that are made from the user's own files.
FROM_FILES = [
    name
    for name in DATASETS
    if name in study.config.own_datasets
    or (study.dataset_info(name).folder and study.placed_folder(name).is_dir())
]
FROM_FILE = [
    name for name in study.config.sources.values() if name in study.config.own_sources
]


def recorded_states():
    """Files whose times tell when the user's files of datasets and sources changed."""
    if not FROM_FILES and not FROM_FILE:
        return {}, {}
    from gta.data import contents  # slow to import, and most studies have no such files
    from gta.models import originals

    try:
        return (
            {name: contents.note_seen(study, name) for name in FROM_FILES},
            {name: originals.note_seen(study, name) for name in FROM_FILE},
        )
    except GtaError as error:
        sys.exit(f"error: {error}")


FILES_OF_DATASET, FILE_OF_SOURCE = recorded_states()


def after_choice(runs_in):
    """The metrics of some runs, as the input of a rule; with `tune`, when lambda is chosen.

    The study is then read again, with the runs that follow from the choice.
    """

    def parts(wildcards):
        checkpoints.choose.get()
        now = read_study()
        return [now.run_files(run).metrics for run in runs_in(now)]

    if study.tuning is None:
        return [study.run_files(run).metrics for run in runs_in(study)]
    return parts


def one_of(values):
    """A wildcard constraint that admits these values alone."""
    return "|".join(map(re.escape, sorted(values))) or "(?!)"


def store_of(dataset):
    """The prepared dataset."""
    return study.store(dataset) / "store.json"


def stores_of(runs):
    """The prepared datasets of some runs, in the order of the config."""
    used = {run.dataset for run in runs}
    return [store_of(dataset) for dataset in study.config.datasets if dataset in used]


def weights_of(runs):
    """The prepared sources of some runs."""
    return sorted(study.weights(source) for source in {run.source for run in runs})


def runs_of(names, study=study):
    """The runs of some tables and figures, sorted."""
    return sorted(frozenset().union(*map(study.runs_of, names)))


def runs_of_kind(kind, study=study):
    """The runs of all tables and figures of a kind, sorted."""
    named = [name for name, spec in study.specs.items() if spec.kind == kind]
    return runs_of(named, study)


def archives_of(wildcards):
    """The record of a dataset's archives, where it comes from archives."""
    if wildcards.dataset not in FETCHED:
        return []
    return study.store_root / "archives" / f"{wildcards.dataset}.json"


def files_of(wildcards):
    """The recorded state of the user's files that a dataset is made from."""
    return FILES_OF_DATASET.get(wildcards.dataset) or []


def file_of(wildcards):
    """The recorded state of the file that a source is made from."""
    return FILE_OF_SOURCE.get(wildcards.source) or []


def training_inputs(wildcards):
    """The datasets that a pack trains on and the sources that it starts from."""
    pack = study.pack(wildcards)
    return [
        *stores_of(pack.runs),
        *weights_of(pack.runs),
        *mark_of_pack(study, pack),
        # runs of other jobs whose heads those of this one start from
        *(study.run_files(run).metrics for run in study.heads_of(pack)),
    ]


def digests_of(wildcards):
    """Parameters that decide a pack's numbers; a change re-runs it."""
    return [study.digest(run) for run in study.pack(wildcards).runs]


def mask_stores(runs):
    """The prepared datasets whose masks and images stand for some runs."""
    return [store_of(MASKS_OF)] if MASKS_OF else stores_of(runs)


def inputs_of(names):
    """Inputs of some tables or figures, as their kinds declare."""
    found = {}
    for name in names:
        runs = runs_of([name])
        inputs = {
            "metrics": [METRICS, *OTHER_METRICS],
            "intervals": [INTERVALS],
            "segmentation": [MASKS],
            "robustness": [ROBUSTNESS],
            "averages": [AVERAGES],
            "backdoor": [BACKDOOR],
            "source": weights_of(runs),
            "stores": stores_of(runs or study.runs),
            "masks": mask_stores(runs or study.runs),
        }
        for which in study.kind(name).inputs:
            found |= dict.fromkeys(inputs[which])
    return list(found)


def by_last_input(names):
    """Tables or figures by the input that is made last: their jobs begin with it."""
    groups = {}
    for name in names:
        inputs = study.kind(name).inputs
        last = "datasets"
        if "metrics" in inputs or "intervals" in inputs:
            last = "metrics"
        if "segmentation" in inputs or (MASKS_OF and "masks" in inputs):
            last = "masks"
        if "robustness" in inputs:
            last = "robustness"
        if "averages" in inputs:
            last = "averages"
        if "backdoor" in inputs:
            last = "backdoor"
        groups.setdefault(last, []).append(name)
    return groups


TABLES_OF = by_last_input(study.tables)
FIGURES_OF = by_last_input(study.figures)


def final_outputs():
    """All that `snakemake` makes of a study."""
    return [
        *([CHOSEN] if study.tuning is not None else []),
        METRICS,
        *expand(
            study.folder / "tables" / "{table}.{format}",
            table=study.tables,
            format=TABLE_FORMATS,
        ),
        *expand(
            study.folder / "figures" / "{figure}.{format}",
            figure=study.figures,
            format=FIGURE_FORMATS,
        ),
        study.folder / "index.html",
    ]
