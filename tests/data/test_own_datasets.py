"""Datasets of the user's own: nothing is left out without a word, whatever people's files are."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gta.catalog import Drawn
from gta.data.inspection import inspect_files, require_sound
from gta.data.prepare import prepare
from gta.data.readers import Listing, read
from gta.errors import GtaError
from gta.study import Study
from gta.study.load import merge
from tests.support.archives import picture

SIDE = 16


def put(path: Path, label: int = 0) -> Path:
    """An image that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = sum(path.as_posix().encode()) % 997
    path.write_bytes(picture(label, number, size=(SIDE, SIDE)) + path.name.encode())
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three training and two test images."""
    for split, images in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(images):
                put(tmp_path / "own" / split / name / f"{split}{number}.jpg", label)
    return tmp_path / "own"


def own_study(config: dict[str, Any], path: Path, **keys: Any) -> Study:
    stanza = {"title": "Own", "path": str(path), **keys.pop("stanza", {})}
    own = {"datasets": ["own"], "own_datasets": {"own": stanza}}
    return Study(merge(config, {**own, **keys}))


def splits_of(listing: Listing) -> Counter[str]:
    return Counter(entry.split for entry in listing.entries)


def fault(path: Path, drawn: Drawn | None = None) -> str:
    with pytest.raises(GtaError) as caught:
        read("folder", path, drawn)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Folders


@pytest.mark.parametrize("name", ["heldout", "val", "Valid", "validation", "dev"])
def test_folders_of_held_out_images(root, name):
    put(root / name / "cat" / "a.jpg")
    assert splits_of(read("folder", root)) == {"train": 6, "heldout": 1, "test": 4}


def test_two_folders_of_one_split_are_named(root):
    for name in ("val", "dev"):
        put(root / name / "cat" / f"{name}.jpg")
    assert "dev and val both mean heldout; leave one" in fault(root)


def test_a_folder_beside_the_splits_is_named_where_it_holds_files(root):
    (root / "notes").mkdir()
    read("folder", root)
    put(root / "more" / "cat" / "a.jpg")
    assert "more: lies beside train/ and test/ and would not be read (1 files)" in fault(root)


def test_links_to_files_and_folders_are_followed(root, tmp_path):
    elsewhere = put(tmp_path / "disk" / "a" / "a.jpg").parent
    (root / "train" / "cat" / "more").symlink_to(elsewhere.parent)
    (root / "train" / "dog" / "linked.jpg").symlink_to(put(tmp_path / "disk2" / "b.jpg", 1))
    assert splits_of(read("folder", root))["train"] == 8


def test_all_that_cannot_be_read_is_named(root):
    (root / "train" / "cat" / "gone.jpg").symlink_to("/nowhere/a.jpg")
    (root / "train" / "dog" / "circle").symlink_to(root / "train" / "dog")
    os.mkfifo(root / "test" / "cat" / "pipe.jpg")
    said = fault(root)
    assert "train/cat/gone.jpg links to /nowhere/a.jpg, which is missing" in said
    assert "train/dog/circle is a link to a folder above it" in said
    assert "test/cat/pipe.jpg is neither a file nor a folder" in said


@pytest.mark.parametrize(("split", "what"), [("train", "training"), ("test", "test")])
def test_each_class_is_trained_and_tested(root, split, what):
    for path in (root / split / "cat").iterdir():
        path.unlink()
    assert f"1 of 2 classes have no {what} image: cat" in fault(root)


def test_one_class_alone_is_none(tmp_path):
    for split in ("train", "test"):
        put(tmp_path / split / "cat" / f"{split}.jpg")
    assert "has one class, 'cat'; at least two are needed" in fault(tmp_path)


def test_classes_are_the_same_in_any_unicode_form(root):
    composed, decomposed = (unicodedata.normalize("NFC", "ü"), unicodedata.normalize("NFD", "ü"))
    for split, letter in (("train", composed), ("test", decomposed)):
        put(root / split / f"M{letter}ller" / f"{split}.jpg")
    assert read("folder", root).classes == ["Müller", "cat", "dog"]


def test_classes_that_differ_in_case_are_named(root):
    (root / "test" / "dog").rename(root / "test" / "Dog")
    assert "classes that differ only in case: Dog and dog; write them alike" in fault(root)


def test_classes_without_splits_are_divided_when_asked(tmp_path, root):
    flat = tmp_path / "flat"
    for name, images in (("cat", 10), ("dog", 7), ("elk", 2)):
        for number in range(images):
            put(flat / name / f"{number}.jpg")
    assert "let the config draw test images: `split: {test: 20, seed: 0}`" in fault(flat)
    listing = read("folder", flat, Drawn(20, 10))
    by_class = Counter((entry.label, entry.split) for entry in listing.entries)
    assert [by_class[label, "test"] for label in range(3)] == [2, 2, 1]
    assert [by_class[label, "heldout"] for label in range(3)] == [1, 1, 0]
    assert read("folder", flat, Drawn(20, 10)) == listing
    other = read("folder", flat, Drawn(20, 10, seed=1))
    assert [e.split for e in other.entries] != [e.split for e in listing.entries]
    tests = {entry.name for entry in listing.entries if entry.split == "test"}
    put(flat / "cat" / "10.jpg")
    after = {e.name for e in read("folder", flat, Drawn(20, 10)).entries if e.split == "test"}
    assert len(tests & after) >= 4, "the draw of the others does not move"
    assert "has the split test/ already" in fault(root, Drawn(20))


# CSV files


def csv_of(root: Path, *rows: str, header: str = "path,label,split", sep: str = ",") -> Path:
    """A CSV file of the images below ``root`` with more rows."""
    lines = [header]
    for path in sorted(root.glob("t*/*/*.jpg")):
        name = path.relative_to(root)
        lines.append(sep.join((str(name), path.parent.name, name.parts[0])))
    table = root / "list.csv"
    table.write_text("\n".join([*lines, *rows]) + "\n", encoding="utf-8")
    return table


@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_the_separators_of_spreadsheets(root, sep):
    table = csv_of(root, header=sep.join((" Path", "LABEL ", "split")), sep=sep)
    assert splits_of(read("folder", table)) == {"train": 6, "test": 4}
    table.write_bytes(table.read_text().encode("utf-16"))
    assert splits_of(read("folder", table)) == {"train": 6, "test": 4}


def test_labels_and_splits_with_blanks_and_other_forms_are_the_same(root):
    first, second = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    rows = [f"{put(root / 'm' / 'a.jpg')} , {first} , Training ", f"{put(root / 'b.jpg')},"]
    rows[1] += f"{second},TEST"
    listing = read("folder", csv_of(root, *rows))
    assert listing.classes == ["cat", "dog", "é"]
    assert splits_of(listing) == {"train": 7, "test": 5}


def test_labels_that_differ_in_case_are_named(root):
    put(root / "m" / "a.jpg")
    assert "differ only in case: Cat and cat" in fault(csv_of(root, "m/a.jpg,Cat,train"))


def test_backslashes_separate_folders(root):
    put(root / "m" / "a.jpg")
    assert splits_of(read("folder", csv_of(root, "m\\a.jpg,cat,val")))["heldout"] == 1


@pytest.mark.parametrize("spelt", ["./train/cat/train0.jpg", "test/../train/cat/train0.jpg", ""])
def test_one_image_twice_under_other_spellings(root, spelt):
    name = spelt or str(root / "train/cat/train0.jpg")
    assert "1 images are listed twice: train/cat/train0.jpg (train) and" in fault(
        csv_of(root, f"{name},cat,test")
    )


def test_a_table_without_splits_is_divided_when_asked(root):
    table = csv_of(root)
    rows = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    assert "has no column split" in fault(table)
    assert splits_of(read("folder", table, Drawn(20))) == {"train": 8, "test": 2}


# Bytes


@pytest.mark.parametrize("form", ["folder", "csv"])
def test_equal_files_in_two_splits_are_named(root, tiny_config, workdir, form):
    copy = root / "test" / "cat" / "copy.jpg"
    copy.write_bytes((root / "train" / "cat" / "train0.jpg").read_bytes())
    path = root if form == "folder" else csv_of(root)
    with pytest.raises(GtaError, match=r"1 images stand in more than one split or class: ") as said:
        prepare(own_study(tiny_config, path), "own")
    for name in ("train/cat/train0.jpg", "test/cat/copy.jpg", "`duplicates: keep`"):
        assert name in str(said.value)
    study = own_study(tiny_config, path, stanza={"duplicates": "keep"})
    assert len(prepare(study, "own")) == 11


@pytest.fixture
def harmed(root: Path) -> Path:
    """Three files that are no images."""
    cut = root / "train" / "cat" / "train0.jpg"
    cut.write_bytes(cut.read_bytes()[:100])
    (root / "train" / "dog" / "readme.txt").write_text("of dogs")
    (root / "test" / "cat" / "test0.jpg").write_bytes(b"version https://git-lfs.github.com/spec")
    return root


def test_all_bad_files_are_named_at_once(harmed, tiny_config, workdir):
    study = own_study(tiny_config, harmed)
    with pytest.raises(GtaError, match="3 of 11 images cannot be used: ") as said:
        prepare(study, "own")
    with pytest.raises(GtaError, match="3 of 11 images cannot be used: ") as checked:
        require_sound(inspect_files(study, "own", harmed))
    for name in ("train/cat/train0.jpg", "train/dog/readme.txt", "git-lfs pointer", "leave_out"):
        assert name in str(said.value)
        assert name in str(checked.value)
    leaving = own_study(tiny_config, harmed, images={"damaged": "leave_out"})
    store = prepare(leaving, "own")
    assert len(store) == 8
    assert len(store.notes["left_out"]) == 3


def test_classes_are_counted_again_without_damaged_images(harmed, tiny_config, workdir):
    for path in (harmed / "train" / "cat").iterdir():
        path.write_bytes(b"damaged")
    study = own_study(tiny_config, harmed, images={"damaged": "leave_out"})
    with pytest.raises(GtaError, match=r"without 5 damaged images: 1 of 2 classes have no train"):
        prepare(study, "own")
