"""The training device: choice, name and peak memory."""

from __future__ import annotations

import resource

import torch

from gta.errors import GtaError


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is the first GPU, or the CPU if there is none.

    Raises:
        GtaError: if it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise GtaError(f"device {name!r} cannot be used: {reason}; try `auto`") from None
    return device


def device_name(device: torch.device) -> str:
    """A GPU's name, or the CPU's number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu x {torch.get_num_threads()}"


def reset_peak_memory(device: torch.device) -> None:
    """Reset what ``peak_memory`` of a GPU measures."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """Peak memory in MiB: of the GPU since the last reset, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
