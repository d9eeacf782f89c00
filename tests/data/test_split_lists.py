"""The published lists: read, matched one to one, and turned into subsets."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gta.data.readers import Listing, aircraft, cars, cub, dogs, pet, read
from gta.data.split_lists import RATES, Published, files, read_lists
from gta.data.splits import Subset, count, listed_subset
from gta.errors import GtaError
from tests.support.archives import Size, lay_out, lines

SIZE = Size(classes=4, train=5, test=2)


def publish(listing: Listing, prefix: str, folder: Path) -> dict[str, list[str]]:
    """Write lists of a dataset as BSS has them: mixed, without a final order; not nested."""
    random = np.random.default_rng(0)
    names: dict[tuple[str, int], list[str]] = defaultdict(list)
    for entry in listing.entries:
        names[entry.split, entry.label].append(str(entry.bss))
    lists = {f"{prefix}_test.txt": [n for (s, _), ns in names.items() if s == "test" for n in ns]}
    for rate in RATES:
        lists[f"{prefix}_{rate}_train.txt"] = [
            name
            for (split, _), members in names.items()
            if split == "train"
            for name in random.permutation(members)[: count(len(members), rate)].tolist()
        ]
    for file, members in lists.items():
        (folder / file).write_bytes(lines(*members))
    return lists


def columns(listing: Listing) -> tuple[list[str | None], np.ndarray, np.ndarray]:
    entries = listing.entries
    return (
        [entry.bss for entry in entries],
        np.asarray([entry.label for entry in entries], dtype=np.int32),
        np.asarray([entry.split for entry in entries]),
    )


@pytest.mark.parametrize("layout", ["cub", "cars", "cars_pooled", "aircraft", "dogs", "pet"])
def test_the_lists_of_a_data_set(layout, tmp_path):
    listing = read(layout.partition("_")[0], lay_out(layout, tmp_path / "data", SIZE))
    lists = publish(listing, "any", tmp_path)
    bss, labels, splits = columns(listing)
    for rate in RATES:
        subset = listed_subset(bss, labels, splits, read_lists("any", rate, tmp_path), 0, 100)
        names = lists[f"any_{rate}_train.txt"]
        assert {bss[position] for position in subset.train} == set(names)
        assert len(subset.train) == len(names)
        assert (np.diff(subset.train) > 0).all()
        np.testing.assert_array_equal(subset.test, np.flatnonzero(splits == "test"))
        # held out: every training image that the list leaves out
        both = np.sort(np.concatenate([subset.train, subset.heldout]))
        np.testing.assert_array_equal(both, np.flatnonzero(splits == "train"))


@pytest.fixture
def pets(tmp_path) -> tuple[Listing, Path]:
    listing = read("pet", lay_out("pet", tmp_path / "data", SIZE))
    publish(listing, "Oxford-IIIT", tmp_path)
    return listing, tmp_path


def taken(pets: tuple[Listing, Path], rate: float = 15, seed: int = 0, heldout: int = 5) -> Subset:
    listing, folder = pets
    return listed_subset(
        *columns(listing), read_lists("Oxford-IIIT", rate, folder), seed=seed, heldout=heldout
    )


def test_the_seed_draws_the_held_out_images_alone(pets):
    one, same, other = (taken(pets, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.heldout, same.heldout)
    assert one.heldout.tolist() != other.heldout.tolist()
    for subset in (one, other):
        assert len(subset.heldout) == 5
        assert not set(subset.heldout) & set(subset.train)
    # as even over the classes as can be: five images of four classes
    of_class = Counter(columns(pets[0])[1][one.heldout].tolist())
    assert sorted(of_class.values()) == [1, 1, 1, 2]


def test_the_data_sets_own_held_out_images_are_used_instead():
    lists = Published(
        {"train/1/a": "l:1"}, {"train/1/a": "l:1", "train/1/b": "l:2"}, {"test/1/c": ""}
    )
    splits = np.asarray(["heldout", "train", "test", "train"])
    bss = [None, "train/1/b", "test/1/c", "train/1/a"]
    subset = listed_subset(bss, np.zeros(4, dtype=np.int32), splits, lists, seed=0, heldout=9)
    assert (subset.train.tolist(), subset.heldout.tolist()) == ([3], [0])


def edit(folder: Path, file: str, change) -> None:
    path = folder / file
    path.write_bytes(lines(*change(path.read_text().splitlines())))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (
            "Oxford-IIIT_test.txt",
            lambda rows: [*rows, "test/4/nobody_1.jpg"],
            r"Oxford-IIIT_test\.txt:9: test/4/nobody_1\.jpg matches no image$",
        ),
        (
            "Oxford-IIIT_100_train.txt",
            lambda rows: [rows[0].replace("train/", "train/9"), *rows[1:]],  # another class
            r"the train image train/\d/\w+\.jpg is in no published list",
        ),
        (
            "Oxford-IIIT_100_train.txt",
            lambda rows: rows[1:],
            r"the train image train/1/Abyssinian_\d+\.jpg is in no published list",
        ),
        (
            "Oxford-IIIT_15_train.txt",
            lambda rows: [rows[0], "train/2/nobody_1.jpg"],
            r"Oxford-IIIT_15_train\.txt:2: train/2/nobody_1\.jpg is not in the list of all",
        ),
        (
            "Oxford-IIIT_15_train.txt",
            lambda rows: [*rows, rows[1]],
            r"Oxford-IIIT_15_train\.txt:5: train/2/.* stands already at .*15_train\.txt:2$",
        ),
        ("Oxford-IIIT_15_train.txt", lambda rows: [], r"Oxford-IIIT_15_train\.txt: is empty"),
    ],
)
def test_a_list_that_does_not_fit(pets, file, change, said):
    edit(pets[1], file, change)
    with pytest.raises(GtaError, match=said):
        taken(pets)


def test_a_test_image_in_the_training_list(pets):
    listing, folder = pets
    test = next(entry for entry in listing.entries if entry.split == "test")
    edit(folder, "Oxford-IIIT_15_train.txt", lambda rows: [*rows, str(test.bss)])
    with pytest.raises(GtaError, match=r"15_train\.txt:5: test/.* is not in the list of all"):
        taken(pets)


def test_a_line_that_matches_two_images():
    lists = Published({"train/1/a": "l:1"}, {"train/1/a": "l:1"}, {"test/1/b": "t:1"})
    splits = np.asarray(["train", "train", "test"])
    with pytest.raises(GtaError, match=r"^l:1: train/1/a matches two images$"):
        listed_subset(
            ["train/1/a", "train/1/a", "test/1/b"], np.zeros(3, dtype=int), splits, lists, 0, 0
        )


def test_cars_without_the_file_that_translates(tmp_path):
    folder = lay_out("cars", tmp_path / "data", SIZE)
    publish(read("cars", folder), "stanford_cars", tmp_path)
    (folder / "cars_annos.mat").unlink()
    lists = read_lists("stanford_cars", 15, tmp_path)
    with pytest.raises(GtaError, match=r"100_train\.txt:1: .* matches no image .*cars_annos\.mat"):
        listed_subset(*columns(read("cars", folder)), lists, 0, 0)


def test_a_missing_list_and_a_rate_without_one(tmp_path):
    with pytest.raises(GtaError, match=r"cub200_15_train\.txt: missing; fetch or place the list"):
        read_lists("cub200", 15, tmp_path)
    with pytest.raises(GtaError, match="published at 15, 30, 50, 100 percent, not at 20; take"):
        files("cub200", 20)


def test_rates_are_numbers_however_written():
    assert files("cub200", 15.0) == files("cub200", 15)
    assert files("cub200", 15) == (
        "cub200_15_train.txt",
        "cub200_100_train.txt",
        "cub200_test.txt",
    )


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.data())
def test_any_listed_images_are_taken_and_the_rest_held_out(of_class, data):
    labels = np.repeat(np.arange(len(of_class)), of_class)
    names = [f"train/{label}/{n}" for n, label in enumerate(labels)]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    most = data.draw(st.integers(0, 40))
    lists = Published(*({name: name for name in some} for some in (chosen, names, ["test/0/t"])))
    splits = np.asarray(["train"] * len(names) + ["test"])
    order = np.random.default_rng(len(chosen)).permutation(len(splits))
    bss = [[*names, "test/0/t"][position] for position in order]
    subset = listed_subset(bss, np.append(labels, 0)[order], splits[order], lists, 7, most)
    assert {bss[position] for position in subset.train} == set(chosen)
    held = {bss[position] for position in subset.heldout}
    assert held <= set(names) - set(chosen)
    assert len(subset.heldout) == len(held) == min(most, len(names) - len(chosen))
    assert [bss[position] for position in subset.test] == ["test/0/t"]


# The real lists, where they are at hand, against what the datasets' own lists say.

PAPER = {
    # prefix: images at 15, 30, 50, 100 percent and in the test set, of the BSS authors' lists
    "cub200": (1000, 1800, 3000, 5994, 5794),
    "stanford_cars": (1310, 2531, 4123, 8144, 8041),
    "FGVCAircraft": (1067, 2067, 3367, 6667, 3333),
    "StanfordDogs": (1801, 3601, 6001, 12000, 8580),
    "Oxford-IIIT": (554, 1105, 1841, 3680, 3669),
}


def read_all(prefix: str, folder: Path) -> list[list[str]]:
    """All names of the lists at 100 percent and of the test set, as [split, class, file]."""
    lists = read_lists(prefix, 100, folder)
    return [name.split("/") for name in [*lists.train, *lists.test]]


def numbered(names: list[list[str]]) -> list[str]:
    return sorted({folder for _, folder, _ in names})


def as_cub(names: list[list[str]], root: Path) -> Listing:
    names.sort(key=lambda name: name[1:])
    folders = numbered(names)
    (root / "images").mkdir()
    for file, rows in (
        ("classes.txt", folders),
        ("images.txt", [f"{folder}/{name}" for _, folder, name in names]),
        ("image_class_labels.txt", [str(folders.index(folder) + 1) for _, folder, _ in names]),
        ("train_test_split.txt", [str(int(split == "train")) for split, *_ in names]),
    ):
        (root / file).write_bytes(lines(*(f"{n} {row}" for n, row in enumerate(rows, 1))))
    return cub.read(root)


def as_aircraft(names: list[list[str]], root: Path) -> Listing:
    slashed = {"F-16A-B": "F-16A/B", "F-A-18": "F/A-18"}  # the variants that hold one
    (root / "images").mkdir()
    variants = [slashed.get(folder, folder) for folder in numbered(names)]
    (root / "variants.txt").write_bytes(lines(*variants))
    for split, file in (("train", "trainval"), ("test", "test")):
        rows = [f"{n[:-4]} {slashed.get(v, v)}" for s, v, n in names if s == split]
        (root / f"images_variant_{file}.txt").write_bytes(lines(*rows))
    return aircraft.read(root)


def as_dogs(names: list[list[str]], root: Path) -> Listing:
    """The .mat files are empty, their content is handed over: writing it would take long."""
    breeds = numbered(names)
    content: dict[tuple[str, str], list] = {}
    for split in ("train", "test"):
        of_split = [(breed, name) for s, breed, name in names if s == split]
        file = f"{split}_list.mat"
        content[file, "file_list"] = [f"{breed}/{name}" for breed, name in of_split]
        content[file, "labels"] = [breeds.index(breed) + 1 for breed, _ in of_split]
        (root / file).touch()
    (root / "Images").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dogs, "read_mat", lambda path, variable: content[path.name, variable])
        return dogs.read(root)


def as_pet(names: list[list[str]], root: Path) -> Listing:
    """Class ids from the breeds' alphabet (capitals are cats), as the dataset numbers them."""
    breeds = sorted({name.rpartition("_")[0] for *_, name in names}, key=str.lower)
    for folder in ("images", "annotations"):
        (root / folder).mkdir()
    for split, file in (("train", "trainval"), ("test", "test")):
        rows = [
            f"{name[:-4]} {breeds.index(name.rpartition('_')[0]) + 1} 1 1"
            for s, _, name in names
            if s == split
        ]
        (root / "annotations" / f"{file}.txt").write_bytes(lines(*rows))
    return pet.read(root)


