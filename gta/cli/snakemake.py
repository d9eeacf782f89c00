"""Calling Snakemake on a study, as one would by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gta.errors import GtaError
from gta.study import Study


@dataclass(frozen=True)
class Snakemake:
    """How Snakemake is called for a study.

    Attributes:
        study: the study.
        profile: name of a profile, None for plain Snakemake.
        arguments: further ones.
    """

    study: Study
    profile: str | None
    arguments: Sequence[str]

    def command(self, *targets: str) -> list[str]:
        """The command that makes the targets; without any, all of the study."""
        profile = ["--profile", self.profile] if self.profile else []
        # Targets first: --configfile takes every word that follows it.
        configs = ["--configfile", *map(str, self.study.files)]
        return ["snakemake", *targets, *profile, *self.arguments, *configs]

    def check(self, targets: Sequence[str]) -> None:
        """Let it plan the targets without running anything.

        Raises:
            GtaError: if it cannot, or another Snakemake works on the study.
        """
        # --force: as if the targets were missing, so that their locks are looked at.
        command = _executable(self.command(*targets, "--dry-run", "--force", "--quiet", "host"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        if done.returncode:
            raise GtaError(f"snakemake: {said[-1] if said else 'failed'}; nothing was changed")
        if any("cannot be locked" in line for line in said):
            raise GtaError(
                "another snakemake works on this study; wait for it, or, if it was killed, call "
                f"`{' '.join(self.command('--unlock'))}`; nothing was changed"
            )

    def call(self, targets: Sequence[str] = ()) -> int:
        """Make the targets and give Snakemake's exit status."""
        with subprocess.Popen(_executable(self.command(*targets))) as process:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:  # it was told too, and ends its jobs
                    continue


def _executable(command: Sequence[str]) -> list[str]:
    """The Snakemake of this environment, also where that is not activated."""
    return [sys.executable, "-m", *command]
