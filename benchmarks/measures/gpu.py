"""Training on a GPU, which `make gpu-check` measures at length."""

from __future__ import annotations

import torch

from benchmarks.figures import Figure, SkippedError

REPEATS = 1


def measure(repeats: int) -> list[Figure]:
    """Nothing here.

    Raises:
        SkippedError: always; it says what measures a GPU, or that there is none.
    """
    if not torch.cuda.is_available():
        raise SkippedError("torch finds no GPU; where one is, `make gpu-check` writes docs/gpu.md")
    raise SkippedError("`make gpu-check` measures this machine's GPU and writes docs/gpu.md")
