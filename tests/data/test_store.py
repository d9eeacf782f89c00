"""The prepared store: what goes in comes out, mapped; what is broken says so in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gta.data.store import INDEX, VOID, Item, Store, read_digest, write
from gta.errors import GtaError
from tests.support.samples import CLASSES, files_below, random_items

SIZES = [(16, 16), (5, 9), (1, 1), (30, 2)]
SPLITS = ["train", "train", "heldout", "test"]


def items(**kwargs: Any) -> list[Item]:
    """Four images of different sizes."""
    return random_items(SIZES, SPLITS, **kwargs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a store is to be; its parent is not there yet."""
    return tmp_path / "stores" / "random"


@pytest.mark.parametrize("masks", [True, False])
def test_what_goes_in_comes_out(folder, masks):
    given = items(masks=masks)
    written = write(folder, "random", CLASSES, iter(given))
    for store in (written, Store(folder)):
        assert (store.name, store.classes, len(store)) == ("random", list(CLASSES), 4)
        assert store.names == [item.name for item in given]
        assert store.labels.tolist() == [0, 1, 2, 3]
        assert store.splits.tolist() == SPLITS
        assert store.indices("train").tolist() == [0, 1]
        assert store.indices("heldout").tolist() == [2]
        assert store.has_masks == masks
        assert store.digest == read_digest(folder) == written.digest
        for image, item in zip(store.images([0, 1, 2, 3]), given, strict=True):
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, item.pixels)
        for position, item in enumerate(given if masks else ()):
            assert store.mask(position).dtype == np.bool_
            np.testing.assert_array_equal(store.mask(position), item.mask)
    files = {"store.json", "index.parquet", "pixels.bin", "verified.json"}
    files |= {"masks.bin"} if masks else set()
    assert set(files_below(folder)) == files


def test_a_data_set_without_masks_says_so(folder):
    store = write(folder, "random", CLASSES, items(masks=False))
    with pytest.raises(GtaError, match="random has no object masks"):
        store.mask(0)


def test_masks_of_classes_keep_the_classes_and_the_void(folder):
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[2:5], mask[5:7] = 15, VOID
    store = write(folder, "random", CLASSES, [replace(items()[0], mask=mask)])
    assert store.masks == "classes"
    np.testing.assert_array_equal(store.class_mask(0), mask)
    np.testing.assert_array_equal(store.mask(0), mask == 15)  # neither background nor void


def test_what_an_image_was_before_and_in_the_published_lists(folder):
    given = items()[:2]
    given[0] = replace(given[0], original=(300, 400), bss="train/1/a.jpg")
    store = write(folder, "random", CLASSES, given, {"left_out": ["b"]})
    index = pq.read_table(folder / "index.parquet", columns=["original_height", "original_width"])
    assert [tuple(row.values()) for row in index.to_pylist()] == [(300, 400), SIZES[1]]
    assert store.bss == ["train/1/a.jpg", None]
    assert store.notes == {"left_out": ["b"]}


def test_images_are_views_of_the_file(folder):
    store = write(folder, "random", CLASSES, items())
    for view in (*store.images([3, 1]), store.mask(2)):
        assert isinstance(view, np.memmap)
        assert not view.flags.owndata
        assert not view.flags.writeable


def test_arrays_of_any_layout_are_stored_by_value(folder):
    given = items()[:1]
    turned = replace(
        given[0],
        pixels=np.asfortranarray(given[0].pixels)[:, ::-1],
        mask=np.asfortranarray(given[0].mask),
    )
    store = write(folder, "random", CLASSES, [turned])
    np.testing.assert_array_equal(store.image(0), given[0].pixels[:, ::-1])
    np.testing.assert_array_equal(store.mask(0), given[0].mask)


def one_pixel(given: list[Item]) -> None:
    given[1].pixels[4, 8, 2] ^= 1


def one_mask_pixel(given: list[Item]) -> None:
    changed = given[3].mask
    assert changed is not None
    changed[29, 1] ^= True


def turn_on_its_side(given: list[Item]) -> None:
    # the bytes stay as they are
    pixels, mask = given[1].pixels, given[1].mask
    assert mask is not None
    given[1] = replace(given[1], pixels=pixels.reshape(9, 5, 3), mask=mask.reshape(9, 5))


@pytest.mark.parametrize(
    "change",
    [
        one_pixel,
        one_mask_pixel,
        turn_on_its_side,
        lambda given: given.reverse(),
        lambda given: given.pop(),
        lambda given: given.__setitem__(0, replace(given[0], label=3)),
        lambda given: given.__setitem__(0, replace(given[0], split="test")),
        lambda given: given.__setitem__(0, replace(given[0], name="other")),
        lambda given: given.__setitem__(slice(None), [replace(i, mask=None) for i in given]),
    ],
)
def test_the_digest_depends_on_each_part(folder, change: Callable[[list[Item]], object]):
    given = items()
    before = write(folder, "random", CLASSES, given).digest
    assert write(folder, "random", CLASSES, items()).digest == before
    change(given)
    assert write(folder, "random", CLASSES, given).digest != before


@pytest.mark.parametrize(("name", "classes"), [("other", CLASSES), ("random", (*CLASSES, "e"))])
def test_the_digest_depends_on_the_names(folder, name, classes):
    before = write(folder, "random", CLASSES, items()).digest
    assert write(folder, name, classes, items()).digest != before


def test_an_interrupted_write_leaves_nothing_that_looks_whole(folder):
    def stopped():
        yield items()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(folder, "random", CLASSES, stopped())
    assert set(files_below(folder)) == set()
    with pytest.raises(GtaError, match=r"store.json: missing; `gta data prepare` makes it"):
        Store(folder)


