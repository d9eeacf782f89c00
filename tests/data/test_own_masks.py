"""Masks of the user's own datasets: a folder beside the splits, or a column of the CSV file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gta.data.prepare import prepare
from gta.data.readers import read
from gta.data.store import VOID
from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge
from tests.support.archives import picture

SIDE = 16


def save_mask(path: Path, **ids: int) -> None:
    """A grey PNG: the upper left quarter is the object, the last row ``void``."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[: SIDE // 2, : SIDE // 2] = ids.get("object", 255)
    mask[-1] = ids.get("void", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def own(tmp_path) -> Path:
    """Two classes; of each the first test image has a mask, and one training image."""
    root = tmp_path / "own"
    for split, images in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(images):
                path = root / split / name / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(label, 10 * images + number, size=(SIDE, SIDE)))
            save_mask(root / "masks" / split / name / "0.png", object=1 + label, void=7)
    return root


def in_csv(root: Path) -> Path:
    """The same as a CSV file."""
    rows = ["path,label,split,mask"]
    for path in sorted(root.glob("t*/*/*.jpg")):
        name = path.relative_to(root)
        mask = Path("masks", name).with_suffix(".png")
        rows.append(f"{name},{path.parent.name},{name.parts[0]},{mask if path.stem == '0' else ''}")
    table = root / "images.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def study_of(config: dict[str, Any], path: Path, **keys: Any) -> Study:
    stanza = {"title": "Own", "path": str(path), **keys}
    own = {"study": "own", "datasets": ["own"], "own_datasets": {"own": stanza}}
    return Study(merge(config, own))


@pytest.mark.parametrize("form", ["folder", "csv"])
@pytest.mark.parametrize("void", [None, 7])
def test_masks_reach_the_store(form, void, own, tiny_config, workdir):
    study = study_of(tiny_config, own if form == "folder" else in_csv(own), mask_void=void)
    store = prepare(study, "own")
    assert store.masks == "classes"
    masked = [store.is_masked(position) for position in range(len(store))]
    assert masked == [name.endswith("0.jpg") for name in store.names]
    ids = store.class_mask(0)
    assert (ids[: SIDE // 2, : SIDE // 2] == 1).all()
    assert (ids[-1] == (1 if void is None else VOID)).all()
    assert (ids[SIDE // 2 : -1] == 0).all()


def test_a_void_value_is_another_store(own, tiny_config, workdir):
    plain, void = (study_of(tiny_config, own, mask_void=value) for value in (None, 7))
    assert plain.store("own") != void.store("own")


def test_without_masks_there_are_none(own, tiny_config, workdir):
    shutil.rmtree(own / "masks")
    assert not prepare(study_of(tiny_config, own), "own").has_masks


def test_what_is_wrong_with_masks_is_named(own, tiny_config, workdir):
    stray = own / "masks/test/cat/9.png"
    save_mask(stray)
    with pytest.raises(GtaError, match=r"9.png: is the mask of no image; name it as its image"):
        read("folder", own)
    stray.unlink()
    (own / "test/cat/0.png").write_bytes(picture(0, 0, "PNG", size=(SIDE, SIDE)))
    with pytest.raises(GtaError, match=r"0.png: is the mask of 2 images"):
        read("folder", own)
    (own / "test/cat/0.png").unlink()
    save_mask(own / "masks/test/cat/0.gif")
    with pytest.raises(GtaError, match=r"0.png: test/cat/0.jpg has another mask, .*0.gif"):
        read("folder", own)
    (own / "masks/test/cat/0.gif").unlink()
    Image.new("RGB", (SIDE, SIDE)).save(own / "masks/test/cat/0.png")
    with pytest.raises(GtaError, match=r"mask of test/cat/0.jpg: a mask of class ids has a pal"):
        prepare(study_of(tiny_config, own), "own")
    Image.new("L", (SIDE, SIDE + 1)).save(own / "masks/test/cat/0.png")
    with pytest.raises(GtaError, match=r"mask of test/cat/0.jpg: 16 x 17 pixels, the image has"):
        prepare(study_of(tiny_config, own), "own")
