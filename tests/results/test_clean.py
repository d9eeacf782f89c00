"""What no config refers to is found, each kind of it; what one refers to is never among it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gta import files
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
    touch(lock, log)
    return paths | {lock, log}


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
    with sole_writer(tiny_study, tiny_study.runs[0]):
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
    path = study.path("models", study.runs[0])
    touch(path)
    assert found(study) == {What.weights: {path.parent}}
    assert found(Study({**tiny_config, "keep_weights": "all"})) == {}


def test_checkpoints_of_done_runs_and_damaged_ones(study: Study) -> None:
    old = checkpoint(study, study.runs[0])
    damaged = checkpoint(study, study.runs[3]).with_name("damaged.pt")
    touch(damaged)
    assert found(study) == {What.checkpoints: {old.parent, damaged}}
    with sole_writer(study, study.runs[0]), sole_writer(study, study.runs[3]):
        assert found(study) == {}


def test_tables_and_figures_that_the_study_no_longer_has(study: Study) -> None:
    paths = {study.folder / "tables" / "table9.csv", study.folder / "figures" / "figure1.pdf"}
    touch(*paths)
    assert found(study) == {What.pages: paths}


def test_stores_of_other_settings(study: Study, tiny_config: dict[str, Any]) -> None:
    other = Study({**tiny_config, "study": "other", "procedural": {"seed": 5}})
    store = other.store("mini_near")
    source = study.store_root / "sources" / "tiny_ibot-0123456789ab.safetensors"
    touch(store / "store.json", source)
    assert found(study) == {What.stores: {store, source}}
    assert found(study, other) == {What.stores: {source}}
    assert found(study, others=(other,)) == {What.stores: {source}}


def test_the_store_that_masks_are_taken_from_stays(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    masks = Study({**tiny_config, "segmentation": {"dataset": "voc12"}})
    touch(masks.store("voc12") / "store.json")
    assert found(masks) == {}
    assert found(study) == {What.stores: {masks.store("voc12")}}


def test_unpacked_archives_stay_until_they_are_read(
    study: Study, tiny_config: dict[str, Any]
) -> None:
    photos = Study({**tiny_config, "study": "photos", "datasets": ["pet"]})
    unpacked = study.store_root / "unpacked" / "pet-0123456789ab"
    touch(unpacked / "image.jpg")
    assert found(study, photos) == {}
    touch(photos.store("pet") / "store.json")
    assert found(study, photos) == {What.unpacked: {unpacked}}
    with hold_one([unpacked.with_name(f".{unpacked.name}.lock")]):
        assert found(study, photos) == {}


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
        assert item.size == 4 * len(
            [path for path in [item.path, *item.path.rglob("*")] if path.is_file()]
        )
        remove(item)
    assert contents(Path()) == kept
    empty = [path for path in Path().rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert empty == []


def test_a_link_is_removed_and_what_it_points_to_stays(study: Study) -> None:
    touch(Path("elsewhere/file"))
    link = study.folder / "retired" / "20200101T000000Z"
    link.parent.mkdir()
    link.symlink_to(Path("elsewhere").resolve())
    (item,) = unused([study])
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
