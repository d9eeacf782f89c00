"""The study that all rules ask, and what their inputs are."""

import shlex
import sys
from pathlib import Path

from gta.errors import GtaError
from gta.study import Study

try:
    study = Study.of_workflow(config, workflow.configfiles)
except GtaError as error:
    sys.exit(f"error: {error}")

if {"{", "}"} & set(f"{study.store_root}"):
    sys.exit(
        f"error: GTA_STORE: {study.store_root}: Snakemake takes braces for wildcards; give the "
        "folder another name, or a link to it"
    )

# Jobs find `gta` beside the Python that runs Snakemake, also where nothing is activated.
shell.prefix(f"export PATH=$PATH:{shlex.quote(str(Path(sys.executable).parent))}; ")

# Every job reads this file, which the Snakefile writes before the first one. It is no input:
# that it is rewritten re-runs nothing; what must re-run a job stands in the job's own params.
CONFIG = study.folder / "config.yaml"
METRICS = study.folder / "metrics.parquet"
INTERVALS = study.folder / "intervals.parquet"
LOGS = study.folder / "logs"
# The data set whose masks table 4 and figure 3 take, where it is not each data set itself.
MASKS = study.config.segmentation.dataset
DATASETS = list(dict.fromkeys([*study.config.datasets, *([MASKS] if MASKS else [])]))
# Whose archives are fetched, or checked where they were placed by hand.
FETCHED = [dataset for dataset in DATASETS if study.dataset_info(dataset).forms]
STORE = {name: study.store(name) / "store.json" for name in study.config.datasets}
STORES = list(STORE.values())
WEIGHTS = {name: study.weights(name) for name in study.config.sources.values()}
MASK_STORES = [study.store(MASKS) / "store.json"] if MASKS else STORES


# Datasets and sources that are made from the user's own files.
FROM_FILES = [
    name
    for name in DATASETS
    if name in study.config.own_datasets
    or (study.dataset_info(name).folder and study.placed_folder(name).is_dir())
]
FROM_FILE = [name for name in WEIGHTS if name in study.config.own_sources]


def recorded_states():
    """Of each such dataset and source, a file whose time tells when the user's files changed."""
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


def one_of(names):
    """A wildcard constraint that admits these names alone."""
    return "|".join(sorted(names)) or "(?!)"


def archives_of(wildcards):
    """The record of a data set's archives, where it comes from archives."""
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
    """The data sets that a pack trains on and the sources that it starts from."""
    runs = study.pack(wildcards).runs
    stores = {STORE[run.dataset] for run in runs}
    weights = {WEIGHTS[run.source] for run in runs}
    return [*sorted(stores), *sorted(weights)]


def digests_of(wildcards):
    """What decides a pack's numbers; a change re-runs it."""
    return [study.digest(run) for run in study.pack(wildcards).runs]


# What the kinds of tables and figures name as their inputs.
INPUTS = {
    "metrics": [METRICS],
    "intervals": [INTERVALS],
    "segmentation": [study.folder / "segmentation.parquet"],
    "robustness": [study.folder / "robustness.parquet"],
    "source": [
        WEIGHTS[name] for role, name in study.config.sources.items() if role == "main"
    ],
    "stores": STORES,
    "masks": MASK_STORES,
}


def inputs_of(wildcards):
    """What a table or figure is made of, as its kind declares."""
    name = wildcards.get("table") or wildcards.get("figure")
    return [path for which in study.kind(name).inputs for path in INPUTS[which]]


def shown_by(wildcards):
    """What decides a table or figure besides its inputs; a change makes it again."""
    return study.shown_by(wildcards.get("table") or wildcards.get("figure"))
