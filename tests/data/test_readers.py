"""Each dataset's true layout, in small, becomes its listing; what is wrong with it is named."""

from __future__ import annotations

import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gta.catalog import DATASETS, Counts
from gta.data.images import decode, decode_mask
from gta.data.readers import READERS, Entry, Listing, check_classes, check_counts, grocery, read
from gta.errors import GtaError
from tests.support import archives
from tests.support.archives import FIXED, LAYOUTS, Size, build, lay_out

SIZE = Size(classes=4, train=3, test=2, heldout=1)
JPEG = b"\xff\xd8\xff"
IMAGES = {"train": 3 + 4 + 3 + 4, "test": 8}
CLASSES = {
    "cub": ["001.Bird_0", "002.Bird_1", "003.Bird_2", "004.Bird_3"],
    "cars": [f"Maker Model {n} 2012" for n in range(4)],
    "aircraft": ["707-320", "BAE 146-200", "F-16A/B", "F/A-18"],
    "dogs": [f"n{2085620 + 100 * n:08d}-Breed{n}" for n in range(4)],
    "pet": ["Abyssinian", "small_breed_1", "small_breed_2", "small_breed_3"],
    "grocery": [f"Royal-Gala-{n}" for n in range(4)],
}


def reader_of(layout: str) -> str:
    return layout.partition("_")[0]


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in FIXED])
def test_a_layout(layout, tmp_path):
    listing = read(reader_of(layout), lay_out(layout, tmp_path, SIZE))
    assert listing.classes == CLASSES[reader_of(layout)]
    expected = IMAGES | ({"heldout": 4} if layout == "grocery" else {})
    assert Counter(entry.split for entry in listing.entries) == expected
    of_class = Counter(entry.label for entry in listing.entries if entry.split == "train")
    assert of_class == {0: 3, 1: 4, 2: 3, 3: 4}
    for entry in listing.entries:
        pixels = decode(entry.path, crop_bottom=entry.crop_bottom)
        is_grey = (pixels[..., 0] == pixels[..., 1]).all()
        if not is_grey and entry.path.read_bytes().startswith(JPEG):
            # The label is the picture's: it has the colour of its class.
            colour = decode(archives.picture(entry.label, 0)).mean(axis=(0, 1))
            np.testing.assert_allclose(pixels.mean(axis=(0, 1)), colour, atol=12)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if not name.startswith("cars")])
@pytest.mark.parametrize("nested", ["copy", "archive/copy"])
def test_nested_folders_change_nothing(layout, nested, tmp_path):
    flat = read(reader_of(layout), lay_out(layout, tmp_path / "flat"))
    (tmp_path / "deep" / "__MACOSX" / nested).mkdir(parents=True)
    lay_out(layout, tmp_path / "deep" / nested)
    deep = read(reader_of(layout), tmp_path / "deep")
    assert deep.classes == flat.classes
    assert [e.name for e in deep.entries] == [e.name for e in flat.entries]
    assert [e.bss for e in deep.entries] == [e.bss for e in flat.entries]


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_archives_hold_what_is_laid_out(layout, tmp_path):
    paths = build(layout, tmp_path / "archives", SIZE)
    for path in paths:
        if path.suffix == ".mat":
            target = tmp_path / "unpacked"
            target.mkdir(exist_ok=True)
            shutil.copy(path, target)
        else:
            shutil.unpack_archive(path, tmp_path / "unpacked", filter=None)
    listing = read(reader_of(layout), tmp_path / "unpacked")
    other = read(reader_of(layout), lay_out(layout, tmp_path / "laid_out", SIZE))
    assert [e.name for e in listing.entries] == [e.name for e in other.entries]


def test_every_data_set_of_the_catalog_has_a_reader_and_archives_that_tests_build():
    of_images = {name: info for name, info in DATASETS.items() if info.kind == "images"}
    assert {info.reader for info in of_images.values()} <= set(READERS)
    for name, info in of_images.items():
        published = {
            file
            for form in info.forms
            for archive in form.archives
            for file in (archive.file, *archive.other_names)
        }
        built = {
            file
            for layout in LAYOUTS
            if reader_of(layout) == info.reader
            for file in LAYOUTS[layout](Size(1, 1, 1))
        }
        assert published & built, name


# Images of the datasets, one by one.