def test_a_store_that_is_written_again_is_not_whole_until_the_end(folder):
    write(folder, "random", CLASSES, items())

    def stopped():
        yield items(seed=1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(folder, "random", CLASSES, stopped())
    assert not (folder / "store.json").exists()
    again = write(folder, "random", CLASSES, items(seed=1))
    np.testing.assert_array_equal(again.image(0), items(seed=1)[0].pixels)


def test_an_open_store_outlives_its_replacement(folder):
    given = items()
    before = write(folder, "random", CLASSES, given)
    write(folder, "random", CLASSES, items(seed=1))
    np.testing.assert_array_equal(before.image(0), given[0].pixels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": np.zeros((2, 2, 3))}, "pixels are float64 (2, 2, 3), not uint8 (height"),
        ({"pixels": np.zeros((2, 2), np.uint8)}, "pixels are uint8 (2, 2), not uint8 (height, wi"),
        ({"pixels": np.zeros((2, 2, 4), np.uint8)}, "pixels are uint8 (2, 2, 4), not uint8"),
        ({"pixels": np.zeros((0, 2, 3), np.uint8)}, "pixels are uint8 (0, 2, 3), not uint8"),
        (
            {"mask": np.zeros((2, 2), np.bool_)},
            "the mask is bool (2, 2), not bool or uint8 (16, 16)",
        ),
        ({"mask": np.full((16, 16), 2)}, "the mask is int64 (16, 16), not bool or uint8 (16, 16)"),
        ({"label": 4}, "label 4 is not one of the 4 classes"),
        ({"label": -1}, "label -1 is not one of the 4"),
        ({"split": "val"}, "split 'val' is not one of train, test, heldout"),
    ],
)
def test_an_item_that_is_not_one_is_an_error(folder, changes, message):
    given = items()
    given[0] = replace(given[0], **changes)
    with pytest.raises(GtaError) as raised:
        write(folder, "random", CLASSES, given)
    assert str(raised.value).startswith(f"train/000: {message}")
    assert set(files_below(folder)) == set()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "random: no images to store"),
        (items(masks=False)[:2] + items()[2:], "random: some images have a mask"),
    ],
)
def test_what_cannot_be_a_store_is_an_error(folder, given, message):
    with pytest.raises(GtaError, match=message):
        write(folder, "random", CLASSES, given)
    assert set(files_below(folder)) == set()


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def other_columns(folder: Path) -> None:
    pq.write_table(pa.table({"name": ["x"]}), folder / "index.parquet")


def one_row_less(folder: Path) -> None:
    index = pq.read_table(folder / "index.parquet", schema=INDEX)
    pq.write_table(index.slice(1), folder / "index.parquet")


def other_format(folder: Path) -> None:
    about = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**about, "format": 0}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut("pixels.bin"), "pixels.bin has 3065 bytes in place of 3072"),
        (cut("masks.bin"), "masks.bin has 1017 bytes in place of 1024"),
        (cut("index.parquet"), "index.parquet: "),
        (lambda folder: (folder / "pixels.bin").unlink(), "pixels.bin: "),
        (lambda folder: (folder / "pixels.bin").write_bytes(b""), "pixels.bin: "),
        (lambda folder: (folder / "masks.bin").unlink(), "masks.bin: "),
        (lambda folder: (folder / "index.parquet").unlink(), "index.parquet: "),
        (other_columns, "index.parquet: has other columns"),
        (one_row_less, "bytes in place of"),
        (other_format, "store.json: is not of format 2"),
        (lambda folder: (folder / "store.json").write_text("{"), "store.json: "),
        (lambda folder: (folder / "store.json").write_text("[]"), "store.json: is not of format"),
        (lambda folder: (folder / "store.json").write_bytes(b"\xff"), "store.json: "),
    ],
)
def test_a_damaged_store_is_one_clear_line(folder, harm, message):
    sizes = [(16, 16)] * 4
    write(folder, "random", CLASSES, random_items(sizes, SPLITS))
    harm(folder)
    with pytest.raises(GtaError) as raised:
        Store(folder)
    said = str(raised.value)
    assert said.startswith(f"{folder}: damaged store (")
    assert message in said
    assert said.endswith("delete the folder and prepare it again")
    assert "\n" not in said


def test_where_no_store_is(folder):
    for call in (Store, read_digest):
        with pytest.raises(GtaError, match=r"store.json: missing; `gta data prepare` makes it"):
            call(folder)


def keep_times(path: Path, change: Callable[[Path], None]) -> None:
    status = path.stat()
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def zero_pixels(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(48))


def swap_labels(path: Path) -> None:
    table = pq.read_table(path)
    labels = pa.array(table["label"].to_pylist()[::-1], pa.int32())
    pq.write_table(table.set_column(1, INDEX.field("label"), labels), path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("pixels.bin", zero_pixels, "image train/000 has other pixels than its digest"),
        ("index.parquet", swap_labels, "names, labels or splits do not match its digest"),
    ],
)
def test_rot_is_seen_though_the_times_are_kept(folder, name, change, said):
    write(folder, "random", CLASSES, items())
    Store(folder)
    keep_times(folder / name, change)
    with pytest.raises(GtaError, match=said):
        Store(folder)


def test_a_store_is_hashed_once_and_when_it_is_asked_for(folder, monkeypatch):
    write(folder, "random", CLASSES, items())
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    hashed: list[Path] = []
    verify = Store.verify

    def count(self: Store) -> None:
        hashed.append(self.folder)
        verify(self)

    monkeypatch.setattr(Store, "verify", count)
    Store(folder)
    assert not hashed
    Store(copy)  # files of other times
    Store(copy)
    assert hashed == [copy]
    Store(copy, verify=True)
    assert hashed == [copy, copy]
