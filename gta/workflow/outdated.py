"""Results that are not the current study's although no file date shows it.

Snakemake knows the settings that a file was made with from its own records in ``.snakemake``.
Where these are gone (``make clean``, results copied from another machine), or where metrics were
collected without it (``gta collect``), it compares dates alone, and would take results of other
settings for current ones. The results themselves say what they were made with. A file under
``results/<study>/outdated``, newer than such a result, is an input of the job that makes it again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from gta.errors import GtaError
from gta.files import write_text
from gta.study import Pack, Run, RunFiles, Study, tuning


def mark_outdated(study: Study) -> None:
    """Write a mark for each training job, the choice and the collected metrics to be made again.

    A job must be run again if metrics of one of its runs exist, and cannot be read, have another
    digest than the study gives the run, or lack the weights that the study keeps. A choice of
    lambda (``tune``) must be made again if it does not stand for some cell. The collected
    metrics must be made again if they exist, unless they hold every run of the study, each with
    its digest, and no other run; and if some runs have metrics of their own and others do not,
    whose files were moved away.

    Raises:
        GtaError: if a mark cannot be written.
    """
    collected = study.folder / "metrics.parquet"
    if not (study.folder / "metrics").is_dir() and not collected.exists():
        return
    found = _digests(collected)
    wanted = {run: study.digest(run) for run in study.runs}
    for pack in study.packs:
        files = [study.run_files(run) for run in pack.runs]
        suspects = [one for one in files if found.get(one.run) != one.digest or _lacks_weights(one)]
        stale = any(_must_be_made_again(one, collected.exists()) for one in suspects)
        _mark(_mark_of_pack(study, pack), [one.metrics for one in files], stale)
    if study.tuning is not None:
        whole = study.choice.keys() == study.tuning.cells.keys()
        _mark(_mark_of_choice(study), [study.folder / tuning.FILE], not whole)
    there = [study.run_files(run).metrics.exists() for run in study.runs]
    moved_away = any(there) and not all(there)
    _mark(_mark_of_collected(study), [collected], found != wanted or moved_away)


def mark_of_pack(study: Study, pack: Pack) -> list[Path]:
    """The mark of a training job, if it has ever had one."""
    return [path for path in [_mark_of_pack(study, pack)] if path.exists()]


def mark_of_choice(study: Study) -> list[Path]:
    """The mark of the choice of lambda, if it has ever had one."""
    return [path for path in [_mark_of_choice(study)] if path.exists()]


def mark_of_collected(study: Study) -> list[Path]:
    """The mark of the collected metrics, if they have ever had one."""
    return [path for path in [_mark_of_collected(study)] if path.exists()]


def _mark_of_pack(study: Study, pack: Pack) -> Path:
    return study.folder / "outdated" / "train" / f"{pack.name}.txt"


def _mark_of_choice(study: Study) -> Path:
    return study.folder / "outdated" / "choice.txt"


def _mark_of_collected(study: Study) -> Path:
    return study.folder / "outdated" / "metrics.txt"


def _mark(mark: Path, results: list[Path], stale: bool) -> None:
    """Write a mark that is newer than stale results, for these alone."""
    made = [path.stat().st_mtime_ns for path in results if path.exists()]
    is_newer = mark.exists() and mark.stat().st_mtime_ns > max(made, default=0)
    if not stale and is_newer:  # an edit was taken back before the results were made again
        mark.unlink()
    if stale and made and not is_newer:
        # The time makes each mark another file: of small inputs, Snakemake compares the content.
        now = datetime.now(UTC).isoformat()
        write_text(mark, f"{now}: results of other settings than the config's\n")


def _lacks_weights(run_files: RunFiles) -> bool:
    return run_files.keeps_weights and not run_files.weights.exists()


def _digests(collected: Path) -> dict[Run, str]:
    """The digest that each run in the collected metrics was made with."""
    from gta.results import IDENTITY  # pyarrow: a study without results does not need it
    from gta.results.parts import read_table

    try:
        table = read_table(collected, [*IDENTITY.names, "recipe_digest"])
    except GtaError:
        return {}
    *identity, digests = (column.to_pylist() for column in table.columns)
    return {Run(*fields): digest for *fields, digest in zip(*identity, digests, strict=True)}


def _must_be_made_again(run_files: RunFiles, is_collected: bool) -> bool:
    """Whether a run's metrics exist and the run is not done.

    Args:
        run_files: of a run that the collected metrics lack.
        is_collected: whether metrics were collected; they left the run out for a reason, which
            may lie in any of its files.
    """
    from gta.results import result_of

    if not run_files.metrics.exists():
        return False
    state = result_of(run_files, thorough=is_collected).state.state
    return state not in ("done", "forbidden")
