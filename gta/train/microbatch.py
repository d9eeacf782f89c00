"""A batch in micro-batches: which images each holds, and what must be drawn for all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def micro_batches(images: int, most: int) -> list[slice]:
    """Divide a batch of ``images`` into runs of ``most``; the last may be smaller."""
    return [slice(at, min(at + most, images)) for at in range(0, images, most)]


class DropPaths:
    """Stochastic depth whose draws are made for a whole batch, before any image is seen.

    So an image keeps its paths in whichever micro-batch it is, as often as it is seen, and in
    compiled code too. The draws are those that timm's modules make on the whole batch.
    """

    def __init__(self, model: nn.Module) -> None:
        """Put modules that are told what to keep in the place of timm's; no name changes."""
        from timm.layers import DropPath  # seconds to import; loaded already where a model exists

        self._modules: list[_DropPath] = []
        for name, part in list(model.named_modules()):
            if isinstance(part, DropPath):
                self._modules.append(_DropPath(part.drop_prob))
                model.set_submodule(name, self._modules[-1])
        self._kept: list[Tensor] = []

    def draw(self, images: int, device: torch.device, seed: int) -> None:
        """Decide for each image of a batch which paths it takes."""
        self._kept = []
        if not self._modules:
            return  # seeding takes milliseconds where there is no GPU: torch notes who asked for it
        torch.manual_seed(seed)
        for module in self._modules:
            kept = torch.empty((images, 1, 1), device=device).bernoulli_(1 - module.rate)
            self._kept.append(kept.div_(1 - module.rate))

    def choose(self, part: slice) -> None:
        """Say which images of the batch the model sees next."""
        for module, kept in zip(self._modules, self._kept, strict=True):
            module.kept = kept[part]


class _DropPath(nn.Module):
    """As timm's ``DropPath``, which draws in its forward pass."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop or scale paths (B, T, D) of the images; leave them alone in evaluation mode."""
        if not self.training:
            return x
        assert self.kept is not None
        return x * self.kept.to(x.dtype)
