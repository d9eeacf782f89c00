"""Batches from an endless stream of permutations, addressed by iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gta.data.seeds import Stream, generator


class BatchStream:
    """Positions of batch after batch; an epoch's end may fall inside a batch.

    A batch is a function of (size, batch_size, seed, iteration) alone, so that training can
    go on from any iteration and runs of one seed see the same batches.
    """

    def __init__(self, size: int, batch_size: int, seed: int, repeats: int = 1) -> None:
        """Stream positions ``0 .. size - 1``.

        Args:
            size: images to draw from.
            batch_size: positions in a batch.
            seed: of all permutations.
            repeats: how often in a row each position comes (repeated augmentation, Hoffer et al.,
                CVPR 2020; DeiT's ``RASampler``). DeiT ends an epoch after as many positions as
                there are images; here the permutation goes on, so that each image comes equally
                often.
        """
        self.size, self.batch_size, self.seed, self.repeats = size, batch_size, seed, repeats
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def batch(self, iteration: int) -> NDArray[np.int64]:
        """Positions of a batch, (batch_size,)."""
        places = np.arange(iteration * self.batch_size, (iteration + 1) * self.batch_size)
        places //= self.repeats
        epochs = places // self.size
        return np.concatenate(
            [
                self._permutation(int(epoch))[places[epochs == epoch] % self.size]
                for epoch in np.unique(epochs)
            ]
        )

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            order = generator(self.seed, Stream.ORDER, epoch).permutation(self.size)
            self._epoch, self._order = epoch, order
        return self._order
