"""Poisoned training images: a trigger is pasted, and the label is the target's."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gta.data.seeds import Stream, generator
from gta.data.store import Store
from gta.errors import GtaError
from gta.study.backdoor import Backdoor
from gta.study.config import Recipe

CELLS = 4  # of the trigger's grid of colours, along its side


class Trigger:
    """A square of random colours, pasted on what the model sees.

    Attributes:
        side: in pixels.
        pixels: (side, side, 3) uint8.
    """

    def __init__(self, settings: Backdoor, recipe: Recipe) -> None:
        """Draw the colours.

        Args:
            settings: of the backdoor.
            recipe: image size and normalisation.
        """
        self._settings, self._size = settings, recipe.image_size
        self.side = max(1, round(settings.side * recipe.image_size))
        random = generator(settings.seed, Stream.TRIGGER, 0)
        colours = random.integers(0, 256, (CELLS, CELLS, 3), dtype=np.uint8)
        cells = np.arange(self.side) * CELLS // self.side
        self.pixels = colours[cells[:, None], cells]
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (recipe.mean, recipe.std))
        values = torch.from_numpy(self.pixels).permute(2, 0, 1).float() / 255
        self._values = (values - mean) / std

    def corner(self, position: int) -> tuple[int, int]:
        """Row and column of the trigger's upper left pixel on the image of a store's position."""
        last = self._size - self.side
        if self._settings.place == "corner":
            return last, last
        row, column = generator(self._settings.seed, Stream.PLACE, position).integers(
            0, last + 1, 2
        )
        return int(row), int(column)

    def paste(self, image: Tensor, position: int) -> None:
        """Paste on a normalised image (3, S, S), in place."""
        row, column = self.corner(position)
        values = self._values.to(image)
        image[:, row : row + self.side, column : column + self.side] = values

    def mask(self, position: int) -> Tensor:
        """Mask of the trigger, (S, S) bool."""
        mask = torch.zeros(self._size, self._size, dtype=torch.bool)
        row, column = self.corner(position)
        mask[row : row + self.side, column : column + self.side] = True
        return mask


class Poison:
    """Choice of training images that bear the trigger and the target's label.

    Attributes:
        positions: of the poisoned images in the store.
        trigger: what they bear.
    """

    def __init__(
        self,
        settings: Backdoor,
        recipe: Recipe,
        labels: NDArray[np.int64],
        train: NDArray[np.int64],
    ) -> None:
        """Choose the images.

        Args:
            settings: of the backdoor.
            recipe: image size and normalisation.
            labels: of the store's images.
            train: positions of the training images.
        """
        self._target = settings.target
        others = train[labels[train] != settings.target]
        count = max(1, round(settings.fraction * len(others)))
        random = generator(settings.seed, Stream.POISON, 0)
        self.positions = np.sort(random.permutation(others)[:count])
        self.trigger = Trigger(settings, recipe)

    @classmethod
    def of(cls, recipe: Recipe, store: Store, train: NDArray[np.int64]) -> Self | None:
        """The poison of a recipe; None without a backdoor.

        Raises:
            GtaError: the dataset has no such class, or no image of another one.
        """
        settings = recipe.backdoor
        if settings is None:
            return None
        require_target(settings, store)
        return cls(settings, recipe, store.labels.astype(np.int64), train)

    def apply(self, images: Tensor, labels: Tensor, positions: NDArray[np.int64]) -> None:
        """Poison a batch in place, after augmentation: every view of an image bears the trigger.

        Args:
            images: (B, 3, S, S), normalised.
            labels: (B,).
            positions: (B,) of the images in the store.
        """
        for i in np.flatnonzero(np.isin(positions, self.positions)):
            self.trigger.paste(images[i], int(positions[i]))
            labels[i] = self._target


def require_target(settings: Backdoor, store: Store) -> None:
    """Check that a dataset has the target class and another one.

    Raises:
        GtaError: it has not.
    """
    classes = len(store.classes)
    if settings.target >= classes or classes < 2:
        raise GtaError(
            f"recipe.backdoor.target: {settings.target} is no class to aim at among {classes}; "
            f"take 0 to {classes - 1}"
        )
