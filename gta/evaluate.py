"""Test a model on a store's images: predictions, accuracy, attention on the object."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from gta.data.augment import Evaluator
from gta.data.store import Store
from gta.models.taps import TapRequest, Taps
from gta.segmentation import BATCH, attention_mass

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
            object, over images and heads; None where the store has no masks.
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
    was_training = model.training
    model.eval()
    request = LAST_ROW if with_mass and store.has_masks else None
    predictions, confidences, losses, masses = [], [], [], []
    with Taps(model, request) if request else nullcontext() as taps:
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            logits = model(evaluator(store.images(batch)).to(device)).float()
            labels = torch.from_numpy(store.labels[batch]).long().to(device)
            confidence, prediction = logits.softmax(dim=1).max(dim=1)
            predictions.append(prediction.cpu())
            confidences.append(confidence.cpu())
            losses.append(F.cross_entropy(logits, labels, reduction="none").cpu())
            if taps is not None:
                rows = taps.take().cls_logits
                assert rows is not None
                masks = torch.stack([evaluator.mask(store.mask(i)) for i in batch]).to(device)
                masses.append(attention_mass(rows[0], masks).cpu())
    model.train(was_training)
    return Evaluated(
        index=np.asarray(positions),
        label=store.labels[positions].astype(np.int64),
        prediction=torch.cat(predictions).numpy(),
        confidence=torch.cat(confidences).numpy(),
        loss=float(torch.cat(losses).mean()),
        attention_mass=float(torch.cat(masses).mean()) if masses else None,
    )
