"""What measurements work on: photographs where their archive is at hand, else images like them."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import ROOT
from gta.data.images import resize_short_side
from gta.data.store import Item, Store, write
from gta.study import Study

Pixels = NDArray[np.uint8]
GROCERY = "grocery192.tar"


def archive() -> Path | None:
    """The archive of small grocery photographs, where it lies among the archives."""
    path = ROOT / os.environ.get("GTA_ARCHIVES", "data/archives") / GROCERY
    return path if path.exists() else None


def pictures(count: int, long_side: int) -> list[Pixels]:
    """RGB images, (height, width, 3), of the grocery dataset or, without it, of clouds.

    Args:
        count: how many.
        long_side: pixels of the longer side.
    """
    found = archive()
    small = list(_photographs(found, count)) if found else [_clouds(i) for i in range(count)]
    return [_scaled(picture, long_side) for picture in small]


def _photographs(path: Path, count: int) -> Iterator[Image.Image]:
    with tarfile.open(path) as archive:
        files = [m for m in archive.getmembers() if m.isfile() and m.name.endswith(".jpg")]
        for member in files[:: max(1, len(files) // count)][:count]:
            file = archive.extractfile(member)
            assert file is not None
            yield Image.open(io.BytesIO(file.read())).convert("RGB")


def _clouds(seed: int) -> Image.Image:
    """Noise at all scales: JPEGs of it are about as large as those of photographs."""
    rng = np.random.default_rng(seed)
    height, width = ((192, 256), (256, 192), (192, 192))[seed % 3]
    whole = np.zeros((height, width, 3))
    for level in range(1, 8):
        coarse = rng.random((2**level, 2**level, 3)) * 255
        layer = Image.fromarray(coarse.astype(np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        whole += (np.asarray(layer) - 127.5) * 0.6**level
    return Image.fromarray(np.clip(whole + 127.5, 0, 255).astype(np.uint8))


def _scaled(picture: Image.Image, long_side: int) -> Pixels:
    scale = long_side / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))


def write_jpegs(images: Sequence[Pixels], folder: Path, classes: int) -> list[Path]:
    """JPEGs of quality 90 in a folder a class, as torchvision's ``ImageFolder`` reads them."""
    paths = []
    for number, image in enumerate(images):
        path = folder / f"class{number % classes:02d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=90)
        paths.append(path)
    return paths


def write_store(
    images: Sequence[Pixels], folder: Path, classes: int, splits: Sequence[str], short_side: int
) -> Store:
    """A store of images at the given shorter side; the classes take turns."""
    items = [
        Item(f"{i:05d}", i % classes, split, resize_short_side(image, short_side))
        for i, (image, split) in enumerate(zip(images, splits, strict=True))
    ]
    return write(folder, "bench", [f"class {n}" for n in range(classes)], items)


def write_weights(study: Study) -> None:
    """Random weights where a study looks for its sources; time does not depend on their values."""
    from safetensors.torch import save_file

    from gta.models.vit import create

    recipe = study.config.recipe
    backbone = create(recipe.architecture, recipe.image_size, num_classes=0)
    for source in study.config.sources.values():
        path = study.weights(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(backbone.state_dict(), path)


def overlaid(config: str, folder: Path, **keys: Any) -> Path:
    """A config of this repository as one file in ``folder``, some of its keys replaced."""
    content = yaml.safe_load((ROOT / "config" / config).read_text(encoding="utf-8"))
    path = folder / f"{keys.get('study', content['study'])}.yaml"
    path.write_text(yaml.safe_dump(content | keys, sort_keys=False), encoding="utf-8")
    return path


@contextmanager
def working_folder(folder: Path, **environment: str) -> Iterator[Path]:
    """Work in ``folder``, which is given the repository's configs, with more environment."""
    (folder / "config").symlink_to(ROOT / "config")
    before, here = dict(os.environ), Path.cwd()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def programs() -> Mapping[str, str]:
    """The environment for child processes that call ``gta`` and ``snakemake``."""
    beside = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