def as_cars(names: list[list[str]], root: Path) -> Listing:
    """The original layout, its numbering shuffled; boxes tell the images of a class apart."""
    order = np.random.default_rng(0).permutation(len(names))
    content: dict[str, list] = {"cars_meta.mat": [f"Car {n}" for n in range(196)]}
    files = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    content |= {file: [] for file in ("cars_annos.mat", *files.values())}
    for position in order.tolist():
        split, number, name = names[position]
        box = dict.fromkeys(cars.BOX, 1) | {"bbox_x2": position, "class": int(number)}
        own = content[files[split]]
        own.append(box | {"fname": f"{len(own) + 1:05d}.jpg"})
        pooled = {"relative_im_path": f"car_ims/{name}", "test": int(split == "test")}
        content["cars_annos.mat"].append(box | pooled)
    for file in (*content, "cars_train/00001.jpg", "cars_test/00001.jpg"):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cars, "read_mat", lambda path, _: content[path.name])
        return cars.read(root)


REBUILT = {
    "cub200": as_cub,
    "stanford_cars": as_cars,
    "FGVCAircraft": as_aircraft,
    "StanfordDogs": as_dogs,
    "Oxford-IIIT": as_pet,
}


@pytest.mark.parametrize("prefix", list(PAPER))
def test_the_real_lists_map_to_a_data_set_of_these_images(prefix, shared, tmp_path):
    folder = shared("splits/bss")
    listing = REBUILT[prefix](read_all(prefix, folder), tmp_path)
    bss, labels, splits = columns(listing)
    sizes: list[int] = []
    trained: list[set[int]] = []
    for rate in RATES:
        subset = listed_subset(bss, labels, splits, read_lists(prefix, rate, folder), 0, 500)
        sizes.append(len(subset.train))
        trained.append(set(subset.train.tolist()))
        assert len(subset.heldout) == (500 if rate < 100 else 0)
        pool = Counter(labels[splits == "train"].tolist())
        kept = Counter(labels[subset.train].tolist())
        more = {label for label in pool if kept[label] != count(pool[label], rate)}
        # Chihuahua, the first class of Dogs, has one more
        assert more == ({0} if prefix == "StanfordDogs" and rate < 100 else set())
    assert (*sizes, len(subset.test)) == PAPER[prefix]
    nested = all(low <= high for low, high in pairwise(trained))
    assert nested == (prefix not in ("FGVCAircraft", "Oxford-IIIT"))
