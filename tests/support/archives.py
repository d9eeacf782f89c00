"""Small archives in the true layouts of the datasets: names, lists, .mat files and traps.

``build`` writes the archives under the names they are published under, ``lay_out`` what they
unpack to. Images are tiny and differ by class, so that a model can learn them. Classes are
uneven: every second one has a training image more.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

Members = dict[str, bytes]  # of an archive: path -> content


@dataclass(frozen=True)
class Size:
    """How large a dataset is built: images a class, the first of every two classes.

    Of VOC 2012, which always has 20 classes, ``masked`` images with masks.
    """

    classes: int = 3
    train: int = 3
    test: int = 2
    heldout: int = 1
    masked: int = 40

    def numbered(self) -> list[tuple[int, str]]:
        """Class and split of each image, classes mixed as in the published lists of Cars."""
        images = [
            (label, split)
            for label in range(self.classes)
            for split, count in (
                ("train", self.train + label % 2),
                ("test", self.test),
            )
            for _ in range(count)
        ]
        order = np.random.default_rng(0).permutation(len(images))
        return [images[position] for position in order]


def picture(label: int, seed: int, kind: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """An image file of a class.

    Args:
        label: decides its colour.
        seed: of its noise.
        kind: a Pillow format, or ``grey``, ``CMYK``, ``palette``, ``alpha``, ``turned`` (by EXIF).
        size: width and height.
    """
    width, height = size
    random = np.random.default_rng([label, seed])
    colour = np.random.default_rng(label).integers(60, 196, 3)
    pixels = (colour + random.integers(-40, 40, (height, width, 3))).astype(np.uint8)
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    if kind == "grey":
        image.convert("L").save(buffer, "JPEG")
    elif kind == "CMYK":
        image.convert("CMYK").save(buffer, "JPEG")
    elif kind == "palette":
        image.quantize(16).save(buffer, "PNG")
    elif kind == "alpha":
        image.putalpha(128)
        image.save(buffer, "PNG")
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        image.save(buffer, "JPEG", exif=exif)
    else:
        image.save(buffer, kind)
    return buffer.getvalue()


def mat(**variables: Any) -> bytes:
    """A .mat file: a list of dicts becomes a struct array, a list of str a cell array."""
    converted: dict[str, Any] = {}
    for name, values in variables.items():
        if values and isinstance(values[0], dict):
            rows = [tuple(row.values()) for row in values]
            array = np.empty((1, len(rows)), dtype=[(key, object) for key in values[0]])
            array[0] = rows
        elif values and isinstance(values[0], str):
            array = np.empty((len(values), 1), dtype=object)
            array[:, 0] = values
        else:
            array = np.asarray(values, dtype=np.float64)[:, None]
        converted[name] = array
    buffer = io.BytesIO()
    savemat(buffer, converted, do_compression=True)
    return buffer.getvalue()


def lines(*rows: str) -> bytes:
    """A text file."""
    return "".join(f"{row}\n" for row in rows).encode()


def cub(size: Size) -> dict[str, Members]:
    """CUB_200_2011.tgz; some of its images are grey, and its metadata begin with ``._``."""
    root = "CUB_200_2011"
    names = [f"{label + 1:03d}.Bird_{label}" for label in range(size.classes)]
    members: Members = {"._CUB_200_2011": b"\0", "attributes.txt": lines("1 has_bill_shape")}
    # The published lists go by class, the split mixed within.
    images = sorted(size.numbered(), key=lambda image: image[0])
    files = [f"{names[label]}/Bird_{label}_{n:04d}_{n}.jpg" for n, (label, _) in enumerate(images)]
    for number, (file, (label, _)) in enumerate(zip(files, images, strict=True)):
        kind = "grey" if number % 5 == 4 else "JPEG"
        members[f"{root}/images/{file}"] = picture(label, number, kind)
    members |= {
        f"{root}/classes.txt": lines(*(f"{n} {name}" for n, name in enumerate(names, 1))),
        f"{root}/images.txt": lines(*(f"{n} {file}" for n, file in enumerate(files, 1))),
        f"{root}/image_class_labels.txt": lines(
            *(f"{n} {label + 1}" for n, (label, _) in enumerate(images, 1))
        ),
        f"{root}/train_test_split.txt": lines(
            *(f"{n} {int(split == 'train')}" for n, (_, split) in enumerate(images, 1))
        ),
    }
    return {"CUB_200_2011.tgz": members}


def _cars_parts(size: Size) -> tuple[Members, Members, bytes, bytes]:
    """Images, the devkit, the labelled test annotations and cars_annos.mat."""
    images: Members = {}
    annotations: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    pooled: list[dict[str, Any]] = []
    for number, (label, split) in enumerate(size.numbered()):
        file = f"{len(annotations[split]) + 1:05d}.jpg"
        kind = "grey" if number == 0 else "JPEG"
        images[f"cars_{split}/{file}"] = picture(label, number, kind)
        box = {"bbox_x1": 1, "bbox_y1": 2, "bbox_x2": 20 + number, "bbox_y2": 40}
        annotations[split].append({**box, "class": label + 1, "fname": file})
        pooled.append({**box, "class": label + 1, "test": int(split == "test")})
    # The pooled numbering goes by class, whatever the others are.
    pooled.sort(key=lambda row: (row["class"], -row["bbox_x2"]))
    pooled = [
        {"relative_im_path": f"car_ims/{number:06d}.jpg", **row}
        for number, row in enumerate(pooled, 1)
    ]
    names = [f"Maker Model {label} 2012" for label in range(size.classes)]
    unlabelled = [{k: v for k, v in row.items() if k != "class"} for row in annotations["test"]]
    devkit = {
        "devkit/cars_meta.mat": mat(class_names=names),
        "devkit/cars_train_annos.mat": mat(annotations=annotations["train"]),
        "devkit/cars_test_annos.mat": mat(annotations=unlabelled),
        "devkit/README.txt": lines("This file gives documentation for the cars 196 dataset."),
    }
    labelled = mat(annotations=annotations["test"])
    return images, devkit, labelled, mat(annotations=pooled, class_names=names)


def _below(members: Members, start: str, prefix: str = "") -> Members:
    return {prefix + name: data for name, data in members.items() if name.startswith(start)}


def cars(size: Size) -> dict[str, Members]:
    """The original files of Stanford Cars, with cars_annos.mat."""
    images, devkit, labelled, pooled = _cars_parts(size)
    return {
        "car_devkit.tgz": devkit,
        "cars_train.tgz": _below(images, "cars_train/"),
        "cars_test.tgz": _below(images, "cars_test/"),
        "cars_test_annos_withlabels.mat": {"cars_test_annos_withlabels.mat": labelled},
        "cars_annos.mat": {"cars_annos.mat": pooled},
    }


def cars_copy(size: Size) -> dict[str, Members]:
    """The copy on Kaggle (folders nested twice, test images without labels) and what it lacks."""
    images, devkit, labelled, _ = _cars_parts(size)
    copy = (
        _below(images, "cars_train/", "cars_train/")
        | _below(images, "cars_test/", "cars_test/")
        | _below(devkit, "devkit/", "car_devkit/")
    )
    file = "cars_test_annos_withlabels (1).mat"
    return {"stanford-cars-dataset.zip": copy, "car_devkit.tgz": devkit, file: {file: labelled}}


def cars_pooled(size: Size) -> dict[str, Members]:
    """The layout of car_ims.tgz and cars_annos.mat."""
    *_, pooled = _cars_parts(size)
    labels = sorted(label for label, _ in size.numbered())
    images = {f"car_ims/{n:06d}.jpg": picture(label, n) for n, label in enumerate(labels, start=1)}
    return {"car_ims.tgz": images, "cars_annos.mat": {"cars_annos.mat": pooled}}


VARIANTS = ["707-320", "BAE 146-200", "F-16A/B", "F/A-18", "Cessna 172", "Yak-42"]


def aircraft(size: Size) -> dict[str, Members]:
    """fgvc-aircraft-2013b.tar.gz; every image ends in a white banner of 20 rows."""
    root = "fgvc-aircraft-2013b/data"
    variants = (VARIANTS + [f"A{n}00" for n in range(size.classes)])[: size.classes]
    members: Members = {"fgvc-aircraft-2013b/README.md": lines("# FGVC-Aircraft")}
    listed: dict[str, list[str]] = {"train": [], "test": []}
    for number, (label, split) in enumerate(size.numbered()):
        name = f"{1000000 + 7919 * number % 9999991:07d}"
        photograph = Image.open(io.BytesIO(picture(label, number, "PNG")))
        whole = Image.new("RGB", (photograph.width, photograph.height + 20), "white")
        whole.paste(photograph)
        buffer = io.BytesIO()
        whole.save(buffer, "JPEG", quality=95)
        members[f"{root}/images/{name}.jpg"] = buffer.getvalue()
        listed[split].append(f"{name} {variants[label]}")
    members |= {
        f"{root}/variants.txt": lines(*variants),
        f"{root}/images_variant_trainval.txt": lines(*listed["train"]),
        f"{root}/images_variant_test.txt": lines(*listed["test"]),
        f"{root}/images_family_trainval.txt": lines("0000001 Boeing 707"),
    }
    return {"fgvc-aircraft-2013b.tar.gz": members}


def dogs(size: Size) -> dict[str, Members]:
    """images.tar and lists.tar of Stanford Dogs."""
    breeds = [f"n{2085620 + 100 * n:08d}-Breed{n}" for n in range(size.classes)]
    images: Members = {}
    listed: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "test": ([], [])}
    for number, (label, split) in enumerate(size.numbered()):
        name = f"{breeds[label]}/{breeds[label].partition('-')[0]}_{number}.jpg"
        images[f"Images/{name}"] = picture(label, number)
        listed[split][0].append(name)
        listed[split][1].append(label + 1)
    lists = {
        f"{split}_list.mat": mat(
            file_list=names, annotation_list=[name[:-4] for name in names], labels=labels
        )
        for split, (names, labels) in listed.items()
    }
    everything = [name for names, _ in listed.values() for name in names]
    lists["file_list.mat"] = mat(file_list=everything)
    return {"images.tar": images, "lists.tar": lists}


def pet(size: Size) -> dict[str, Members]:
    """images.tar.gz and annotations.tar.gz of Oxford-IIIT Pet; some .jpg are PNG or GIF."""
    images: Members = {"images/Abyssinian_34.mat": b"a leftover that lies there"}
    listed: dict[str, list[str]] = {"train": [], "test": []}
    kinds = ["JPEG", "PNG", "GIF", "palette", "CMYK", "alpha"]
    for number, (label, split) in enumerate(size.numbered()):
        name = f"{'Abyssinian' if label == 0 else f'small_breed_{label}'}_{number}"
        images[f"images/{name}.jpg"] = picture(label, number, kinds[number % len(kinds)])
        listed[split].append(f"{name} {label + 1} {1 + label % 2} {label // 2 + 1}")
    annotations = {
        "annotations/list.txt": lines("#Image CLASS-ID SPECIES BREED ID"),
        "annotations/trainval.txt": lines(*listed["train"]),
        "annotations/test.txt": lines(*listed["test"]),
    }
    return {"images.tar.gz": images, "annotations.tar.gz": annotations}


def voc_mask(label: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A palette PNG of class ids: the class on a third of it, another on less, a void border."""
    width, height = size
    ids = np.zeros((height, width), dtype=np.uint8)
    ids[height // 4 : -height // 4, width // 6 : -width // 6] = label + 1
    ids[: height // 8] = (label + 1) % 20 + 1
    ids[-2:] = 255
    image = Image.fromarray(ids, mode="P")
    image.putpalette([value * 37 % 256 for value in range(3 * 256)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def voc12(size: Size) -> dict[str, Members]:
    """VOCtrainval_11-May-2012.tar: images with masks, every third of them upright, and another."""
    root = "VOCdevkit/VOC2012"
    names: list[str] = []
    members: Members = {}
    for number in range(size.masked):
        name = f"{2007 + number % 5}_{number:06d}"
        shape = (48, 64) if number % 3 == 2 else (64, 48)
        names.append(name)
        members[f"{root}/JPEGImages/{name}.jpg"] = picture(number % 20, number, size=shape)
        members[f"{root}/SegmentationClass/{name}.png"] = voc_mask(number % 20, shape)
    members |= {
        f"{root}/JPEGImages/2008_999999.jpg": picture(0, 0),
        f"{root}/ImageSets/Segmentation/val.txt": lines(*names),
        f"{root}/ImageSets/Segmentation/train.txt": lines("2008_999999"),
    }
    return {"VOCtrainval_11-May-2012.tar": members}


def grocery(size: Size) -> dict[str, Members]:
    """The archive of the repository: everything in a folder of its name and branch."""
    root = "GroceryStoreDataset-master/dataset"
    header = (
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
        "Iconic Image Path (str),Product Description Path (str)"
    )
    names = [f"Royal-Gala-{label}" for label in range(size.classes)]
    rows = [f"{name},{label},Apple,0,/iconic/{name}.jpg,/x.txt" for label, name in enumerate(names)]
    listed: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    members: Members = {}
    held = [(label, "val") for label in range(size.classes) for _ in range(size.heldout)]
    for number, (label, split) in enumerate(size.numbered() + held):
        path = f"{split}/Fruit/Apple/{names[label]}/{names[label]}_{number:03d}.jpg"
        kind = "turned" if number == 0 else "JPEG"  # photographs of a phone
        members[f"{root}/{path}"] = picture(label, number, kind)
        listed[split].append(f"{path}, {label}, 0")
    members[f"{root}/classes.csv"] = lines(header, *rows)
    members |= {f"{root}/{split}.txt": lines(*paths) for split, paths in listed.items()}
    return {"GroceryStoreDataset-master.zip": members}


FLOWERS, FLOWERS_PER_CLASS = 17, 80


def flower_mask(size: tuple[int, int], flower: bool = True) -> bytes:
    """A palette PNG as 17 Flowers has them: a flower before leaves, background, sky and void."""
    width, height = size
    ids = np.full((height, width), 3, dtype=np.uint8)
    ids[: height // 4] = 4
    ids[-height // 4 :] = 2
    if flower:
        ids[height // 4 : height // 2, width // 4 : width // 2] = 1
    ids[:, -1], ids[-1, -1] = 0, 5
    image = Image.fromarray(ids, mode="P")
    image.putpalette([value * 37 % 256 for value in range(3 * 256)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _flowers(images: str, masks: str, side: tuple[int, int]) -> tuple[Members, Members]:
    """All 1,360 images; of class c the first 8 c (of cowslips, class 13, none) have a mask."""
    photographs: Members = {}
    labelled: Members = {}
    mask = flower_mask(side)
    for number in range(1, FLOWERS * FLOWERS_PER_CLASS + 1):
        label, place = divmod(number - 1, FLOWERS_PER_CLASS)
        photographs[f"{images}/image_{number:04d}.jpg"] = picture(label, number, size=side)
        if label != 13 and place < 8 * label:
            labelled[f"{masks}/image_{number:04d}.png"] = mask
    return photographs, labelled


def flowers17(size: Size) -> dict[str, Members]:
    """The archive that GitHub packs of a commit of flower-segmentation; its size is fixed."""
    commit = "77346eca507654746854a11c85cf9c82acc671ea"
    root = f"flower-segmentation-{commit}"
    data = f"{root}/source/data"
    images, masks = _flowers(f"{data}/images_256", f"{data}/labels_256", (16, 16))
    about = {f"{root}/README.md": lines("# flower-segmentation")}
    return {f"{root}.tar.gz": about | images | masks}


def flowers17_published(size: Size) -> dict[str, Members]:
    """The publisher's three files of 17 Flowers; its size is fixed."""
    images, masks = _flowers("jpg", "trimaps", (20, 24))
    images["jpg/files.txt"] = lines(*(f"image_{n:04d}.jpg" for n in range(1, 1361)))
    numbers = np.arange(1, 1361).reshape(FLOWERS, FLOWERS_PER_CLASS)
    parts = {"trn": numbers[:, :40], "val": numbers[:, 40:60], "tst": numbers[:, 60:]}
    splits = {f"{part}{n}": list(parts[part].ravel()) for part in parts for n in (1, 2, 3)}
    masks["trimaps/imlist.mat"] = mat(imlist=list(range(1, 1361)))
    return {
        "17flowers.tgz": images,
        "trimaps.tgz": masks,
        "datasplits.mat": {"datasplits.mat": mat(**splits)},
    }


LAYOUTS: dict[str, Callable[[Size], dict[str, Members]]] = {
    "cub": cub,
    "cars": cars,
    "cars_copy": cars_copy,
    "cars_pooled": cars_pooled,
    "aircraft": aircraft,
    "dogs": dogs,
    "pet": pet,
    "voc12": voc12,
    "grocery": grocery,
    "flowers17": flowers17,
    "flowers17_published": flowers17_published,
}
FIXED = ("voc12", "flowers17", "flowers17_published")  # layouts that do not follow ``Size``


def build(layout: str, folder: Path, size: Size | None = None) -> list[Path]:
    """Write the archives of a layout into a folder, under their published names."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, members in LAYOUTS[layout](size or Size()).items():
        path = folder / name
        if name.endswith(".zip"):
            _zip(path, members)
        elif ".t" in name:
            _tar(path, members)
        else:
            (data,) = members.values()
            path.write_bytes(data)
        written.append(path)
    return written


def lay_out(layout: str, folder: Path, size: Size | None = None) -> Path:
    """Write what the archives of a layout unpack to; gives the folder."""
    for members in LAYOUTS[layout](size or Size()).values():
        for name, data in members.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def _zip(path: Path, members: Members) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980, the same each time


def _tar(path: Path, members: Members) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    data = content.getvalue()
    path.write_bytes(data if path.suffix == ".tar" else gzip.compress(data, mtime=0))