def test_cub_keeps_the_order_of_its_list_and_names_its_images_as_bss_does(tmp_path):
    listing = read("cub", lay_out("cub", tmp_path, SIZE))
    names = [entry.name for entry in listing.entries]
    assert names[0].startswith("001.Bird_0/Bird_0_0000")
    assert names == sorted(names)
    assert all(entry.bss == f"{entry.split}/{entry.name}" for entry in listing.entries)


def test_the_banner_of_aircraft_is_cut_off(tmp_path):
    entry = read("aircraft", lay_out("aircraft", tmp_path)).entries[0]
    whole, photograph = decode(entry.path), decode(entry.path, crop_bottom=entry.crop_bottom)
    assert (whole.shape, photograph.shape) == ((68, 64, 3), (48, 64, 3))
    assert whole[-18:].mean() > 250
    assert photograph.mean() < 200


def test_variants_with_slashes_and_spaces(tmp_path):
    listing = read("aircraft", lay_out("aircraft", tmp_path, SIZE))
    folders = {(entry.label, str(entry.bss).split("/")[1]) for entry in listing.entries}
    assert folders == {(0, "707-320"), (1, "BAE 146-200"), (2, "F-16A-B"), (3, "F-A-18")}


def test_pet_and_its_files_named_jpg(tmp_path):
    listing = read("pet", lay_out("pet", tmp_path, SIZE))
    kinds = {entry.path.read_bytes()[:3] for entry in listing.entries}
    assert kinds == {JPEG, b"\x89PN", b"GIF"}
    entry = next(entry for entry in listing.entries if entry.label == 2)
    assert entry.bss == f"{entry.split}/3/{entry.name}"


def test_dogs(tmp_path):
    for entry in read("dogs", lay_out("dogs", tmp_path, SIZE)).entries:
        assert entry.path.parent.name == CLASSES["dogs"][entry.label]
        assert entry.bss == f"{entry.split}/{entry.name}"


def test_one_image_alone_in_a_mat_list(tmp_path):
    """A cell array of one element is read back as a bare string."""
    listing = read("dogs", lay_out("dogs", tmp_path, Size(1, 1, 1)))
    assert [entry.split for entry in listing.entries] == ["train", "test"]


def test_voc_takes_the_validation_list_and_the_largest_class(tmp_path):
    listing = read("voc12", lay_out("voc12", tmp_path))
    assert len(listing.classes) == 20
    assert listing.classes[14] == "person"
    assert [entry.label for entry in listing.entries] == [number % 20 for number in range(40)]
    assert {entry.split for entry in listing.entries} == {"test"}
    for entry in listing.entries[:5]:
        assert entry.mask is not None
        ids = decode_mask(entry.mask)
        areas = {n: int((ids == n).sum()) for n in range(1, 21)}
        assert max(areas, key=areas.__getitem__) == entry.label + 1
        assert sum(area > 0 for area in areas.values()) == 2


def test_a_mask_without_a_class(tmp_path):
    folder = lay_out("voc12", tmp_path) / "VOCdevkit/VOC2012/SegmentationClass"
    path = folder / "2007_000000.png"
    for ids, said in (
        ([0, 255], "no pixel is of one of the 20 classes"),
        ([0, 1, 21, 255], "has class ids that are neither 0 to 20 nor 255"),
    ):
        Image.fromarray(np.asarray([ids], dtype=np.uint8)).save(path)
        with pytest.raises(GtaError, match=rf"2007_000000\.png: {said}"):
            read("voc12", tmp_path)


# Stanford Cars and its copies.


def test_cars_are_named_by_the_pooled_file_where_it_is_there(tmp_path):
    folder = lay_out("cars", tmp_path / "with", SIZE)
    listing = read("cars", folder)
    pooled = read("cars", lay_out("cars_pooled", tmp_path / "pooled", SIZE))
    named = {entry.bss for entry in listing.entries}
    assert named == {entry.bss for entry in pooled.entries}
    assert "train/1/000001.jpg" in named or "test/1/000001.jpg" in named
    for entry in listing.entries:
        split, number, _ = str(entry.bss).split("/")
        assert (split, int(number)) == (entry.split, entry.label + 1)
    (folder / "cars_annos.mat").unlink()
    without = read("cars", folder)
    assert {entry.bss for entry in without.entries} == {None}
    assert [e.name for e in without.entries] == [e.name for e in listing.entries]


