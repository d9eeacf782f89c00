"""What runs leave behind: written whole or not at all, read back typed, judged one by one."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gta import files, results
from gta.catalog import STORE_FORMAT
from gta.errors import GtaError
from gta.results.writers import sole_writer
from gta.study import Run, Study
from gta.study.run import IDENTITY
from tests.support.left import contents, fail, finish, keep_weights, metrics_row


def metrics(study: Study, run: Run, **columns: Any) -> dict[str, Any]:
    """A full row of metrics, attention mass too."""
    ended = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    more = {
        "acc1": 50.0 + run.seed,
        "attention_mass": 0.8,
        "skipped_steps": 2,
        "finished_at": ended,
    }
    return metrics_row(study, run, **{**more, **columns})


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Writing


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_replaced(tmp_path, kind):
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    before = path.lstat()
    with pytest.raises(GtaError, match=rf"{kind}: cannot be written: is a .*not a regular file"):
        files.write_text(path, "text")
    assert path.lstat() == before
    assert list(tmp_path.iterdir()) == [path]


def test_whole_writes_and_leaves_no_hidden_file(workdir: Path) -> None:
    with files.atomic_write(Path("a/b/out.txt")) as hidden:
        assert hidden.name.startswith(".")
        assert hidden.suffix == ".txt"
        hidden.write_text("text")
        assert not Path("a/b/out.txt").exists()
    assert Path("a/b/out.txt").read_text() == "text"
    assert leftovers(workdir) == ["out.txt"]


def test_what_killed_writers_left_is_swept_and_what_is_written_is_not(workdir: Path) -> None:
    path = Path("out.txt")
    Path(".out.abcd_123.txt").write_text("left")
    Path(".out.mine.txt").write_text("not ours")
    with files.atomic_write(path) as hidden:
        hidden.write_text("first")
        files.write_text(path, "second")  # by another process: it leaves the first's file alone
        assert hidden.read_text() == "first"
    assert path.read_text() == "first"
    assert leftovers(workdir) == [".out.mine.txt", "out.txt"]


def test_whole_keeps_the_usual_permissions(workdir: Path) -> None:
    Path("plain").touch()
    files.write_text(Path("whole"), "text")
    assert Path("whole").stat().st_mode == Path("plain").stat().st_mode


def write_half(path: Path, error: type[BaseException]) -> None:
    with files.atomic_write(path) as hidden:
        hidden.write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_all_as_it_was(error: type[BaseException], workdir: Path) -> None:
    Path("old.txt").write_text("old")
    for name in ("old.txt", "new.txt"):
        with pytest.raises(error):
            write_half(Path(name), error)
    assert Path("old.txt").read_text() == "old"
    assert leftovers(workdir) == ["old.txt"]


def test_what_cannot_be_written_is_one_clear_line(workdir: Path) -> None:
    Path("file").touch()
    with pytest.raises(GtaError, match=r"^file/out\.txt: cannot be written: "):
        files.write_text(Path("file/out.txt"), "text")
    Path("folder").mkdir()
    with pytest.raises(GtaError, match=r"^folder: cannot be written: is a folder"):
        files.write_text(Path("folder"), "text")
    assert leftovers(workdir) == ["file"]


def test_a_row_with_a_column_of_no_schema_is_refused(tiny_study: Study) -> None:
    row = metrics(tiny_study, tiny_study.runs[0], accuracy=1.0)
    with pytest.raises(ValueError, match="metrics has no column accuracy"):
        results.write(tiny_study.run_files(tiny_study.runs[0]), "metrics", [row])
    assert not tiny_study.run_files(tiny_study.runs[0]).metrics.exists()


# Reading


def test_metrics_round_trip_with_typed_identity(tiny_study: Study) -> None:
    for run in tiny_study.runs:
        results.write(tiny_study.run_files(run), "metrics", [metrics(tiny_study, run)])
    table = results.read(tiny_study, "metrics")
    assert table.schema.names == [*IDENTITY, *results.METRICS.names]
    assert table.schema.field("rate").type == table.schema.field("lam").type == pa.float64()
    assert table.schema.field("seed").type == pa.int64()
    rows = table.to_pylist()
    assert [Run(**{field: row[field] for field in IDENTITY}) for row in rows] == list(
        tiny_study.runs
    )
    for run, row in zip(tiny_study.runs, rows, strict=True):
        assert {key: row[key] for key in results.METRICS.names} == metrics(tiny_study, run)


def test_a_column_left_out_is_null(tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    row = metrics(tiny_study, run)
    del row["heldout_acc1"]
    results.write(tiny_study.run_files(run), "metrics", [row])
    assert results.read_part(tiny_study.run_files(run), "metrics")["heldout_acc1"].to_pylist() == [
        None
    ]


def test_history_and_predictions_round_trip(tiny_study: Study) -> None:
    one, two = tiny_study.runs[:2]
    history = {"iteration": 1, "lr": 1e-3, "cross_entropy": 2.0, "penalty": 0.1, "train_acc1": 25.0}
    results.write(tiny_study.run_files(one), "history", [history, {**history, "iteration": 2}])
    read = results.read(tiny_study, "history", [one])
    assert read["iteration"].to_pylist() == [1, 2]
    assert read["seed"].to_pylist() == [one.seed] * 2

    prediction = {"index": 3, "label": 1, "prediction": 0, "confidence": 0.5}
    results.write(tiny_study.run_files(one), "predictions", [{"split": "test", **prediction}])
    results.write(
        tiny_study.run_files(two),
        "predictions",
        [{"split": "heldout", **prediction}, {"split": "test", **prediction}],
    )
    both = results.read(tiny_study, "predictions", [one, two])
    assert both["split"].to_pylist() == ["test", "heldout", "test"]
    assert both["confidence"].to_pylist() == [0.5] * 3


def test_reading_no_runs_gives_the_columns(tiny_study: Study) -> None:
    empty = results.read(tiny_study, "metrics", [])
    assert empty.num_rows == 0
    assert empty.schema.names == [*IDENTITY, *results.METRICS.names]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def scribbled(path: Path) -> None:
    path.write_bytes(b"PAR1 this is no parquet file")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_off, scribbled, emptied, garbled])
def test_damaged_file_is_one_clear_line(damage: Any, tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    results.write(tiny_study.run_files(run), "metrics", [metrics(tiny_study, run)])
    damage(tiny_study.run_files(run).metrics)
    with pytest.raises(GtaError) as error:
        results.read(tiny_study, "metrics", [run])
    line = str(error.value)
    assert line.startswith(f"{tiny_study.run_files(run).metrics}: damaged: ")
    assert "\n" not in line
    assert results.state_of(tiny_study.run_files(run)).state == "damaged"


def test_missing_file_is_one_clear_line(tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    with pytest.raises(GtaError, match=r"part\.parquet: missing$"):
        results.read_part(tiny_study.run_files(run), "metrics")


# Columns of other versions


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a result file, its metadata kept."""
    table = pq.ParquetFile(path).read()
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def retyped(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    position = table.schema.get_field_index(name)
    return table.set_column(position, name, table[name].cast(kind))


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        (lambda t: t, "done", ""),
        # older files lack what was added since; newer ones have more
        (lambda t: t.drop_columns(["attention_mass", "heldout_loss"]), "done", ""),
        (lambda t: t.append_column("f1", pa.array([1.0])), "done", ""),
        (lambda t: t.select(t.column_names[::-1]), "done", ""),
        (lambda t: t.drop_columns(["n_test"]), "stale", "by another version: lacks n_test"),
        (lambda t: pa.table({"accuracy": [50.0]}), "stale", "by another version: lacks acc1"),
        (lambda t: retyped(t, "acc1", pa.string()), "damaged", "acc1 is string, not double"),
        (lambda t: retyped(t, "n_test", pa.int32()), "damaged", "n_test is int32, not int64"),
    ],
)
def test_columns_of_other_versions(change: Any, state: str, reason: str, tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    finish(tiny_study, run)
    path = tiny_study.run_files(run).metrics
    rewrite(path, change)
    found = results.state_of(tiny_study.run_files(run))
    assert found.state == state
    assert found.reason.endswith(reason)
    if state == "done":
        assert results.read_part(tiny_study.run_files(run), "metrics").schema == results.METRICS
    before = path.read_bytes()
    results.collect_metrics(tiny_study, lambda run: None)
    assert path.read_bytes() == before


def test_dictionaries_of_wider_indices_are_the_same_column(tiny_study: Study) -> None:
    """As pyarrow before 20 reads them back."""
    run = tiny_study.runs[0]
    finish(tiny_study, run)
    wide = pa.dictionary(pa.int32(), pa.string())
    rewrite(tiny_study.run_files(run).path("predictions"), lambda t: retyped(t, "split", wide))
    table = results.read_part(tiny_study.run_files(run), "predictions")
    assert table.schema == results.PREDICTIONS
    assert set(table["split"].to_pylist()) == {"test"}


def relabel(path: Path, metadata: dict[bytes, bytes] | None) -> None:
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "does not say which run it belongs to"),
        ({b"run": b"dataset=a"}, "belongs to another run, 'dataset=a'"),
        ({b"run": b"\xff\xfe"}, "belongs to another run, "),
    ],
)
def test_a_result_of_no_or_another_run_is_damaged(
    metadata: Any, reason: str, tiny_study: Study
) -> None:
    run = tiny_study.runs[0]
    finish(tiny_study, run)
    relabel(tiny_study.run_files(run).metrics, metadata)
    found = results.state_of(tiny_study.run_files(run))
    assert found.state == "damaged"
    assert reason in found.reason


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"acc1": 5000.0}, "acc1 is 5000, outside [0, 100]"),
        ({"acc1": -5.0}, "acc1 is -5, outside [0, 100]"),
        ({"acc1": float("inf")}, "acc1 is inf, outside [0, 100]"),
        ({"heldout_acc1": float("nan")}, "heldout_acc1 is nan, outside [0, 100]"),
        ({"attention_mass": 1.5}, "attention_mass is 1.5, outside [0, 1]"),
        ({"n_test": -1}, "n_test is -1, outside [0, inf]"),
        ({"seconds": None}, "seconds is null"),
        ({"finished_at": None}, "finished_at is null"),
        ({"versions": "none"}, "versions is not a JSON object"),
        ({"versions": "[1]"}, "versions is not a JSON object"),
    ],
)
def test_impossible_values_are_damage(columns: Any, reason: str, tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    finish(tiny_study, run, **columns)
    found = results.state_of(tiny_study.run_files(run))
    assert found == results.State("damaged", f"{tiny_study.run_files(run).metrics}: {reason}")


@pytest.mark.parametrize("kind", ["metrics", "history", "predictions"])
def test_a_pipe_in_place_of_a_file_is_damage(kind: Any, tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    finish(tiny_study, run)
    path = tiny_study.run_files(run).path(kind)
    path.unlink()
    os.mkfifo(path)
    _, missing = results.collect_metrics(tiny_study, lambda run: None)
    assert missing[run] == results.State("damaged", f"{path}: damaged: not a regular file")


# States


ORIGIN = results.Origin("data-1", "source-1")


def test_states_of_a_run(tiny_study: Study) -> None:
    missing, failed, stale, other_data, other_source, done = tiny_study.runs[:6]
    files.write_text(tiny_study.run_files(failed).failure, "the loss is NaN at iteration 3\n")
    finish(tiny_study, stale, recipe_digest="of other settings")
    finish(tiny_study, other_data, data_digest="data-0")
    finish(tiny_study, other_source, source_digest="source-0")
    finish(tiny_study, done)
    found = {
        run: results.state_of(tiny_study.run_files(run), ORIGIN) for run in tiny_study.runs[:6]
    }
    assert found[missing] == results.State("missing", "not run yet")
    assert found[failed] == results.State("failed", "the loss is NaN at iteration 3")
    assert found[stale].state == "stale"
    assert found[stale].reason.endswith("made with other settings than the config's")
    for run in (other_data, other_source):
        assert found[run].state == "stale"
        assert found[run].reason.endswith("made from another state of the data or the source")
    assert found[done] == results.State("done")
    # where today's data and source are not known, they are not compared
    assert results.state_of(tiny_study.run_files(other_data)) == results.State("done")


def test_a_metrics_file_without_a_row_is_damaged(tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    results.write(tiny_study.run_files(run), "metrics", [])
    assert results.state_of(tiny_study.run_files(run)).state == "damaged"


def keeping(study: Study) -> Study:
    return Study({**study.content, "keep_weights": "all"})


def test_weights_newly_asked_for_are_missing_and_the_numbers_stay(tiny_study: Study) -> None:
    for run in tiny_study.runs:
        finish(tiny_study, run)
    before = contents(tiny_study.folder)
    study = keeping(tiny_study)
    table, missing = results.collect_metrics(study, lambda run: None)
    assert table.num_rows == len(study.runs)
    assert {state.state for state in missing.values()} == {"missing"}
    assert missing[study.runs[0]].reason == (
        f"{study.run_files(study.runs[0]).path('models')}: missing, and the config keeps it"
    )
    assert len(missing) == len(study.runs)
    assert contents(tiny_study.folder) == before


def test_weights_are_held_to_run_settings_and_size(tiny_study: Study) -> None:
    study = keeping(tiny_study)
    run, other = study.runs[:2]
    finish(study, run)
    finish(study, other)
    path = study.run_files(run).weights
    whole = path.read_bytes()

    def found() -> results.State:
        return results.state_of(study.run_files(run))

    assert found().state == "done"
    path.write_bytes(study.run_files(other).weights.read_bytes())
    assert found() == results.State("damaged", f"{path}: belongs to another run, {other.name}")
    keep_weights(study, run, recipe_digest="another")
    assert found().state == "stale"
    for damaged in (whole[:-1], whole[:30], b"", b"\xff" * 100, b"\2" + bytes(7) + b"[]"):
        path.write_bytes(damaged)
        assert found().state == "damaged"
        assert "cannot be read as safetensors" in found().reason
    assert results.state_of(tiny_study.run_files(run)).state == "done"


def test_a_failure_of_other_settings_is_past(tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    fail(tiny_study, run, "the loss is not finite")
    assert results.state_of(tiny_study.run_files(run)) == results.State(
        "failed", "the loss is not finite"
    )
    recipe = {**tiny_study.content["recipe"], "lr": 2e-3}
    mended = Study({**tiny_study.content, "recipe": recipe})
    assert results.state_of(mended.run_files(run)) == results.State("missing", "not run yet")
    with sole_writer(tiny_study.run_files(run)):  # a new attempt is at work
        assert results.state_of(tiny_study.run_files(run)).state == "missing"


def test_a_failure_of_other_data_is_past(tiny_study: Study) -> None:
    run, origin = tiny_study.runs[0], results.Origin("data", "source")
    results.note_failure(tiny_study.run_files(run), GtaError("no test image"), origin)
    for today in (origin, None):
        assert results.state_of(tiny_study.run_files(run), today).reason == "no test image"
    mended = results.Origin("mended", "source")
    assert results.state_of(tiny_study.run_files(run), mended) == results.State(
        "missing", "not run yet"
    )


def test_changed_settings_make_a_result_stale(tiny_study: Study) -> None:
    run = tiny_study.runs[0]
    finish(tiny_study, run)
    recipe = {**tiny_study.content["recipe"], "lr": 2e-3}
    assert (
        results.state_of(Study({**tiny_study.content, "recipe": recipe}).run_files(run)).state
        == "stale"
    )


def test_file_digest_is_that_of_sha256sum(workdir: Path) -> None:
    Path("abc").write_bytes(b"abc")
    assert files.file_digest(Path("abc")) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(GtaError, match=r"^nothing: cannot be read: No such file"):
        files.file_digest(Path("nothing"))


# The collected whole


def test_collect_gathers_what_is_done_and_names_the_holes(tiny_study: Study) -> None:
    missing, stale, *done = tiny_study.runs
    finish(tiny_study, stale, data_digest="data-0")
    for run in done:
        finish(tiny_study, run)
    table, holes = results.collect_metrics(tiny_study, lambda run: ORIGIN)
    assert table.num_rows == len(done)
    assert {run: hole.state for run, hole in holes.items()} == {missing: "missing", stale: "stale"}

    results.write_collected(tiny_study, table)
    frame = results.read_collected(tiny_study)
    assert list(frame.columns) == [*IDENTITY, *results.METRICS.names]
    assert list(frame[list(IDENTITY)].itertuples(index=False, name=None)) == [
        dataclasses.astuple(run) for run in done
    ]
    assert leftovers(tiny_study.folder).count("metrics.parquet") == 1
    some = results.read_collected(tiny_study, "acc1")
    assert list(some.columns) == [*IDENTITY, "acc1"]
    assert some.equals(frame[some.columns])


def test_collected_file_says_whose_it_is(tiny_study: Study) -> None:
    table, holes = results.collect_metrics(tiny_study, lambda run: None)
    assert table.num_rows == 0
    assert len(holes) == len(tiny_study.runs)
    results.write_collected(tiny_study, table)
    metadata = pq.read_schema(tiny_study.folder / "metrics.parquet").metadata
    assert metadata[b"gta"] == b'{"study": "tiny"}'


def write_all(study: Study, **columns: Any) -> None:
    for run in study.runs:
        finish(study, run, **columns)
    results.write_collected(study, results.read(study, "metrics"))


@pytest.mark.parametrize(
    ("metadata", "whose"),
    [
        ({"gta": '{"study": "other"}'}, "it belongs to study 'other'"),
        (None, "it does not say whose it is"),
        ({"gta": "[]"}, "it does not say whose it is"),
        ({"gta": b"\xff"}, "it does not say whose it is"),
    ],
)
def test_another_studys_collected_file_is_refused(
    metadata: Any, whose: str, tiny_study: Study
) -> None:
    write_all(tiny_study)
    path = tiny_study.folder / "metrics.parquet"
    pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata(metadata), path)
    with pytest.raises(GtaError, match=r"metrics\.parquet: not of study 'tiny': ") as error:
        results.read_collected(tiny_study)
    assert whose in str(error.value)


def test_rows_of_other_settings_or_data_are_left_out(tiny_study: Study) -> None:
    write_all(tiny_study)
    prepare_digests(tiny_study, data="data-1")
    assert len(results.read_collected(tiny_study)) == len(tiny_study.runs)
    overrides = [{"rate": [15], "recipe": {"lr": 2e-3}}]
    edited = Study({**tiny_study.content, "overrides": overrides})
    frame = results.read_collected(edited, "acc1")
    assert list(frame.columns) == [*IDENTITY, "acc1"]
    assert list(frame[list(IDENTITY)].itertuples(index=False, name=None)) == [
        dataclasses.astuple(run) for run in edited.runs if run.rate == 100
    ]
    prepare_digests(tiny_study, data="data-2")
    assert results.read_collected(tiny_study).empty


def prepare_digests(study: Study, data: str) -> None:
    """As much of prepared data and sources as tells their digests; the metrics are made of it."""
    content = json.dumps({"format": STORE_FORMAT, "digest": data})
    for dataset in study.config.datasets:
        files.write_text(study.store(dataset) / "store.json", content)
    for source in study.config.sources.values():
        files.write_text(study.weights(source), source)
    if data == "data-1":
        for run in study.runs:
            source = files.file_digest(study.weights(run.source))
            finish(study, run, source_digest=source)
        results.write_collected(study, results.read(study, "metrics"))


def test_impossible_collected_numbers_are_refused(tiny_study: Study) -> None:
    write_all(tiny_study, acc1=float("inf"))
    with pytest.raises(GtaError, match=r"metrics\.parquet: acc1 is inf, outside \[0, 100\]"):
        results.read_collected(tiny_study, "acc1")


def test_missing_or_damaged_collected_file_is_one_clear_line(tiny_study: Study) -> None:
    with pytest.raises(GtaError, match=r"metrics\.parquet: missing; run `snakemake`"):
        results.read_collected(tiny_study)
    files.write_text(tiny_study.folder / "metrics.parquet", "no parquet")
    with pytest.raises(GtaError, match=r"metrics\.parquet: damaged: .*; delete it"):
        results.read_collected(tiny_study)
