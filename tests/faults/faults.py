"""Faults and what each gives: tried by the tests, and printed as docs/faults.md."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gta import files, results
from gta.cli import main
from gta.errors import GtaError
from gta.results import Kind
from gta.study import Run, Study
from tests.faults import harms
from tests.support.left import fail, finish
from tests.support.samples import random_store
from tests.support.staged import STUDY, TABLES

CONFIG: dict[str, Any] = {
    **STUDY,
    "study": "small",
    "seeds": [0, 1],
    "methods": {"gta": {"grid": [0.1]}},
    "keep_weights": "all",
}
AGAIN = "it does not count, and stays where it is; the line names the command that trains it again"
STALE = "it does not count, and stays where it is; the next training replaces it"
PREPARED = "set aside; the next `snakemake` prepares it again"


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: what befalls which file.
        outcome: what follows.
        line: lets it happen to a study and gives the line that is printed.
        said: part of that line.
        left_out: whether the first run's result no longer counts.
    """

    name: str
    outcome: str
    line: Callable[[Study], str]
    said: str
    left_out: bool = False


def lay_out(folder: Path) -> Study:
    """A study of four runs in the working folder, all done and collected."""
    folder.chmod(0o755)
    (folder / "tables.yaml").write_text(yaml.safe_dump(TABLES))
    (folder / "study.yaml").write_text(yaml.safe_dump(CONFIG))
    study = Study.load(["study.yaml"])
    for run in study.runs:
        finish(study, run)
    gta("collect")
    return study


def gta(*command: str) -> str:
    """Call the command line; its error, or else the first line that it prints."""
    said = lines(*command)
    return next((line for line in said if line.startswith("error")), said[0])


def lines(*command: str) -> list[str]:
    """Call the command line; the lines that it prints, its error last."""
    out = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(out):
            main([*command, "--config", "study.yaml"])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=out)
    return out.getvalue().splitlines()


def first(study: Study) -> Run:
    """The run that is harmed."""
    return study.runs[0]


def _collecting(kind: Kind, harm: harms.Harm) -> Callable[[Study], str]:
    def line(study: Study) -> str:
        harm(study, study.run_files(first(study)).path(kind))
        return gta("collect")

    return line


def _result(kind: Kind, harm: harms.Harm, said: str) -> Fault:
    name = f"{kind} of a run: {harm.__name__.replace('_', ' ')}"
    return Fault(name, AGAIN, _collecting(kind, harm), said, left_out=True)


def _unreadable(study: Study) -> str:
    study.folder.chmod(0o777)
    harms.unreadable(study, study.run_files(first(study)).metrics)
    with harms.ordinary_user():
        return next(line for line in lines("collect") if line.startswith("forbidden"))


def _listed(*harmful: Callable[[Study], object]) -> Callable[[Study], str]:
    """The line by which ``gta collect`` lists the run, without an error."""

    def line(study: Study) -> str:
        for harm in harmful:
            harm(study)
        run = first(study).name
        return next(one for one in lines("collect") if run in one and not one.startswith("error"))

    return line


def _older(study: Study) -> None:
    harms.of_an_older_version(study, study.run_files(first(study)).metrics)


def _without_weights(study: Study) -> None:
    study.run_files(first(study)).weights.unlink()


def _trained(harm: harms.Harm) -> Callable[[Study], str]:
    def line(study: Study) -> str:
        from gta.models.vit import create
        from gta.results.weights import trained_weights
        from gta.train.record import save_weights

        for run in (first(study), study.runs[1]):
            model = create("vit_mini_patch8", 48, num_classes=4)
            save_weights(study.run_files(run).weights, model, run, study.digest(run))
        run, path = first(study), study.run_files(first(study)).weights
        assert trained_weights(study, run) == path
        harm(study, path)
        return _error_of(lambda: trained_weights(study, run))

    return line


def _damaged_whole(study: Study) -> str:
    harms.truncated(study, study.folder / "metrics.parquet")
    return gta("table")


def _failed(study: Study) -> str:
    fail(study, first(study), "the loss is not finite at iteration 3; lower recipe.lr")
    return _killed(study)


def _killed(study: Study) -> str:
    """The note of the table's hole."""
    run = first(study)
    study.run_files(run).metrics.unlink()
    files.write_text(study.run_files(run).log, "")
    gta("collect")
    gta("table", "--write")
    page = (study.folder / "tables" / "small.md").read_text(encoding="utf-8")
    return next(line for line in page.splitlines() if "; log: " in line)


def _collect_while(
    circumstances: Callable[[Study], Any], act: tuple[str, ...] = ("collect",)
) -> Callable[[Study], str]:
    def line(study: Study) -> str:
        with circumstances(study):
            return gta(*act)

    return line


@contextmanager
def _read_only_folder(study: Study) -> Iterator[None]:
    study.folder.chmod(0o555)
    with harms.ordinary_user():
        yield


def _store(harm: harms.Harm, file: str) -> Callable[[Study], str]:
    def line(study: Study) -> str:
        from gta.train.inputs import open_store

        folder = study.store("mini_near")
        random_store(folder)
        harm(study, folder / file)
        return _error_of(lambda: open_store(study, "mini_near"))

    return line


def _source(harm: harms.Harm) -> Callable[[Study], str]:
    def line(study: Study) -> str:
        from gta.models.originals import prepare_source
        from gta.train.inputs import open_source

        harm(study, prepare_source(study, "tiny_ibot"))
        return _error_of(lambda: open_source(study, "tiny_ibot"))

    return line