def test_the_copy_of_cars_lists_what_the_original_lists(tmp_path):
    original = read("cars", lay_out("cars", tmp_path / "original", SIZE))
    copy = read("cars", lay_out("cars_copy", tmp_path / "copy", SIZE))
    assert [(e.name, e.label) for e in copy.entries] == [
        (e.name, e.label) for e in original.entries
    ]
    assert copy.entries[0].path.parts[-3:] == ("cars_train", "cars_train", "00001.jpg")


def annotated(boxes: list[tuple[str, int]], pooled: bool) -> bytes:
    """Annotations of images of class 1, by split and the box's right edge."""
    rows = []
    for number, (split, right) in enumerate(boxes, 1):
        box = {"bbox_x1": 1, "bbox_y1": 1, "bbox_x2": right, "bbox_y2": 9, "class": 1}
        name = {"relative_im_path": f"car_ims/{number:06d}.jpg", "test": int(split == "test")}
        rows.append(box | (name if pooled else {"fname": f"{number:05d}.jpg"}))
    return archives.mat(annotations=rows, class_names=["One"])


def test_cars_that_cannot_be_told_apart(tmp_path):
    """Two test images of one class may change places; of two training images none is guessed."""
    files = {
        "cars_train_annos.mat": annotated([("train", 5), ("train", 5), ("train", 6)], False),
        "cars_test_annos_withlabels.mat": annotated([("test", 7), ("test", 7)], False),
        "cars_meta.mat": archives.mat(class_names=["One"]),
        "cars_annos.mat": annotated(
            [("train", 5), ("test", 7), ("train", 5), ("test", 7), ("train", 6)], True
        ),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in ("cars_train/00001", "cars_train/00002", "cars_train/00003"):
        (tmp_path / f"{name}.jpg").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").touch()
    shutil.copytree(tmp_path / "cars_train", tmp_path / "cars_test")
    named = {entry.name: entry.bss for entry in read("cars", tmp_path).entries}
    assert named == {
        "cars_train/00001.jpg": None,
        "cars_train/00002.jpg": None,
        "cars_train/00003.jpg": "train/1/000005.jpg",
        "cars_test/00001.jpg": "test/1/000002.jpg",
        "cars_test/00002.jpg": "test/1/000004.jpg",
    }


def test_cars_says_what_is_missing(tmp_path):
    folder = lay_out("cars_copy", tmp_path)
    labels = folder / "cars_test_annos_withlabels (1).mat"
    labels.rename(tmp_path / "elsewhere")
    with pytest.raises(GtaError, match=r"cars_test_annos_withlabels\.mat of Stanford Cars is miss"):
        read("cars", folder)
    (tmp_path / "elsewhere").rename(labels)
    shutil.rmtree(folder / "cars_test")
    with pytest.raises(GtaError, match=r"cars_test/00001\.jpg of Stanford Cars is missing"):
        read("cars", folder)
    (folder / "devkit" / "cars_meta.mat").write_bytes(archives.mat(class_names=["Another"]))
    with pytest.raises(GtaError, match=r"holds different files .*cars_meta\.mat.*; leave one"):
        read("cars", folder)
    with pytest.raises(GtaError, match="does not hold Stanford Cars: neither the devkit"):
        read("cars", lay_out("pet", tmp_path / "pets"))


def test_a_damaged_mat_file(tmp_path):
    path = lay_out("dogs", tmp_path) / "train_list.mat"
    whole = path.read_bytes()
    for data in (b"", b"no matlab", whole[:300], whole[:150]):
        path.write_bytes(data)
        with pytest.raises(GtaError, match=r"train_list\.mat: (damaged|has no variable)"):
            read("dogs", tmp_path)


# A user's own images.


def own(root: Path) -> Path:
    training = ("train/cat/1", "train/cat/sub/2", "train/dog b/1")
    for place in (*training, "test/cat/9", "test/dog b/8", "heldout/cat/1"):
        path = root / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archives.picture(0, 0))
    return root


def test_a_folder(tmp_path):
    root = own(tmp_path / "mine")
    for leftover in (".DS_Store", "train/.DS_Store", "train/cat/Thumbs.db", "train/cat/._1.jpg"):
        (root / leftover).touch()
    listing = read("folder", tmp_path)
    assert listing.classes == ["cat", "dog b"]
    assert [(e.name, e.label, e.split) for e in listing.entries] == [
        ("train/cat/1.jpg", 0, "train"),
        ("train/cat/sub/2.jpg", 0, "train"),
        ("train/dog b/1.jpg", 1, "train"),
        ("heldout/cat/1.jpg", 0, "heldout"),
        ("test/cat/9.jpg", 0, "test"),
        ("test/dog b/8.jpg", 1, "test"),
    ]


