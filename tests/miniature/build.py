"""The working folder that the miniature runs in.

Archives and checkpoints lie where people place the official ones, under their names, in their
layouts and formats, so that nothing is fetched.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import yaml

from gta.catalog import SOURCES
from tests.support import archives
from tests.support.samples import random_weights

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = Path(__file__).with_name("overlay.yaml")
LINKED = ("config", "environment.yml", "local", "notebooks", "slurm", "workflow")
LAYOUTS = ("cub", "cars", "aircraft", "dogs", "pet", "voc12")
# Figure B1 shows 4 test images of a dataset; of VOC 2012 each class must have an image.
SIZE = archives.Size(classes=4, train=5, test=5, masked=20)
SIDE = 224  # pixels: of the images that the official position embeddings are made for


def checkpoint(source: str, weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A backbone as the authors of a source publish theirs (those of DINO: bare)."""
    if source == "ibot":
        return {"state_dict": weights}
    if source == "supervised":  # DeiT's, with the head of ImageNet's classes
        width = weights["cls_token"].shape[-1]
        head = {"head.weight": torch.zeros(1000, width), "head.bias": torch.zeros(1000)}
        return {"model": weights | head}
    return weights


def build(folder: Path) -> Path:
    """Fill a new folder; gives the overlay in it, with the digests of what was built."""
    folder.mkdir(parents=True)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    data = folder / "data"
    files = [file for name in LAYOUTS for file in archives.build(name, data / "archives", SIZE)]
    (data / "weights").mkdir()
    given = OVERLAY.read_text(encoding="utf-8")
    for seed, (source, architecture) in enumerate(yaml.safe_load(given)["architectures"].items()):
        archive = SOURCES[source].archive
        assert archive is not None
        files.append(data / "weights" / archive.file)
        torch.save(checkpoint(source, random_weights(architecture, SIDE, seed)), files[-1])
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    overlay = folder / "miniature.yaml"
    overlay.write_text(given + yaml.safe_dump({"digests": digests}), encoding="utf-8")
    return overlay
