"""Device claims: a job claims a GPU through a lock that a dead process frees.

Snakemake starts jobs side by side but gives none its device, so each claims one. Two settings
in the environment:

- ``GTA_DEVICES``: the devices to share out, e.g. ``cuda:0,cuda:2``; ``cpu`` leaves the GPUs
  alone. Default: every GPU that CUDA shows, which ``CUDA_VISIBLE_DEVICES`` narrows; in a SLURM
  job these are the job's own. ``cpu:0,cpu:1`` shares out the CPU as if it were two devices.
- ``GTA_RUNS_PER_DEVICE``: how many jobs share a device (default 1).

The locks lie in the machine's temporary folder, one folder a user: jobs of other users are not
seen.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gta.errors import GtaError
from gta.files import hold_one


@contextmanager
def claim(device: str = "auto", on_wait: Callable[[], None] | None = None) -> Iterator[str]:
    """Claim a device while the block runs.

    Args:
        device: ``auto`` waits for a free one of those shared out, and is the CPU where there is
            none; any other name is used as it stands, unclaimed.
        on_wait: called once, if all are taken.

    Yields:
        A name for ``torch.device``.

    Raises:
        GtaError: if a setting is wrong, the locks cannot be written, or a GPU was granted to this
            process that torch cannot use.
    """
    names = shared() if device == "auto" else []
    if not names:
        if device == "auto":
            from gta.train.device import require_granted

            require_granted()
        yield "cpu" if device == "auto" else device
        return
    folder = Path(tempfile.gettempdir()) / f"gta-devices-{os.getuid()}"
    # a second job goes to a device only when every device has its first
    places = [(name, place) for place in range(runs_per_device()) for name in names]
    paths = [folder / f"{_identity(name)}.{place}.lock" for name, place in places]
    with hold_one(paths, on_wait) as position:
        name, _ = places[position]
        if name.startswith("cuda"):
            import torch

            torch.cuda.set_device(name)  # what names no device must not land on another's
        yield name


def shared() -> list[str]:
    """The devices that jobs share out; empty where there is only the CPU.

    Raises:
        GtaError: if ``GTA_DEVICES`` names no device.
    """
    given = os.environ.get("GTA_DEVICES", "").strip()
    if given == "cpu":
        return []
    if given:
        names = [name.strip() for name in given.split(",")]
        for name in names:
            if not re.fullmatch(r"(cuda|cpu):\d+", name):
                raise GtaError(f"GTA_DEVICES: {name!r} is not of the form cuda:0 (or cpu alone)")
        return list(dict.fromkeys(names))
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def runs_per_device() -> int:
    """Number of jobs that share a device.

    Raises:
        GtaError: if ``GTA_RUNS_PER_DEVICE`` is no positive number.
    """
    given = os.environ.get("GTA_RUNS_PER_DEVICE", "1")
    if not given.isdecimal() or int(given) < 1:
        raise GtaError(f"GTA_RUNS_PER_DEVICE: {given!r} should be 1 or more")
    return int(given)


def places() -> int:
    """Number of jobs that the shared devices take at a time; 0 if there is only the CPU."""
    return len(shared()) * runs_per_device()


def threads_each() -> int:
    """CPU threads for each of these jobs, so that they do not fight for cores."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, places()))


def _identity(name: str) -> str:
    """Identity of a device, independent of CUDA's numbering in this process."""
    if not name.startswith("cuda"):
        return name
    import torch

    try:
        return str(torch.cuda.get_device_properties(name).uuid)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise GtaError(f"device {name!r} cannot be used: {reason}") from None
