"""What no config refers to is found, each kind of it; what one refers to is never among it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gta import files
from gta.data.fetch.unpack import record_of, write_record
from gta.errors import GtaError
from gta.files import hold_one
from gta.results.clean import Item, What, recorded, remove, size_of, strangers, unused
from gta.results.retire import retire
from gta.results.writers import sole_writer
from gta.study import Run, Study
from tests.support.left import checkpoint, contents, finish

FORMER = Run("mini_near", 50.0, "tiny_ibot", "gta", "none", 7.0, 3)  # tiny has no such run


def found(*studies: Study, others: tuple[Study, ...] = ()) -> dict[What, set[Path]]:
    paths: dict[What, set[Path]] = {}
    for item in unused(studies, others):
        paths.setdefault(item.what, set()).add(item.path)
    return paths


def touch(*paths: Path) -> None:
    for path in paths:
        files.write_text(path, "text")


def former(study: Study) -> set[Path]:
    """Folders and files that a run left which the study had once."""
    kinds = ("metrics", "history", "predictions", "failures", "segmentation")
    paths = {study.folder / kind / FORMER.name for kind in kinds}
    touch(*(path / "part.parquet" for path in paths))
    lock = study.folder / "locks" / f"{FORMER.name}.lock"
    log = study.folder / "logs" / "train" / f"{FORMER.name}.log"
    files.write_text(lock, "")
    touch(log)
    return paths | {lock, log}


ABOUT = '{"format": 1, "digest": "0"}'


def store(folder: Path) -> Path:
    """A store as gta makes one, but empty."""
    files.write_text(folder / "store.json", ABOUT)
    touch(folder / "pixels.bin", folder / "index.parquet")
    return folder


def source(path: Path) -> Path:
    """A prepared source, its metadata alone."""
    files.write_text(path, '{"__metadata__": {"weights_digest": "0"}}')
    return path


def page(stem: Path, *endings: str) -> set[Path]:
    paths = {stem.with_name(f"{stem.name}.{ending}") for ending in endings}
    touch(*paths)
    return paths


@pytest.fixture
def study(tiny_study: Study) -> Study:
    """A study with much that is referred to: nothing of it may be found."""
    for run in tiny_study.runs[:3]:
        finish(tiny_study, run)
    checkpoint(tiny_study, tiny_study.runs[3])
    pack = tiny_study.pack({field: tiny_study.runs[0].text(field) for field in vars(FORMER)})
    touch(
        *(tiny_study.store(name) / "store.json" for name in tiny_study.config.datasets),
        *(tiny_study.weights(name) for name in tiny_study.config.sources.values()),
        tiny_study.store_root / "digests" / "a.tgz-01234567.json",
        tiny_study.archives_root / "a.tgz",
        tiny_study.folder / "metrics.parquet",
        tiny_study.folder / "tables" / "table2.csv",
        tiny_study.folder / "logs" / "train" / f"{pack.name}.log",
    )
    with sole_writer(tiny_study.run_files(tiny_study.runs[0])):
        pass
    return tiny_study


def test_nothing_is_found_where_all_is_referred_to(study: Study) -> None:
    assert found(study) == {}


def test_retired_results(study: Study) -> None:
    assert found(study) == {}
    folder = retire(study, study.runs[:2])
    assert found(study) == {What.retired: {folder}}


def test_runs_that_the_study_no_longer_has(study: Study) -> None:
    assert found(study) == {}
    paths = former(study)
    assert found(study) == {What.runs: paths}


def test_a_former_run_that_is_still_being_trained_stays(study: Study) -> None:
    paths = former(study)
    log = next(path for path in paths if path.suffix == ".log")
    with hold_one([study.folder / "locks" / f"{FORMER.name}.lock"]):
        assert found(study) == {What.runs: {log}}


def test_weights_that_are_no_longer_kept(study: Study, tiny_config: dict[str, Any]) -> None:
    path = study.run_files(study.runs[0]).weights
    touch(path)
    assert found(study) == {What.weights: {path.parent}}
    assert found(Study({**tiny_config, "keep_weights": "all"})) == {}


def test_checkpoints_of_done_runs_and_damaged_ones(study: Study) -> None:
    old = checkpoint(study, study.runs[0])
    damaged = checkpoint(study, study.runs[3]).with_name("damaged.pt")
    touch(damaged)
    assert found(study) == {What.checkpoints: {old.parent, damaged}}
    with sole_writer(study.run_files(study.runs[0])), sole_writer(study.run_files(study.runs[3])):
        assert found(study) == {}


def test_tables_and_figures_that_the_study_no_longer_has(study: Study) -> None:
    paths = page(study.folder / "tables" / "table9", "csv", "md", "tex", "html")
    paths |= page(study.folder / "figures" / "figure1", "csv", "pdf", "png", "svg")
    assert found(study) == {What.pages: paths}


def test_stores_of_other_settings(study: Study, tiny_config: dict[str, Any]) -> None:
    other = Study({**tiny_config, "study": "other", "procedural": {"seed": 5}})
    near = store(other.store("mini_near"))
    tiny = source(study.store_root / "sources" / "tiny_ibot-0123456789ab.safetensors")
    record = tiny.with_name("tiny_ibot-0123456789ab.file.txt")
    files.write_text(record, "('/home/w.pth', 1, 2, 3)\n")
    assert found(study) == {What.stores: {near, tiny, record}}
    assert found(study, other) == {What.stores: {tiny, record}}
    assert found(study, others=(other,)) == {What.stores: {tiny, record}}


def test_the_store_that_masks_are_taken_from_stays(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    masks = Study({**tiny_config, "segmentation": {"dataset": "voc12"}})
    store(masks.store("voc12"))
    assert found(masks) == {}
    assert found(study) == {What.stores: {masks.store("voc12")}}


def test_unpacked_archives_stay_until_they_are_read(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    photos = Study({**tiny_config, "study": "photos", "datasets": ["pet"]})
    unpacked = study.store_root / "unpacked" / "pet-0123456789ab"
    touch(unpacked / "image.jpg")
    write_record(unpacked, ["images.tar.gz"])
    assert found(study, photos) == {}
    store(photos.store("pet"))
    assert found(study, photos) == {What.unpacked: {unpacked, record_of(unpacked)}}
    with hold_one([unpacked.with_name(f".{unpacked.name}.lock")]):
        assert found(study, photos) == {}


def test_files_of_the_user_stay_whatever_they_are_called(study: Study) -> None:
    root, former = study.store_root, FORMER.name
    near = store(root / "mini_near-0123456789ab")
    touch(
        root / "photos-202611250830" / "thesis.txt",
        root / "photos-202611250831" / "files.txt",
        root / "photos-202611250832" / "store.json",
        root / "unpacked" / "mydata" / "y.txt",
        root / "unpacked" / "pet-202611250830" / "y.txt",
        root / "unpacked" / "pet-202611250831.json",
        root / "sources" / "mine-202611250830.safetensors",
        root / "sources" / "mine-202611250831.file.txt",
        root / "sources" / ".mine.txt",
        near / "thesis.txt",
        study.folder / "retired" / "thesis.txt",
        study.folder / "retired" / "20200101T000000Z" / "thesis.txt",
        study.folder / "retired" / "20200101T000001Z" / "metrics" / "thesis.txt",
        study.folder / "metrics-copy" / former / "part.parquet",
        study.folder / "metrics" / former / "thesis.txt",
        study.folder / "logs" / "train" / "thesis.log",
        study.folder / "tables" / "thesis.csv",
        study.folder / "figures" / "thesis.pdf",
    )
    assert found(study) == {}


def test_half_written_files_of_killed_processes(study: Study) -> None:
    kept = store(study.store(study.config.datasets[0]))
    part = study.run_files(study.runs[0]).path("metrics")
    paths = {
        kept / ".pixels.0123abcd.bin",
        kept / ".parts-0123456789ab",
        study.folder / "figures" / ".figure4.0123abcd.pdf",
        part.with_name(".part.0123abcd.parquet"),
        study.store_root / "digests" / ".a.tgz-01234567.0123abcd.json",
    }
    touch(*(path / "00000.npz" if path.name[1:6] == "parts" else path for path in paths))
    interrupted = study.store_root / "pet-0123456789ab"
    touch(interrupted / ".masks.0123abcd.bin", interrupted / ".parts-0123456789ab" / "0.npz")
    assert found(study) == {What.leftovers: paths, What.stores: {interrupted}}
    with files.atomic_write(kept / "masks.bin"):  # one that is alive
        assert found(study)[What.leftovers] == paths


def test_results_of_other_studies_are_named_with_the_config_of_their_last_run(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    other = Path("results/other")
    touch(other / "metrics.parquet")
    assert strangers([study]) == [other]
    assert recorded(other) is None
    files.write_text(other / "config.yaml", str({**tiny_config, "study": "other"}))
    record = recorded(other)
    assert record is not None
    assert record.name == "other"
    assert found(study, others=(record,)) == {}


def test_removal_takes_empty_folders_along_and_nothing_else(study: Study) -> None:
    kept = contents(Path())
    former(study)
    retire(study, study.runs[:0])
    for item in unused([study]):
        assert item.size == sum(
            path.stat().st_size for path in [item.path, *item.path.rglob("*")] if path.is_file()
        )
        remove(item)
    assert contents(Path()) == kept
    empty = [path for path in Path().rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert empty == []


def test_a_link_is_removed_and_what_it_points_to_stays(study: Study) -> None:
    touch(Path("elsewhere/file"))
    (link, *_) = page(study.folder / "tables" / "table9", "csv", "md", "tex", "html")
    link.unlink()
    link.symlink_to(Path("elsewhere/file").resolve())
    item = next(item for item in unused([study]) if item.path == link)
    assert item.size < 1000
    remove(item)
    assert not link.is_symlink()
    assert Path("elsewhere/file").exists()


def test_what_cannot_be_removed_is_named(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study.folder / "tables" / "table9.csv"
    touch(path)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(GtaError, match=r"table9.csv: cannot be deleted: Permission denied"):
        remove(Item(What.pages, path, study.folder, 4))


def test_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".b").write_bytes(b"1234")
    assert size_of(tmp_path / "a") == 3
    assert size_of(tmp_path) == 7