def test_a_folder_that_is_laid_out_otherwise(tmp_path):
    root = own(tmp_path / "mine")
    (root / "test" / "horse").mkdir()
    with pytest.raises(GtaError, match="test/horse: no class of this name is in"):
        read("folder", root)
    (root / "test" / "horse").rmdir()
    (root / "train" / "loose.jpg").touch()
    with pytest.raises(GtaError, match=r"loose\.jpg: lies beside the classes' folders"):
        read("folder", root)
    (root / "train" / "loose.jpg").unlink()
    (root / "train" / "empty").mkdir()
    with pytest.raises(GtaError, match="1 classes have no image: empty"):
        read("folder", root)
    shutil.rmtree(root / "test")
    with pytest.raises(GtaError, match="has heldout/, train/ and no test/; every class needs"):
        read("folder", root)


def table(path: Path, *rows: str) -> Path:
    path.write_text(
        "path,label,split\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8-sig"
    )
    return path


def test_a_csv_file(tmp_path):
    own(tmp_path)
    outside = tmp_path.parent / "outside.jpg"
    outside.write_bytes(archives.picture(0, 0))
    file = table(
        tmp_path / "list.csv",
        "train/cat/1.jpg,10,train",
        '"train/dog b/1.jpg",9,train',
        f"{outside},9,test",
        "heldout/cat/1.jpg,10,heldout",
        "test/cat/9.jpg,10,test",
    )
    listing = read("folder", file)
    assert listing.classes == ["9", "10"]  # numbers in their own order
    assert [(entry.label, entry.split) for entry in listing.entries] == [
        (1, "train"),
        (0, "train"),
        (0, "test"),
        (1, "heldout"),
        (1, "test"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("train/cat/1.jpg,cat,exam", r"list\.csv:2: split 'exam' is not one of train, training,"),
        ("train/cat/1.jpg,,train", r"list\.csv:2: path, label or split is empty"),
        ("train/cat/1.jpg,cat", r"list\.csv:2: path, label or split is empty"),
        ("train/cat/77.jpg,cat,train", r"1 of 1 files that it names are missing: .*77\.jpg; paths"),
        ("train/cat/1.jpg,cat,train,more", r"list\.csv:2: has more fields than the header; quote"),
        ("train/cat,cat,train", r"list\.csv: names what is not a file: .*train/cat"),
        ("", "its lists name no images"),
    ],
)
def test_a_bad_csv_file(tmp_path, row, said):
    own(tmp_path)
    with pytest.raises(GtaError, match=said):
        read("folder", table(tmp_path / "list.csv", row))


