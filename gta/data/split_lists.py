"""The split lists that the authors of BSS published (Chen et al. 2019).

Files of github.com/thuml/Batch-Spectral-Shrinkage, folder ft-datalist:
``<prefix>_<rate>_train.txt`` at 15, 30, 50 and 100 percent and ``<prefix>_test.txt``, a line an
image, as ``split/class/file``. A reader gives each image the name it has there (``Entry.bss``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gta.data.readers.listing import read_lines
from gta.errors import GtaError

RATES = (15, 30, 50, 100)


@dataclass(frozen=True)
class Published:
    """The lists of one dataset at one rate; each name with where it stands (``file:line``).

    Attributes:
        train: images to train on.
        pool: all training images, the list at 100 percent.
        test: the test set.
    """

    train: dict[str, str]
    pool: dict[str, str]
    test: dict[str, str]


def files(prefix: str, rate: float) -> tuple[str, str, str]:
    """Names of the lists of training images, of all training images and of test images.

    Args:
        prefix: how the dataset's lists begin (``DatasetInfo.bss``).
        rate: percent.

    Raises:
        GtaError: if no list of that rate is published.
    """
    if rate not in RATES:
        raise GtaError(
            f"split kind bss: lists are published at {', '.join(map(str, RATES))} percent, "
            f"not at {rate:g}; take split kind random"
        )
    return f"{prefix}_{rate:g}_train.txt", f"{prefix}_100_train.txt", f"{prefix}_test.txt"


def read_lists(prefix: str, rate: float, folder: Path) -> Published:
    """Read the lists of a dataset.

    Args:
        prefix: how its lists begin (``DatasetInfo.bss``).
        rate: percent.
        folder: where the lists lie.

    Raises:
        GtaError: if no list of that rate is published, a list is missing or empty, or names an
            image twice.
    """
    return Published(*(_read(folder / file) for file in files(prefix, rate)))


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise GtaError(
            f"{path}: missing; fetch or place the list of thuml/Batch-Spectral-Shrinkage, "
            "folder ft-datalist"
        )
    names: dict[str, str] = {}
    for name, where in read_lines(path):
        if name in names:
            raise GtaError(f"{where}: {name} stands already at {names[name]}")
        names[name] = where
    if not names:
        raise GtaError(f"{path}: is empty")
    return names
