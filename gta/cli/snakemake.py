"""Calling Snakemake on a study, as by hand."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType

from gta.errors import GtaError
from gta.project import shared
from gta.study import Study


@dataclass(frozen=True)
class Snakemake:
    """Calls Snakemake on a study.

    Attributes:
        study: the study.
        profile: name of a profile; None for plain Snakemake.
        arguments: further arguments.
    """

    study: Study
    profile: str | None
    arguments: Sequence[str]

    def command(self, *targets: str) -> list[str]:
        """The command that makes the targets, or without any, the whole study."""
        profile = ["--profile", self.profile] if self.profile else []
        # Targets first: --configfile takes every word that follows it.
        configs = ["--configfile", *map(str, self.study.files)]
        return ["snakemake", *targets, *profile, *self.arguments, *configs]

    def check(self, targets: Sequence[str]) -> None:
        """Let Snakemake plan the targets without running anything.

        Raises:
            GtaError: if it cannot, if it was given no cores, or if another Snakemake works on the
                study.
        """
        if no_cores := _without_cores(self.arguments):
            raise GtaError(f"{no_cores}: Snakemake would wait for ever; nothing was changed")
        # --force: as if the targets were missing, so that their locks are looked at.
        command = _executable(self.command(*targets, "--dry-run", "--force", "--quiet", "host"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GtaError(f"snakemake: {_reason(done.stdout + done.stderr)}; nothing was changed")
        if "cannot be locked" in done.stdout + done.stderr:
            raise GtaError(
                "another snakemake works on this study; wait for it, or, if it was killed, call "
                f"`{' '.join(self.command('--unlock'))}`; nothing was changed"
            )

    def call(self, targets: Sequence[str] = ()) -> int:
        """Make the targets and give Snakemake's exit status.

        Ctrl-C, SIGTERM and SIGHUP end Snakemake and its jobs, not this process, so that the
        caller can put things in order.
        """
        with subprocess.Popen(_executable(self.command(*targets))) as process:

            def end(number: int, frame: FrameType | None) -> None:
                # After SIGTERM Snakemake would wait for its jobs; after SIGINT, which a terminal
                # sends to it too, it cancels them.
                if number != signal.SIGINT:
                    process.send_signal(signal.SIGINT)

            with handled(end):
                return process.wait()


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call ``handler`` on termination signals while the block runs."""
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _without_cores(arguments: Sequence[str]) -> str | None:
    """The option among Snakemake's arguments that gives it no cores or no jobs, if any."""
    for option, value in pairwise([*arguments, ""]):
        name, equals, own = option.partition("=")
        if name in ("--cores", "-c", "--jobs", "-j") and (own if equals else value) == "0":
            return f"{name} 0"
        if option in ("-c0", "-j0"):
            return option
    return None


# What Snakemake says before it comes to the fault.
_PREAMBLE = ("Using profile", "Using workflow specific profile", "Building DAG", "host:")


def _reason(said: str) -> str:
    """Snakemake's error in one line."""
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_PREAMBLE)]
    for line in lines:
        if "error: " in line:  # ours, or of the command line
            return line.partition("error: ")[2]
    reason = " ".join(lines)
    return f"{reason[:300]} …" if len(reason) > 300 else reason or "failed"


def _executable(command: Sequence[str]) -> list[str]:
    """The Snakemake of this environment, also where that is not activated.

    Where the project has no Snakefile, the package's is run.
    """
    here = any(Path(name).is_file() for name in ("Snakefile", "workflow/Snakefile"))
    file = [] if here else ["--snakefile", str(shared("workflow/Snakefile"))]
    return [sys.executable, "-m", command[0], *file, *command[1:]]
