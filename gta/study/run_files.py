"""Files of one run: what is passed to code that trains, tests or reads a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gta.study.run import Run


@dataclass(frozen=True)
class RunFiles:
    """Paths of a run's files, and the digests that a valid result must match.

    ``Study.run_files`` builds it. A path says where a file belongs; it need not exist.

    Attributes:
        run: the run.
        study_folder: results folder of its study.
        digest: recipe digest of a valid result (``Study.digest``).
        keeps_weights: whether the config keeps the trained weights.
        job: name of the training job that the run belongs to (``Pack.name``).
    """

    run: Run
    study_folder: Path
    digest: str
    keeps_weights: bool
    job: str

    @cached_property
    def name(self) -> str:
        """The run's name, made once for all of its paths."""
        return self.run.name

    def folder(self, kind: str) -> Path:
        """The run's folder among the results of a kind, such as ``metrics`` or ``checkpoints``."""
        return self.study_folder / kind / self.name

    def path(self, kind: str) -> Path:
        """The run's file of a kind: Parquet, but for ``models``, which is safetensors."""
        return self.folder(kind) / ("model.safetensors" if kind == "models" else "part.parquet")

    @property
    def metrics(self) -> Path:
        """The row of metrics; the run is done once it is there and valid."""
        return self.path("metrics")

    @property
    def weights(self) -> Path:
        """The trained model."""
        return self.path("models")

    @property
    def checkpoint(self) -> Path:
        """The state that an interrupted run resumes from."""
        return self.folder("checkpoints") / "checkpoint.pt"

    @property
    def progress(self) -> Path:
        """The JSON file beside the checkpoint that says how far the run is."""
        return self.folder("checkpoints") / "checkpoint.json"

    @property
    def failure(self) -> Path:
        """The last line of the error that ended the last attempt."""
        return self.folder("failures") / "error.txt"

    @property
    def lock(self) -> Path:
        """The lock that the process holds that writes the run's results."""
        return self.study_folder / "locks" / f"{self.name}.lock"

    @property
    def log(self) -> Path:
        """The output of the run's last training job under Snakemake."""
        return self.study_folder / "logs" / "train" / f"{self.job}.log"
