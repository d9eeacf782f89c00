"""Test a model on a store's images: predictions, accuracy, attention on the object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gta.attention import BATCH, attention_mass
from gta.data.batches.augment import Evaluator
from gta.data.batches.loader import evaluation_batches, loader_workers
from gta.data.store import Store
from gta.methods.readings import TapRequest
from gta.models.taps import Taps

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

LAST_ROW = TapRequest(cls_logits=(-1,))


@dataclass(frozen=True)
class Evaluated:
    """What a model says of some images.

    Attributes:
        index: (n,) positions in the store.
        label, prediction: (n,) class indices.
        confidence: (n,) softmax of the predicted class.
        loss: mean cross entropy, nats.
        attention_mass: mean share of the last block's [cls] attention that falls on the
            object, over heads and the images that show one; None where none does.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    confidence: NDArray[np.float32]
    loss: float
    attention_mass: float | None

    @property
    def acc1(self) -> float:
        """Top-1 accuracy, percent."""
        return 100 * float((self.prediction == self.label).mean())

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Rows for the predictions file."""
        return [
            {"split": split, "index": i, "label": y, "prediction": p, "confidence": c}
            for i, y, p, c in zip(
                self.index.tolist(),
                self.label.tolist(),
                self.prediction.tolist(),
                self.confidence.tolist(),
                strict=True,
            )
        ]


def evaluate(
    model: VisionTransformer,
    store: Store,
    positions: NDArray[np.int64],
    evaluator: Evaluator,
    device: torch.device,
    with_mass: bool = True,
) -> Evaluated:
    """Run a model over images, batch by batch, in evaluation mode.

    Args:
        model: with a head for the store's classes.
        store: the images.
        positions: (n,) which; at least one.
        evaluator: their view.
        device: where the model is.
        with_mass: whether to measure the attention on the object where masks exist.
    """
    return evaluate_each([model], store, positions, evaluator, device, with_mass)[0]


@torch.inference_mode()
def evaluate_each(
    models: Sequence[VisionTransformer],
    store: Store,
    positions: NDArray[np.int64],
    evaluator: Evaluator,
    device: torch.device,
    with_mass: bool = True,
    after_batch: Callable[[], None] | None = None,
) -> list[Evaluated]:
    """As ``evaluate`` for each model, bit for bit, each batch of images made once.

    Args:
        models: on the same device.
        store: the images.
        positions: (n,) which; at least one.
        evaluator: their view.
        device: where the models are.
        with_mass: whether to measure the attention on the object where masks exist.
        after_batch: called when all models have seen a batch.
    """
    request = LAST_ROW if with_mass and store.has_masks else None
    said = [_Said() for _ in models]
    batches = evaluation_batches(
        store, positions, evaluator, BATCH, *loader_workers(device), device
    )
    for batch, images in batches:
        labels = torch.from_numpy(store.labels[batch]).long().to(device)
        masks = None
        if request is not None:
            masks = torch.stack([evaluator.mask(store.mask(i)) for i in batch]).to(device)
        for model, so_far in zip(models, said, strict=True):
            was_training = model.training
            model.eval()
            with Taps(model, request) if request else nullcontext() as taps:
                logits = model(images).float()
                rows = taps.take().cls_logits if taps is not None else None
            model.train(was_training)
            so_far.add(logits, labels, rows, masks)
        if after_batch is not None:
            after_batch()
    index, label = np.asarray(positions), store.labels[positions].astype(np.int64)
    return [so_far.whole(index, label) for so_far in said]


@dataclass
class _Said:
    """What one model has said so far, batch by batch."""

    predictions: list[Tensor] = field(default_factory=list)
    confidences: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    masses: list[Tensor] = field(default_factory=list)

    def add(
        self, logits: Tensor, labels: Tensor, rows: Tensor | None, masks: Tensor | None
    ) -> None:
        confidence, prediction = logits.softmax(dim=1).max(dim=1)
        self.predictions.append(prediction.cpu())
        self.confidences.append(confidence.cpu())
        self.losses.append(F.cross_entropy(logits, labels, reduction="none").cpu())
        if rows is not None and masks is not None:
            shows = masks.flatten(1).any(dim=1)  # some images may have no mask
            self.masses.append(attention_mass(rows[0], masks)[shows].cpu())

    def whole(self, index: NDArray[np.int64], label: NDArray[np.int64]) -> Evaluated:
        masses = torch.cat(self.masses) if self.masses else torch.empty(0)
        return Evaluated(
            index=index,
            label=label,
            prediction=torch.cat(self.predictions).numpy(),
            confidence=torch.cat(self.confidences).numpy(),
            loss=float(torch.cat(self.losses).mean()),
            attention_mass=float(masses.mean()) if len(masses) else None,
        )
