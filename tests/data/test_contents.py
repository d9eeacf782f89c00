"""Prepared data follow the user's files: a change is noticed, prepared anew, and named."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gta import results
from gta.data import contents, prepare
from gta.data.photographs import Photographs
from gta.data.store import Store
from gta.errors import GtaError
from gta.results.origins import origins_of
from gta.study import Study
from gta.study.load import merge
from tests.support.archives import picture

SIDE = 16


def own_folder(root: Path) -> Path:
    """Two classes of three training and two test images."""
    for split, images in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(images):
                path = root / split / name / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(label, 10 * images + number, size=(SIDE, SIDE)))
    return root


def own_csv(root: Path) -> Path:
    """The same as a CSV file."""
    rows = ["path,label,split"]
    for path in sorted(own_folder(root).glob("t*/*/*.jpg")):
        name = path.relative_to(root)
        rows.append(f"{name},{name.parts[1]},{name.parts[0]}")
    table = root / "list.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def study_of(config: dict[str, Any], path: Path | str) -> Study:
    stanza = {"title": "Own", "path": str(path)}
    return Study(merge(config, {"own_datasets": {"own": stanza}, "datasets": ["own"]}))


def relabel(root: Path) -> None:
    table = root / "list.csv"
    table.write_text(table.read_text().replace("0.jpg,cat,train", "0.jpg,dog,train"))


def replace_image(root: Path) -> None:
    path = root / "train" / "cat" / "0.jpg"
    status = path.stat()
    path.write_bytes(picture(5, 99, size=(SIDE, SIDE)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as `cp -p` leaves it


def add_image(root: Path) -> None:
    (root / "train" / "cat" / "9.jpg").write_bytes(picture(6, 98, size=(SIDE, SIDE)))


@pytest.mark.parametrize(
    ("build", "change"),
    [
        (own_csv, relabel),
        (own_csv, replace_image),
        (own_folder, replace_image),
        (own_folder, add_image),
    ],
)
def test_a_change_is_noticed_and_prepared_anew(tiny_config, workdir, build, change):
    study = study_of(tiny_config, build(workdir / "photos"))
    before = prepare.prepare(study, "own")
    seen = contents.note_seen(study, "own")
    assert seen is not None
    assert seen.stat().st_mtime_ns <= (before.folder / "store.json").stat().st_mtime_ns
    contents.require_current(study, "own")
    change(workdir / "photos")
    with pytest.raises(GtaError, match=r"has changed since it was prepared; `gta data "):
        contents.require_current(study, "own")
    run = study.runs[0]
    study.weights(run.source).parent.mkdir(parents=True)
    study.weights(run.source).write_bytes(b"")
    old = seen.read_text()
    contents.note_seen(study, "own")
    assert seen.read_text() != old, "Snakemake sees it too"
    assert contents.data_digest(study, "own") == "changed"
    after = prepare.prepare(study, "own")
    assert after.digest != before.digest
    assert contents.data_digest(study, "own") == after.digest
    origin = origins_of(study)(run)
    assert origin is not None
    assert origin == results.Origin(after.digest, origin.source)


def test_other_times_of_the_same_content_change_nothing(tiny_config, workdir, monkeypatch):
    study = study_of(tiny_config, own_folder(workdir / "photos"))
    before = prepare.prepare(study, "own")
    for path in (workdir / "photos").rglob("*.jpg"):
        path.touch()
    monkeypatch.setattr(Photographs, "decode", None)
    assert prepare.prepare(study, "own").digest == before.digest
    recorded = Store(before.folder).notes[contents.NOTE]["fingerprint"]
    seen = (before.folder / contents.SEEN).read_text()
    assert seen == f"{recorded}\n"
    contents.note_seen(study, "own")
    assert (before.folder / contents.SEEN).read_text() == seen


def test_a_folder_that_is_not_here_is_not_compared(tiny_config, workdir):
    study = study_of(tiny_config, own_folder(workdir / "photos"))
    store = prepare.prepare(study, "own")
    shutil.rmtree(workdir / "photos")
    contents.require_current(study, "own")
    assert prepare.prepare(study, "own").digest == store.digest


def test_two_working_folders_that_share_a_store_have_a_store_each(
    tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("GTA_STORE", str(tmp_path / "store"))
    folders = set()
    for name in ("a", "b"):
        own_folder(tmp_path / name / "photos")
        monkeypatch.chdir(tmp_path / name)
        folders.add(study_of(tiny_config, "photos").store("own"))
    assert len(folders) == 2


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Decoding that lasts; counts how often it is done."""
    begun: list[int] = []
    decode = Photographs.decode

    def slowly(self: Photographs, *args: Any, **options: Any) -> None:
        begun.append(1)
        threading.Event().wait(0.2)
        decode(self, *args, **options)

    monkeypatch.setattr(Photographs, "decode", slowly)
    return begun


def test_one_process_prepares_and_the_others_wait(tiny_config, workdir, slow):
    study = study_of(tiny_config, own_folder(workdir / "photos"))
    digests: list[str] = []
    waited: list[int] = []

    def work(on_wait: Callable[[], None]) -> None:
        digests.append(prepare.prepare(study, "own", on_wait=on_wait).digest)

    threads = [threading.Thread(target=work, args=(lambda: waited.append(1),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slow) == 1
    assert len(digests) == 3
    assert len(set(digests)) == 1
    assert waited