def test_a_file_that_is_no_csv(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("file;class\n")
    with pytest.raises(GtaError, match="has no column path, label, split; it needs"):
        read("folder", path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GtaError, match="is not a CSV file in UTF-8"):
        read("folder", path)


# What is wrong with any of them.


@pytest.mark.parametrize(
    ("reader", "file", "before", "after", "said"),
    [
        ("cub", "images.txt", "\n2 ", "\n1 ", r"images\.txt:2: is not 'id value' with an id of"),
        ("cub", "images.txt", "1 0", "77 0", r"images\.txt:1: image 77 is not in all of"),
        ("cub", "image_class_labels.txt", "1 1", "1 9", r":1: class id 9 is not in 1\.\.3"),
        ("cub", "train_test_split.txt", "1 1", "1 2", r":1: '2' is neither 1 \(training\) nor 0"),
        ("aircraft", "images_variant_test.txt", "BAE 146", "BAe 146", "variant 'BAe 146-200' is n"),
        ("pet", "trainval.txt", "Abyssinian_", "Bengal_", "class 1 is"),
        ("pet", "test.txt", " 2 2 ", " two 2 ", "is not 'image class-id species breed-id'"),
        ("pet", "test.txt", " 3 1 ", " 30 1 ", "class 30 is|class ids are not 1 to"),
        ("grocery", "test.txt", ", 0, 0", ", zero, 0", "class id 'zero' is not an integer"),
        ("grocery", "test.txt", ", 0, 0", ", 81, 0", r"class id 81 is not in 0\.\.2"),
        ("grocery", "val.txt", ", 0, 0", "", "is not 'path, fine class id, coarse class id'"),
        ("grocery", "classes.csv", "-1,1,", "-1,7,", "the class ids are not 0 to 2, each once"),
        ("grocery", "classes.csv", "-1,1,", "-1,one,", "class id 'one' is not an integer"),
    ],
)
def test_a_broken_list(reader, file, before, after, said, tmp_path):
    lay_out(reader, tmp_path)
    (path,) = tmp_path.rglob(file)
    text = path.read_text()
    changed = ("\n" + text).replace(before, after, 1).removeprefix("\n")
    if before == "1 0":  # an image of the first line
        changed = "77" + text[1:]
    path.write_text(changed)
    with pytest.raises(GtaError, match=said):
        read(reader, tmp_path)


@pytest.mark.parametrize("layout", [n for n in LAYOUTS if reader_of(n) != "flowers17"])
def test_listed_files_that_are_missing_are_counted(layout, tmp_path):
    listing = read(reader_of(layout), lay_out(layout, tmp_path))
    last = [entry.mask or entry.path for entry in listing.entries[-2:]]
    for path in last:
        path.unlink()
    with pytest.raises(GtaError, match=rf"{last[0].name}: missing, .*\(2 of \d+ files are\)"):
        read(reader_of(layout), tmp_path)


def test_an_image_that_is_listed_twice(tmp_path):
    lay_out("grocery", tmp_path)
    (path,) = tmp_path.rglob("train.txt")
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, *others, first]))
    with pytest.raises(GtaError, match="1 images are listed twice, the first is train/Fruit"):
        read("grocery", tmp_path)


@pytest.mark.parametrize("reader", [name for name in READERS if name not in ("cars", "folder")])
def test_another_layout_is_no_data_set(reader, tmp_path):
    (tmp_path / "something" / "else").mkdir(parents=True)
    with pytest.raises(GtaError, match=r"does not hold .* \((no folder in it has|neither)"):
        read(reader, tmp_path)


def test_a_data_set_that_is_there_twice(tmp_path):
    for copy in ("a", "b"):
        lay_out("pet", tmp_path / copy)
    with pytest.raises(GtaError, match=r"holds Oxford-IIIT Pet .* more than once"):
        read("pet", tmp_path)


def test_no_such_reader_and_no_such_folder(tmp_path):
    with pytest.raises(GtaError, match="no reader 'imagenet'; there are: cub, cars"):
        read("imagenet", tmp_path)
    with pytest.raises(GtaError, match="gone: missing; the pet dataset is expected there"):
        read("pet", tmp_path / "gone")


def test_lists_that_are_no_text(tmp_path):
    lay_out("pet", tmp_path)
    (path,) = tmp_path.rglob("trainval.txt")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GtaError, match=r"trainval\.txt: is not a text file"):
        read("pet", tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(GtaError, match=r"trainval\.txt: cannot be read"):
        read("pet", tmp_path)


def test_counts_are_compared_with_the_published_ones():
    entries = [Entry(str(n), Path(str(n)), 0, "train") for n in range(5)]
    listing = Listing(["only"], [*entries, Entry("t", Path("t"), 0, "test")])
    check_counts(listing, Counts(1, 5, 1), "birds")
    said = (
        "^birds: 1 classes instead of 200, 5 training images instead of 5994, "
        "1 test images instead of 5794, 0 held-out images instead of 3; "
    )
    with pytest.raises(GtaError, match=said):
        check_counts(listing, Counts(200, 5994, 5794, 3), "birds")


def test_the_real_lists_of_grocery(shared, tmp_path):
    with tarfile.open(shared("data/grocery192.tar")) as archive:
        lists = [member for member in archive if member.name.count("/") == 1 and member.isfile()]
        archive.extractall(tmp_path, lists, filter="data")
    listing = grocery.read(tmp_path)  # without a look at the images
    counts = DATASETS["grocery"].counts
    assert counts is not None
    check_counts(listing, counts, "grocery")
    assert len({entry.name for entry in listing.entries}) == len(listing.entries)
    assert set(range(81)) == {entry.label for entry in listing.entries}


def test_labels_fit_into_the_type_of_predictions() -> None:
    with pytest.raises(GtaError, match=r"mine: has 32,769 classes; at most 32,768 fit"):
        check_classes([str(label) for label in range(2**15 + 1)], [], "mine", all_splits=True)