def _checkpoint(harm: harms.Harm) -> Callable[[Study], str]:
    def line(study: Study) -> str:
        from gta.train.checkpoint import Identity, load, save

        run, path = first(study), study.run_files(first(study)).checkpoint
        identity = Identity.of(study.run_files(run), results.Origin("data", "source"))
        save(path, identity, {"iteration": 2, "lr": [1e-3] * 100})
        harm(study, path)
        out = io.StringIO()
        with redirect_stderr(out):
            assert load(path, identity) is None
        return out.getvalue().strip()

    return line


def _of_another(_: Study, path: Path) -> None:
    import torch

    content = torch.load(path, weights_only=True)
    torch.save({**content, "identity": {**content["identity"], "run": "another"}}, path)


def _error_of(act: Callable[[], object]) -> str:
    try:
        act()
    except GtaError as error:
        return f"error: {error}"
    raise AssertionError("it was not seen")


LEFT = "what was there stays as it was; nothing half-written"
FAULTS = [
    _result("metrics", harms.truncated, r"part\.parquet: damaged: .*; train again: `gta train"),
    _result("metrics", harms.zeroed, r"part\.parquet: damaged: .*; train again: `gta train"),
    _result("metrics", harms.a_bit_flipped, r"part\.parquet: damaged: .*; train again: `gta train"),
    _result("metrics", harms.of_another_run, r"belongs to another run, .*seed=1'; train again"),
    _result("predictions", harms.truncated, r"predictions/.*: damaged: .*; train again"),
    _result("predictions", harms.a_bit_flipped, r"predictions/.*: damaged: .*; train again"),
    _result("predictions", harms.of_another_run, r"predictions/.*belongs to another run"),
    _result("history", harms.zeroed, r"history/.*: damaged: .*; train again"),
    Fault("metrics of a run: of an older version, which lacks a column", STALE,
          _listed(_older), r"^stale: .*part\.parquet: written by another version: lacks acc1$"),
    Fault("trained weights gone that the study keeps", "its numbers count; it is not done",
          _listed(_without_weights), r"^missing: .*model\.safetensors: missing, and the config"),
    Fault("trained weights: truncated", AGAIN, _trained(harms.truncated),
          r"model\.safetensors: cannot be read as safetensors: .*; train the run again: `gta"),
    Fault("trained weights: a bit flipped", AGAIN, _trained(harms.a_bit_flipped),
          r"weights are not those .*; train the run again: `gta train"),
    Fault("trained weights: of another run", AGAIN, _trained(harms.of_another_run),
          r"model\.safetensors: belongs to another run, .*; train the run again: `gta train"),
    Fault(
        "collected metrics: truncated", "one line; no table of it", _damaged_whole,
        r"^error: .*metrics\.parquet: damaged: .*; delete it and run `snakemake` or `gta collect`$",
    ),
    Fault("checkpoint: truncated", "set aside; training starts again",
          _checkpoint(harms.truncated), r"checkpoint\.pt: damaged \(.*training starts again$"),
    Fault("checkpoint: zeroed", "set aside; training starts again",
          _checkpoint(harms.zeroed), r"checkpoint\.pt: damaged \(.*training starts again$"),
    Fault("checkpoint of another run, recipe, data, source or version",
          "deleted; training starts again", _checkpoint(_of_another), r"deleted; training starts"),
    Fault("prepared dataset: pixels truncated", PREPARED,
          _store(harms.truncated, "pixels.bin"), r"store \(pixels\.bin has .*damaged\.json"),
    Fault("prepared dataset: pixels zeroed", PREPARED,
          _store(harms.zeroed, "pixels.bin"), r"store \(image .* has other pix.*damaged\.json"),
    Fault("prepared dataset: index truncated", PREPARED,
          _store(harms.truncated, "index.parquet"), r"damaged store \(index\.parquet: .*"),
    Fault("prepared dataset: relabelled", PREPARED, _store(harms.relabelled, "index.parquet"),
          r"damaged store \(names, labels or .* its digest\); set aside as store\.damaged\.json"),
    Fault("source: truncated", PREPARED, _source(harms.truncated), "cannot be read as safetensors"),
    Fault("source: a bit flipped", PREPARED, _source(harms.a_bit_flipped),
          r"its weights are not those its metadata names; set aside as .*\.damaged\.safetensors"),
    Fault("a run that fails", "the others are trained; tables name it, its error and its log",
          _failed, r"failed: the loss is not finite at iteration 3; .*; log: results/small/logs/"),
    Fault("a run that was killed, and nobody started it again", "tables say so, and name its log",
          _killed, r"missing: not run yet, or it was killed; log: results/small/logs/"),
    Fault("disk full", LEFT, _collect_while(lambda study: harms.small_disk(study, full=True)),
          r"^error: results/small/metrics\.parquet: cannot be written: .*[Nn]o space left"),
    Fault("file larger than is allowed (RLIMIT_FSIZE)", LEFT,
          _collect_while(lambda _: harms.no_file_larger(1000)),
          r"^error: results/small/metrics\.parquet: cannot be written: .*File too large"),
    Fault("results on a read-only file system", LEFT,
          _collect_while(lambda study: harms.small_disk(study, read_only=True)),
          r"^error: results/small/metrics\.parquet: cannot be written: Read-only file system$"),
    Fault("results folder that may not be written to", LEFT, _collect_while(_read_only_folder),
          r"^error: results/small/metrics\.parquet: cannot be written: Permission denied$"),
    Fault("the same, and only looked at", "`gta status` and `gta runs` need no more",
          _collect_while(_read_only_folder, ("runs",)), r"^study small: 4 runs \(4 done\)$"),
    Fault("a result that may not be read", "not taken for damaged", _unreadable,
          r"^forbidden: .*part\.parquet: cannot be read: Permission denied$"),
]  # fmt: skip
