"""Predictions of a model on image files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from PIL import Image

from gta import files
from gta.attention.image import attention
from gta.attention.maps import overlay
from gta.data.batches.augment import Evaluator, Pixels
from gta.data.images import decode, quiet
from gta.errors import GtaError
from gta.study import Recipe

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

BATCH = 64
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")


@dataclass(frozen=True)
class Classifier:
    """A model with what it needs to name what it sees.

    Attributes:
        model: in evaluation mode.
        classes: names in the order of its outputs.
        recipe: image size, normalisation and view of test images.
    """

    model: VisionTransformer
    classes: Sequence[str]
    recipe: Recipe


@dataclass(frozen=True)
class Answers:
    """Predictions of a model for a batch of image files.

    Attributes:
        rows: a row an image: ``image``, ``prediction``, ``confidence``, then
            ``prediction_2``, ``confidence_2`` and so on.
        faults: of the images that were skipped.
    """

    rows: pd.DataFrame
    faults: list[str]


def find_images(names: Iterable[str]) -> list[Path]:
    """Image files: files as they are, folders with all below them, patterns with ``*``.

    Raises:
        GtaError: if a name matches nothing.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS)
            if not below:
                raise GtaError(f"holds no images ({' '.join(ENDINGS)})", where=path)
            found += below
        elif path.exists() or not glob.has_magic(name):
            found.append(path)
        else:
            matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207
            if not matches:
                raise GtaError(f"no file matches {name!r}")
            found += [match for match in matches if match.is_file()]
    return list(dict.fromkeys(found))


def predict(
    classifier: Classifier,
    paths: Sequence[Path],
    top: int = 1,
    overlays: Path | None = None,
    device: str = "cpu",
) -> Iterator[Answers]:
    """Classify image files, batch by batch.

    Args:
        classifier: the model.
        paths: the files; those that cannot be decoded are skipped and named.
        top: how many classes to name for an image.
        overlays: a folder for the images with the model's attention in red.
        device: where to compute.
    """
    where = torch.device(device)
    model, view = classifier.model.to(where), Evaluator(classifier.recipe)
    top = min(top, len(classifier.classes))
    columns = ["image"]
    for rank in range(1, top + 1):
        ending = "" if rank == 1 else f"_{rank}"
        columns += [f"prediction{ending}", f"confidence{ending}"]
    with quiet(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            decoded = list(pool.map(_decode, batch))
            good = [(p, d) for p, d in zip(batch, decoded, strict=True) if not isinstance(d, str)]
            faults = [fault for fault in decoded if isinstance(fault, str)]
            rows: list[list[object]] = []
            if good:
                with torch.inference_mode():
                    logits = model(view([pixels for _, pixels in good]).to(where)).float()
                confidence, labels = (part.cpu() for part in logits.softmax(dim=1).topk(top))
                for (path, _), shares, indices in zip(
                    good, confidence.tolist(), labels.tolist(), strict=True
                ):
                    named = zip((classifier.classes[i] for i in indices), shares, strict=True)
                    rows.append([str(path), *(value for pair in named for value in pair)])
            if overlays is not None:
                for path, pixels in good:
                    _draw(model, path, pixels, overlays)
            yield Answers(pd.DataFrame(rows, columns=columns), faults)


def _decode(path: Path) -> Pixels | str:
    try:
        return decode(path, str(path))
    except GtaError as error:
        return str(error)


def _draw(model: VisionTransformer, path: Path, pixels: Pixels, folder: Path) -> None:
    """Write an image with its attention as ``<folder>/<path of the image>.png``."""
    laid = overlay(pixels, attention(model, np.ascontiguousarray(pixels)))
    parts = [part for part in path.parts if part not in (path.anchor, "..", ".")]
    with files.atomic_write(folder.joinpath(*parts).with_suffix(".png")) as hidden:
        Image.fromarray(laid).save(hidden)
