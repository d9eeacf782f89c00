"""Micro-batches: the images of each, and the random draws that are made for the whole batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def micro_batches(images: int, most: int) -> list[slice]:
    """Divide a batch into slices of at most ``most`` images; the last may be smaller."""
    return [slice(at, min(at + most, images)) for at in range(0, images, most)]


class DropPaths:
    """Stochastic depth whose draws are made for a whole batch, before its forward pass.

    So an image keeps its paths whichever micro-batch it is in, however often it is seen, and in
    compiled code too. The draws are those that timm's modules make on the whole batch.
    """

    def __init__(self, model: nn.Module) -> None:
        """Replace timm's modules by ones that are told what to keep; no name changes."""
        from timm.layers import DropPath  # seconds to import; loaded already where a model exists

        self._modules: list[_DropPath] = []
        for name, part in list(model.named_modules()):
            if isinstance(part, DropPath):
                self._modules.append(_DropPath(part.drop_prob))
                model.set_submodule(name, self._modules[-1])
        self._kept: list[Tensor] = []

    def draw(self, images: int, device: torch.device, seed: int) -> None:
        """Draw for each image of a batch the paths that it keeps."""
        self._kept = []
        if not self._modules:
            return  # seeding takes milliseconds on a CPU: torch records its caller
        torch.manual_seed(seed)
        for module in self._modules:
            kept = torch.empty((images, 1, 1), device=device).bernoulli_(1 - module.rate)
            self._kept.append(kept.div_(1 - module.rate))

    def choose(self, part: slice, on: DropPaths | None = None) -> None:
        """Set which images of the batch the model sees next.

        Args:
            part: the images.
            on: the paths of another model of the same architecture that sees them instead.
        """
        for module, kept in zip((on or self)._modules, self._kept, strict=True):
            module.kept = kept[part]


class _DropPath(nn.Module):
    """timm's ``DropPath``, but the draws are given."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop or scale the images' paths (B, ..., D); the identity in evaluation mode."""
        if not self.training:
            return x
        assert self.kept is not None
        return x * self.kept.to(x.dtype).view(-1, *[1] * (x.ndim - 1))
