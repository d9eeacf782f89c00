"""Testing: predictions, accuracy and attention mass of models on a store's images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from gta.models.cls_only import forward_of
from gta.models.shown import mask_logits, mask_request
from gta.models.taps import Taps
from gta.study import Recipe
from gta.train.precision import arithmetic

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

BATCH_ON_CPU = 64  # larger batches leave the caches: a quarter slower an image


@dataclass(frozen=True)
class Evaluated:
    """A model's predictions on some images.

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


@torch.inference_mode()
def evaluate_each(
    models: Sequence[VisionTransformer],
    recipes: Sequence[Recipe],
    store: Store,
    positions: NDArray[np.int64],
    evaluator: Evaluator,
    device: torch.device,
    with_mass: bool = True,
    after_batch: Callable[[], None] | None = None,
) -> list[Evaluated]:
    """Run models over images in evaluation mode, each batch of images made once for all.

    A model's numbers do not depend on the models beside it.

    Args:
        models: on the same device, with heads for the store's classes.
        recipes: of each model; it computes in its recipe's precision.
        store: the images.
        positions: (n,) positions in the store; at least one.
        evaluator: makes their views.
        device: where the models are.
        with_mass: whether to measure the attention on the object where masks exist.
        after_batch: called when all models have seen a batch.

    Returns:
        A result for each model, in their order.
    """
    measured = with_mass and store.has_masks
    requests = [mask_request(model) if measured else TapRequest() for model in models]
    forwards = [forward_of(*each) for each in zip(models, requests, strict=True)]
    results = [_Predictions() for _ in models]
    size = BATCH_ON_CPU if device.type == "cpu" else BATCH
    batches = evaluation_batches(store, positions, evaluator, size, *loader_workers(device), device)
    for batch, images in batches:
        labels = torch.from_numpy(store.labels[batch]).long().to(device)
        masks = None
        if measured:
            masks = torch.stack([evaluator.mask(store.mask(i)) for i in batch]).to(device)
        for i, model in enumerate(models):
            was_training = model.training
            model.eval()
            with Taps(model, requests[i]) as taps, arithmetic(recipes[i], device):
                logits = forwards[i](images).float()
            rows = mask_logits(taps.take()) if masks is not None else None
            model.train(was_training)
            results[i].add(logits, labels, rows, masks)
        if after_batch is not None:
            after_batch()
    index, label = np.asarray(positions), store.labels[positions].astype(np.int64)
    return [result.evaluated(index, label) for result in results]


@dataclass
class _Predictions:
    """Predictions of one model, batch by batch, on its device."""

    predictions: list[Tensor] = field(default_factory=list)
    confidences: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    masses: list[Tensor] = field(default_factory=list)

    def add(
        self, logits: Tensor, labels: Tensor, rows: Tensor | None, masks: Tensor | None
    ) -> None:
        """Add a batch: logits (b, K), labels (b,), rows (b, heads, N), masks (b, H, W)."""
        confidence, prediction = logits.softmax(dim=1).max(dim=1)
        self.predictions.append(prediction)
        self.confidences.append(confidence)
        self.losses.append(F.cross_entropy(logits, labels, reduction="none"))
        if rows is not None and masks is not None:
            shows = masks.flatten(1).any(dim=1)  # some images may have no mask
            self.masses.append(attention_mass(rows, masks)[shows])

    def evaluated(self, index: NDArray[np.int64], label: NDArray[np.int64]) -> Evaluated:
        """The result on all batches."""
        masses = torch.cat(self.masses) if self.masses else torch.empty(0)
        return Evaluated(
            index=index,
            label=label,
            prediction=torch.cat(self.predictions).cpu().numpy(),
            confidence=torch.cat(self.confidences).cpu().numpy(),
            loss=float(torch.cat(self.losses).mean()),
            attention_mass=float(masses.mean()) if len(masses) else None,
        )
