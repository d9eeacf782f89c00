"""`gta try`: one command from a folder of photographs to accuracies, maps and a study file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import gta
from gta.errors import GtaError
from gta.plan import calibration
from gta.study import Study
from gta.trial import choose_source, look_at
from gta.trial.study import name_of
from tests.support import commands
from tests.support.photos import CLASSES, folder_of_classes, photo


@pytest.fixture
def folder(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four classes of ten photographs each, and a fast measurement of speed."""
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    return folder_of_classes(workdir / "My photos", 10)


def test_from_a_folder_to_results(folder: Path) -> None:
    options = (str(folder), "--iterations", "4", "--device", "cpu")
    said = commands.gta("try", *options)
    assert "4 classes, 40 images: 24 train, 8 heldout, 8 test (drawn with seed 0)" in said
    assert "15 runs of 4 iterations, about" in said
    assert "GTA" in said
    assert "interval" in said
    study = gta.open("my_photos")
    assert len(study.metrics) == 15
    assert set(study.best("heldout")["n"]) == {3}
    assert (study.folder / "figures" / "maps.png").stat().st_size > 10_000
    assert (study.folder / "index.html").exists()
    assert study.runs(method="gta")[0].model().num_classes == 4
    config = Path("config/my_photos.yaml")
    assert config.read_text().startswith("# Written by `gta try")
    assert Study.load([config]).name == "my_photos"
    before = study.folder.joinpath("metrics.parquet").read_bytes()
    again = commands.gta("try", *options)  # nothing is trained again
    assert "there already, with these settings" in again
    assert study.folder.joinpath("metrics.parquet").read_bytes() == before
    error = commands.error_of("try", str(folder), "--iterations", "5")
    assert error.startswith("config/my_photos.yaml: is there already, with other settings")


def test_a_folder_with_splits_holds_out_training_images(folder: Path, workdir: Path) -> None:
    random = np.random.default_rng(1)
    for split, count in (("train", 6), ("test", 2)):
        for kind in CLASSES:
            (workdir / "split" / split / kind).mkdir(parents=True)
            for number in range(count):
                photo(kind, random).save(workdir / "split" / split / kind / f"{number}.jpg")
    said = commands.gta("try", "split", "--dry-run", "--methods", "finetune,gta")
    assert "24 train, 0 heldout, 8 test" in said
    config = yaml.safe_load(Path("config/split.yaml").read_text())
    assert config["rates"] == [80]
    assert "split" not in config["own_datasets"]["split"]
    assert not Path("results/split/metrics").exists()


def test_says_what_is_wrong_with_the_images(folder: Path) -> None:
    Image.new("RGB", (40, 30)).save(folder / "bar" / "small.png")
    (folder / "disc" / "003.png").write_bytes(b"no image")
    shutil.copy(folder / "bar" / "000.png", folder / "disc" / "copy.png")
    random = np.random.default_rng(2)
    for number in range(60):
        photo("wedge", random).save(folder / "wedge" / f"more{number}.png")
    look = look_at(folder)
    damaged, copies, uneven = look.warnings()
    assert damaged.startswith("1 damaged, left out: disc/003.png")
    assert "bar/000.png = disc/copy.png" in copies
    assert uneven.startswith("classes are uneven: ")
    assert "shorter side: 30 to 96 pixels, median 96" in look.facts()


def test_masks_are_found(folder: Path) -> None:
    (folder / "masks" / "bar").mkdir(parents=True)
    Image.new("L", (116, 96), 1).save(folder / "masks" / "bar" / "000.png")
    assert "object masks: 1 images" in look_at(folder).facts()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: missing; name a folder of photographs"),
        (("My photos", "--methods", "gta"), "--methods: finetune must be among them"),
        (("My photos", "--methods", "finetune,magic"), "--methods: 'magic' is not one of"),
        (("My photos", "--source", "gone.pth"), "gone.pth: missing"),
        (("My photos", "--source", "my/model"), "its architecture is not known"),
        (("My photos", "--size", "50"), "multiple"),
    ],
)
def test_errors_come_before_training(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in commands.error_of("try", *arguments)
    assert not list(Path().glob("results/*/metrics"))


def test_one_class_is_refused(workdir: Path) -> None:
    (workdir / "one" / "cat").mkdir(parents=True)
    photo("bar", np.random.default_rng(0)).save(workdir / "one" / "cat" / "1.png")
    assert "one" in commands.error_of("try", "one")


def test_sources_by_name_file_and_hub(workdir: Path) -> None:
    assert choose_source("dinov2", None) == ("dinov2", None, "vit_small_patch14_dinov2")
    name, origin, architecture = choose_source("vit_small_patch16_224.dino", None)
    assert (name, origin) == ("vit_small_patch16_224.dino", ("hub", "vit_small_patch16_224.dino"))
    assert architecture == "vit_small_patch16_224"
    Path("my weights.pth").write_bytes(b"")
    name, origin, _ = choose_source("my weights.pth", "vit_small_patch16_224")
    assert (name, origin) == ("my_weights", ("file", str(workdir / "my weights.pth")))
    with pytest.raises(GtaError, match="give --architecture"):
        choose_source("my weights.pth", None)


def test_name_of_a_study() -> None:
    assert name_of(Path("/data/Süße Katzen (2024)")) == "s__e_katzen__2024_"
