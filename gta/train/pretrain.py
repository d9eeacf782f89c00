"""Train the three tiny sources from nothing, on the rendered upstream corpus.

They stand in for the paper's iBOT, DINO and supervised sources; none of them is that method:

- ``tiny_ibot``: contrast of the [cls] features of two views (InfoNCE, van den Oord et al. 2018,
  with all other views of the batch as negatives, as NT-Xent in Chen et al. 2020). No labels.
- ``tiny_dino``: contrast of one view's predicted [cls] features with the other view's as a
  moving average of the model sees it (MoCo v3, Chen et al. 2021): like DINO it follows a momentum
  teacher, unlike DINO it needs negatives. No labels.
- ``tiny_supervised``: attributes of the object (body, mark shapes, mark hues) from [cls].
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gta.attention import attention_mass
from gta.data import rendered
from gta.errors import GtaError
from gta.files import atomic_write
from gta.methods.readings import TapRequest
from gta.models.sources import weights_digest
from gta.models.taps import read_source
from gta.models.vit import create

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

ARCHITECTURE = "vit_mini_patch8"
MEAN, STD = 0.5, 0.25
"""Normalisation of every channel, of pixels in 0..1."""
VALIDATION_SEED, VALIDATION_OBJECTS = 2, 500

Progress = Callable[[int, int], None]
"""Called as ``progress(steps_done, steps_in_all)``."""


@dataclass(frozen=True)
class Recipe:
    """Recipe of one source's pre-training."""

    objective: str
    steps: int = 700
    objects_per_batch: int = 128
    lr: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.05
    beta2: float = 0.98
    clip: float = 1.0
    seed: int = 0
    corpus_seed: int = 1
    objects: int = 4000
    views: int = 4
    siblings: int = 4


RECIPES = {
    "tiny_ibot": Recipe("contrast", steps=1400),
    "tiny_dino": Recipe("momentum contrast"),
    "tiny_supervised": Recipe("attributes"),
}


@dataclass(frozen=True)
class Batch:
    """Two views of n objects."""

    images: Tensor  # (2n, 3, H, W), normalised; views of object i at i and n + i
    attributes: Tensor  # (n, A) 0 or 1


class Objective(nn.Module):
    """A loss on a batch; its parameters (projections, predictors) are thrown away afterwards."""

    def forward(self, model: VisionTransformer, batch: Batch) -> Tensor:
        """The loss, a scalar."""
        raise NotImplementedError

    def after_step(self, model: VisionTransformer, progress: float) -> None:
        """Called after each step; `progress` runs from 0 to 1."""


def _projection(d_in: int, d_out: int, *, batch_norm: bool = False) -> nn.Sequential:
    norm = [nn.BatchNorm1d(256)] if batch_norm else []
    return nn.Sequential(nn.Linear(d_in, 256), *norm, nn.GELU(), nn.Linear(256, d_out))


def _info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding the other view among all keys but one's own.

    Args:
        queries: (2n, D) of unit length; the views of object i at i and n + i.
        keys: (2n, D) of unit length.
        temperature: of the softmax.
    """
    itself = torch.eye(len(keys), dtype=torch.bool)
    similarity = (queries @ keys.T / temperature).masked_fill(itself, float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(keys)).roll(len(keys) // 2))


class Contrast(Objective):
    """InfoNCE between the two views' projected [cls] features."""

    temperature = 0.1

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.project = _projection(model.embed_dim, 64)

    def forward(self, model: VisionTransformer, batch: Batch) -> Tensor:
        """The mean over all views."""
        z = F.normalize(self.project(model.forward_features(batch.images)[:, 0]), dim=1)
        return _info_nce(z, z, self.temperature)


def _follow(mean: nn.Module, online: nn.Module, momentum: float, progress: float) -> None:
    """Move a mean of weights; its momentum rises to 1 along a half cosine."""
    rate = (1 - momentum) * 0.5 * (1 + math.cos(math.pi * progress))
    for average, parameter in zip(mean.parameters(), online.parameters(), strict=True):
        average.lerp_(parameter, rate)


class MomentumContrast(Objective):
    """InfoNCE between the student's prediction of one view and the teacher's [cls] of the other."""

    temperature, momentum = 0.1, 0.98

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.project = _projection(model.embed_dim, 64, batch_norm=True)
        self.predict = _projection(64, 64, batch_norm=True)
        self._teacher = (  # a tuple: not submodules
            copy.deepcopy(model).requires_grad_(False),
            copy.deepcopy(self.project).requires_grad_(False),
        )

    def forward(self, model: VisionTransformer, batch: Batch) -> Tensor:
        """The mean over both directions."""
        backbone, project = self._teacher
        with torch.no_grad():
            keys = F.normalize(project(backbone.forward_features(batch.images)[:, 0]), dim=1)
        projected = self.project(model.forward_features(batch.images)[:, 0])
        queries = F.normalize(self.predict(projected), dim=1)
        return _info_nce(queries, keys, self.temperature)

    @torch.no_grad()
    def after_step(self, model: VisionTransformer, progress: float) -> None:
        """Move the averages."""
        for part, online in zip(self._teacher, (model, self.project), strict=True):
            _follow(part, online, self.momentum, progress)


