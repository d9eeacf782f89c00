"""The training device: choice, name and peak memory."""

from __future__ import annotations

import os
import resource

import torch

from gta.errors import GtaError


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is the first GPU, or the CPU if there is none.

    Raises:
        GtaError: if it is not there or computes nothing; for ``auto``, as ``require_granted``.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        require_granted()
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise GtaError(f"device {name!r} cannot be used: {reason}; try `auto`") from None
    return device


# Each holds numbers or names of GPUs, but SLURM_GPUS_ON_NODE, which holds their count.
_GRANTS = ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE")
_NO_GPU = ("", "-1", "none", "nodevfiles", "void")


def granted_gpu() -> str | None:
    """The environment's word, ``NAME=value``, that this process has a GPU; None if it has none.

    A ``CUDA_VISIBLE_DEVICES`` that hides all GPUs counts more than what SLURM says.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip().lower() in _NO_GPU:
        return None
    for name in _GRANTS:
        value = os.environ.get(name, "").strip()
        if value.lower() not in _NO_GPU and (name, value) != ("SLURM_GPUS_ON_NODE", "0"):
            return f"{name}={value}"
    return None


def require_granted() -> None:
    """Stop where a GPU was granted and torch can use none, so that no job falls to the CPU.

    Raises:
        GtaError: a GPU was granted, and ``GTA_DEVICES`` does not choose the CPU.
    """
    granted = granted_gpu()
    if granted is None or os.environ.get("GTA_DEVICES", "").strip() == "cpu":
        return
    raise GtaError(
        f"{granted} grants a GPU, and torch {torch.__version__} can use none: {_why_no_gpu()}",
        remedy="see `gta doctor`; GTA_DEVICES=cpu trains on the CPU all the same",
    )


def _why_no_gpu() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "it was built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return "it sees no such device"


def describe(device: torch.device) -> str:
    """A device's name, torch's version and the number of CPU threads, for a log's first line."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"device {name}, torch {torch.__version__}, {torch.get_num_threads()} threads"


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
