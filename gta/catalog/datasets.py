"""The downstream datasets and the archives that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from gta.catalog.archives import Archive, Form

# Part of a rendered store's name: raise it when `gta.data.rendered` renders other images, so
# that old stores are not used.
RENDERER_VERSION = 1
# The same for the stores of photographs: raise it when a reader or the decoding gives other pixels.
READER_VERSION = 1
# Part of every store's name: raise it when `gta.data.store` writes other files.
STORE_FORMAT = 2


@dataclass(frozen=True)
class Counts:
    """Classes and images of a dataset."""

    classes: int
    train: int
    test: int
    heldout: int = 0


@dataclass(frozen=True)
class Drawn:
    """Settings for drawing test images from an own dataset without splits.

    Attributes:
        test: percent of each class's images to test on, rounded up.
        heldout: percent to hold out, rounded up.
        seed: of the draw.
    """

    test: float
    heldout: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class DatasetInfo:
    """A downstream dataset.

    Attributes:
        title: name in tables and figures.
        kind: ``procedural`` is rendered here; ``images`` is read from files.
        domain: whether the sources' pre-training data look like it (``near``) or not (``far``).
        masks: whether images have masks, all or some of them.
        reader: module of ``gta.data.readers`` that knows its layout.
        forms: archives that hold it. The first form that lies in the archive folder as a whole
            is used, else the first that can be fetched.
        folder: a folder of this name in the archive folder, unpacked by hand, is read in place of
            archives.
        shrinks: whether the store may hold its images at the config's size.
        counts: what its publishers (and the paper's table 1) say; None where nothing does.
        hint: how to get it where it cannot be fetched.
        bss: how the names of its published split lists begin; None where there are none.
        mask_void: value of mask pixels that count neither as object nor as background, of a
            dataset of the user's own.
        drawn: how its test images are drawn, of a dataset of the user's own without splits.
        keeps_duplicates: whether equal files in several splits or classes are accepted.
    """

    title: str
    kind: Literal["procedural", "images"]
    domain: Literal["near", "far"]
    masks: bool = False
    reader: str = ""
    forms: tuple[Form, ...] = ()
    folder: str = ""
    shrinks: bool = True
    counts: Counts | None = None
    hint: str = ""
    bss: str | None = None
    mask_void: int | None = None
    drawn: Drawn | None = None
    keeps_duplicates: bool = False


_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_FLOWERS_COMMIT = "77346eca507654746854a11c85cf9c82acc671ea"
_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs"

_CARS_DEVKIT = Archive(
    "car_devkit.tgz",
    # Stanford's own site is gone; torchvision's maintainers keep this copy (their issue 7545).
    ("https://github.com/pytorch/vision/files/11644847/car_devkit.tgz",),
    md5="c3b158d763b6e2245038c8ad08e45376",
)
_CARS_TEST_LABELS = Archive(
    "cars_test_annos_withlabels.mat",
    md5="b0a2b23655a3edd16d84508592a98d10",
    other_names=("cars_test_annos_withlabels (1).mat",),
)
# Translates the numbers of the published split lists.
_CARS_ALL_LABELS = Archive("cars_annos.mat", md5="b407c6086d669747186bd1d764ff9dbc")

DATASETS: MappingProxyType[str, DatasetInfo] = MappingProxyType(
    {
        "mini_near": DatasetInfo("Mini near", "procedural", "near", masks=True),
        "mini_far": DatasetInfo("Mini far", "procedural", "far", masks=True),
        "cub": DatasetInfo(
            "CUB",
            "images",
            "near",
            reader="cub",
            forms=(
                Form(
                    "original file",
                    (
                        Archive(
                            "CUB_200_2011.tgz",
                            (
                                "https://data.caltech.edu/records/65de6-vp158/files/"
                                "CUB_200_2011.tgz",
                            ),
                            md5="97eceeb196236b17998738112f37df78",
                        ),
                    ),
                ),
            ),
            folder="CUB_200_2011",
            counts=Counts(200, 5994, 5794),
            bss="cub200",
        ),
        "cars": DatasetInfo(
            "Cars",
            "images",
            "far",
            reader="cars",
            forms=(
                Form(
                    "original files",
                    (
                        _CARS_DEVKIT,
                        Archive("cars_train.tgz", md5="065e5b463ae28d29e77c1b4b166cfe61"),
                        Archive("cars_test.tgz", md5="4ce7ebf6a94d07f1952d94dd34c4d501"),
                        _CARS_TEST_LABELS,
                    ),
                    (_CARS_ALL_LABELS,),
                ),
                Form(
                    "the copy on Kaggle",
                    (
                        _CARS_DEVKIT,
                        Archive(
                            "stanford-cars-dataset.zip",
                            other_names=("stanford_cars.zip", "cars.zip"),
                        ),
                        _CARS_TEST_LABELS,
                    ),
                    (_CARS_ALL_LABELS,),
                ),
                Form(
                    "original files, training and test images together",
                    (
                        Archive("car_ims.tgz", md5="d5c8f0aa497503f355e17dc7886c3f14"),
                        _CARS_ALL_LABELS,
                    ),
                ),
            ),
            folder="stanford_cars",
            counts=Counts(196, 8144, 8041),
            hint=(
                "its own site is gone: place car_devkit.tgz, cars_train.tgz, cars_test.tgz and "
                "cars_test_annos_withlabels.mat; or, from Kaggle, "
                "jessicali9530/stanford-cars-dataset as stanford-cars-dataset.zip with "
                "car_devkit.tgz and cars_test_annos_withlabels.mat (Kaggle: "
                "abdelrahmant11/standford-cars-dataset-meta); or all of it unpacked in the folder "
                "stanford_cars"
            ),
            bss="stanford_cars",
        ),
        "aircraft": DatasetInfo(
            "Aircraft",
            "images",
            "far",
            reader="aircraft",
            forms=(
                Form(
                    "original file",
                    (
                        Archive(
                            "fgvc-aircraft-2013b.tar.gz",
                            (f"{_VGG}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",),
                            md5="d4acdd33327262359767eeaa97a4f732",
                        ),
                    ),
                ),
            ),
            folder="fgvc-aircraft-2013b",
            counts=Counts(100, 6667, 3333),
            bss="FGVCAircraft",
        ),
        "dogs": DatasetInfo(
            "Dogs",
            "images",
            "near",
            reader="dogs",
            forms=(
                Form(
                    "original files",
                    (
                        Archive(
                            "images.tar",
                            (f"{_DOGS}/images.tar",),
                            sha256="a443fc2f",
                            other_names=("stanford_dogs_images.tar",),
                        ),
                        Archive(
                            "lists.tar",
                            (f"{_DOGS}/lists.tar",),
                            sha256="34b47cac",
                            other_names=("stanford_dogs_lists.tar",),
                        ),
                    ),
                ),
            ),
            folder="stanford_dogs",
            counts=Counts(120, 12000, 8580),
            bss="StanfordDogs",
        ),
        "pet": DatasetInfo(
            "Pet",
            "images",
            "near",
            reader="pet",
            forms=(
                Form(
                    "original files",
                    (
                        Archive(
                            "images.tar.gz",
                            (f"{_VGG}/pets/data/images.tar.gz",),
                            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
                            other_names=("oxford-iiit-pet_images.tar.gz",),
                        ),
                        Archive(
                            "annotations.tar.gz",
                            (f"{_VGG}/pets/data/annotations.tar.gz",),
                            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
                            other_names=("oxford-iiit-pet_annotations.tar.gz",),
                        ),
                    ),
                ),
            ),
            folder="oxford-iiit-pet",
            counts=Counts(37, 3680, 3669),
            bss="Oxford-IIIT",
        ),
        # Only its validation images with masks, for table 4 and figure 3.
        "voc12": DatasetInfo(
            "VOC 2012",
            "images",
            "near",
            masks=True,
            reader="voc12",
            forms=(
                Form(
                    "original file",
                    (
                        Archive(
                            "VOCtrainval_11-May-2012.tar",
                            (
                                "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
                                "VOCtrainval_11-May-2012.tar",
                            ),
                            md5="6cd6e144f989b92b3379bac3b3de84fd",
                        ),
                    ),
                ),
            ),
            folder="VOCdevkit",
            shrinks=False,  # the protocols of its masks start from the originals
            counts=Counts(20, 0, 1449),
        ),
        # Not in the paper.
        "grocery": DatasetInfo(
            "Grocery",
            "images",
            "far",
            reader="grocery",
            forms=(
                Form(
                    "the repository's archive, or its images at 192 pixels",
                    (
                        Archive(
                            "GroceryStoreDataset.zip",
                            (
                                "https://github.com/marcusklasson/GroceryStoreDataset/archive/"
                                "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc.zip",
                            ),
                            other_names=("GroceryStoreDataset-master.zip", "grocery192.tar"),
                        ),
                    ),
                ),
            ),
            folder="GroceryStoreDataset",
            counts=Counts(81, 2640, 2485, 296),
        ),
        "flowers17": DatasetInfo(
            "17 Flowers",
            "images",
            "near",
            masks=True,
            reader="flowers17",
            forms=(
                Form(
                    "images and masks at 256 pixels",
                    (
                        Archive(
                            f"flower-segmentation-{_FLOWERS_COMMIT}.tar.gz",
                            (
                                "https://github.com/jxng1/flower-segmentation/archive/"
                                f"{_FLOWERS_COMMIT}.tar.gz",
                            ),
                            other_names=(f"{_FLOWERS_COMMIT}.tar.gz", "flowers17.tar"),
                        ),
                    ),
                    contents="468cf30f742023be663604cfcd11d7a6cef473c3d940f7bcaa0d221ce9ff684a",
                ),
                Form(
                    "the publisher's files",
                    (
                        Archive("17flowers.tgz", (f"{_VGG}/flowers/17/17flowers.tgz",)),
                        Archive("trimaps.tgz", (f"{_VGG}/flowers/17/trimaps.tgz",)),
                    ),
                ),
            ),
            folder="flowers17",
            # Classes, images and split are those of `gta.data.readers.flowers17`.
            counts=Counts(17, 510, 680, 170),
        ),
    }
)