class Attributes(Objective):
    """Binary cross entropy of the object's attributes from [cls] of one view."""

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.classify = nn.Linear(model.embed_dim, N_ATTRIBUTES)

    def forward(self, model: VisionTransformer, batch: Batch) -> Tensor:
        """The sum over attributes, averaged over the batch."""
        one = batch.images[: len(batch.attributes)]
        logits = self.classify(model.forward_features(one)[:, 0])
        return F.binary_cross_entropy_with_logits(logits, batch.attributes) * N_ATTRIBUTES


OBJECTIVES: dict[str, type[Objective]] = {
    "contrast": Contrast,
    "momentum contrast": MomentumContrast,
    "attributes": Attributes,
}

_HUE_BINS = 12
N_ATTRIBUTES = len(rendered.UPSTREAM.lobes) + len(rendered.UPSTREAM.marks) + _HUE_BINS


def attributes(objects: rendered.Objects) -> Tensor:
    """(n, N_ATTRIBUTES) 0 or 1: the body's lobes, each mark shape, each twelfth of the hues."""
    shapes = np.array([list(rendered.MARKS).index(m) for m in rendered.UPSTREAM.marks])
    lobes = objects.lobes[:, None] == np.array(rendered.UPSTREAM.lobes)
    marks = (objects.mark[:, :, None] == shapes).any(axis=1)
    bins = np.floor(objects.mark_hue * _HUE_BINS) % _HUE_BINS
    hues = (bins[:, :, None] == np.arange(_HUE_BINS)).any(axis=1)
    return torch.from_numpy(np.concatenate([lobes, marks, hues], axis=1)).float()


def normalise(images: Tensor) -> Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) with `MEAN` and `STD` taken out."""
    return ((images.float() / 255 - MEAN) / STD).movedim(-1, -3).contiguous()


def quality(model: VisionTransformer, images: Tensor, masks: Tensor) -> float:
    """Mean share of the last block's [cls] attention on the object.

    Args:
        model: without head.
        images: uint8 (n, H, W, 3).
        masks: bool (n, H, W).
    """
    request = TapRequest(cls_logits=(-1,))
    shares = []
    for some, where in zip(images.split(250), masks.split(250), strict=True):
        logits = read_source(model, normalise(some), request).cls_logits
        assert logits is not None
        shares.append(attention_mass(logits[-1], where))
    return float(torch.cat(shares).mean())


def validation() -> rendered.Corpus:
    """Upstream images that no source was trained on, for the quality figure."""
    return rendered.upstream(VALIDATION_SEED, objects=VALIDATION_OBJECTS, views=1, siblings=1)


def _batches(corpus: rendered.Corpus, recipe: Recipe) -> Iterator[Batch]:
    """Endless batches of whole sibling families, two views of every object."""
    images, labels = torch.from_numpy(corpus.images), attributes(corpus.objects)
    families = len(images) // recipe.siblings
    while True:
        chosen = torch.randperm(families)[: recipe.objects_per_batch // recipe.siblings]
        index = (chosen[:, None] * recipe.siblings + torch.arange(recipe.siblings)).flatten()
        views = torch.rand(len(index), images.shape[1]).argsort(dim=1)
        pair = torch.cat([images[index, views[:, 0]], images[index, views[:, 1]]])
        yield Batch(normalise(pair), labels[index])


def pretrain(
    name: str, out: Path, progress: Progress | None = None, recipe: Recipe | None = None
) -> dict[str, str]:
    """Train one tiny source and write it as float16 safetensors with metadata.

    Args:
        name: "tiny_ibot", "tiny_dino" or "tiny_supervised".
        out: file to write; it appears whole or not at all.
        progress: told how many steps are done, of how many.
        recipe: in place of the source's own.

    Returns:
        The metadata: source, objective, recipe (JSON), architecture, image_size, mean, std,
        data_digest, validation_digest, weights_digest and attention_mass.

    Raises:
        GtaError: no such source, or the loss is not finite.
    """
    if name not in RECIPES:
        raise GtaError(f"no source {name!r} to train; there are: {', '.join(RECIPES)}")
    recipe = recipe or RECIPES[name]
    corpus = rendered.upstream(
        recipe.corpus_seed, objects=recipe.objects, views=recipe.views, siblings=recipe.siblings
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = _train(name, recipe, corpus, progress)
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    held = validation()
    mass = quality(model, torch.from_numpy(held.images[:, 0]), torch.from_numpy(held.masks[:, 0]))
    metadata = {
        "source": name,
        "objective": recipe.objective,
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "architecture": ARCHITECTURE,
        "image_size": str(rendered.SIZE),
        "mean": str(MEAN),
        "std": str(STD),
        "data_digest": corpus.digest,
        "validation_digest": held.digest,
        "weights_digest": weights_digest(weights),
        "attention_mass": f"{mass:.4f}",
    }
    with atomic_write(out) as hidden:
        save_file(weights, hidden, metadata)
    return metadata


def _train(
    name: str, recipe: Recipe, corpus: rendered.Corpus, progress: Progress | None
) -> VisionTransformer:
    model = create(ARCHITECTURE, rendered.SIZE, num_classes=0)
    objective = OBJECTIVES[recipe.objective](model)
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay
    )
    for step, batch in zip(range(recipe.steps), _batches(corpus, recipe), strict=False):
        done = step / recipe.steps
        warm = min(1.0, (step + 1) / recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * warm * 0.5 * (1 + math.cos(math.pi * done))
        loss = objective(model, batch)
        if not torch.isfinite(loss):
            raise GtaError(f"{name}: the loss is {loss.item()} at step {step}")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        objective.after_step(model, done)
        if progress is not None:
            progress(step + 1, recipe.steps)
    return model.eval()
