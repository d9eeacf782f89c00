"""What a study costs: images and operations, hours, bytes, and how ``gta plan`` tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from gta import files, methods, results
from gta.catalog import ACCELERATORS
from gta.cli import main
from gta.data.splits import subset_of
from gta.data.store import Store
from gta.errors import GtaError
from gta.methods.readings import TapRequest
from gta.models.flops import source_flops, training_flops
from gta.models.vit import create
from gta.plan import Calibration, Estimator, Speed, Work, calibrate, disk, of_datasheets, of_runs
from gta.plan.sizes import Size, heldout_of, size_of
from gta.study import Run, Study
from gta.study.load import read_yaml
from tests.support.commands import gta
from tests.support.left import metrics_row
from tests.support.samples import CLASSES, TEST_IMAGES, prepare_inputs

PAPER = ("l2_sp", "bss", "attention_only", "ffn_only", "gta", "block_guide", "msa_guide")
IMAGES = 4 * 8  # iterations and batch of the tiny study


def finish(study: Study, run: Run, seconds: float = 2.0, device: str = "cpu x 1") -> None:
    """Leave metrics as if the run were done."""
    row = metrics_row(study, run, seconds=seconds, device=device)
    row["finished_at"] = datetime(2026, 1, 1, tzinfo=UTC)
    results.write(study.run_files(run), "metrics", [row])


def of_method(study: Study, method: str, rate: float = 15.0) -> Run:
    return next(run for run in study.runs if run.method == method and run.rate == rate)


@pytest.fixture
def paper(root: Path, workdir: Path) -> Study:
    content = read_yaml(root / "config" / "paper.yaml")
    return Study({**content, "tables_file": str(root / "config" / "tables.yaml")})


# Sizes


def test_size_of_a_store_is_counted(tiny_study: Study) -> None:
    prepare_inputs(tiny_study)
    found = size_of(tiny_study, "mini_near")
    assert found == Size((8,) * len(CLASSES), TEST_IMAGES, 0)
    store = Store(tiny_study.store("mini_near"))
    for run in tiny_study.runs:
        if run.dataset == "mini_near":
            assert (
                heldout_of(tiny_study, run, found) == subset_of(tiny_study, run, store).heldout.size
            )


def test_size_before_it_is_prepared(tiny_config: Mapping[str, Any], paper: Study) -> None:
    own = {"train_per_class": 3, "heldout_images": 5, "test_images": 7}
    rendered = size_of(Study({**tiny_config, "procedural": own}), "mini_far")
    assert rendered is not None
    assert (set(rendered.train), rendered.test, rendered.heldout) == ({3}, 7, 5)
    published = size_of(paper, "cub")
    assert published is not None
    assert (published.classes, sum(published.train), published.test) == (200, 5994, 5794)
    assert max(published.train) - min(published.train) <= 1


def test_size_of_an_own_data_set_is_known_once_prepared(tiny_config: Mapping[str, Any]) -> None:
    own = {"birds": {"title": "Birds", "path": "birds"}}
    study = Study({**tiny_config, "own_datasets": own, "datasets": ["birds"]})
    assert size_of(study, "birds") is None
    work = Estimator(study).of(study.runs)
    assert work.trained == IMAGES * len(study.runs)
    assert work.tested == 0


# Work


def test_work_of_a_run(tiny_study: Study) -> None:
    prepare_inputs(tiny_study)
    model = create("vit_mini_patch8", 48, len(CLASSES))
    run = of_method(tiny_study, "gta")
    gta = methods.create("gta")
    each = training_flops(model, gta.trains, gta.taps)
    assert gta.source_taps is not None
    heldout = 4 * (8 - 2)  # ceil(8 * 15 %) of each class are taken
    tested = TEST_IMAGES + heldout
    assert Estimator(tiny_study).alone(run) == Work(
        augmented=IMAGES,
        trained=IMAGES,
        source=IMAGES,
        tested=tested,
        training_flops=IMAGES * (each.forward + each.backward),
        source_flops=IMAGES * source_flops(model, gta.source_taps),
        testing_flops=tested * each.forward,
    )


def test_only_guides_read_the_source_and_a_probe_costs_no_backward_pass(
    tiny_config: Mapping[str, Any],
) -> None:
    study = Study(
        {
            **tiny_config,
            "methods": ["finetune", *PAPER, "linear_probe"],
            "tables": ["table2", "table3"],
        }
    )
    estimator = Estimator(study)
    alone = {run.method: estimator.alone(run) for run in study.runs}
    assert {m for m, work in alone.items() if work.source} == {"gta", "block_guide", "msa_guide"}
    costs = [alone[name].training_flops for name in ("linear_probe", "attention_only", "finetune")]
    assert costs == sorted(set(costs))


def test_looks_at_held_out_images_count(tiny_config: Mapping[str, Any], workdir: Path) -> None:
    study = Study({**tiny_config, "heldout_every": 2})
    prepare_inputs(study)
    run = of_method(study, "finetune")
    assert Estimator(study).alone(run).tested == TEST_IMAGES + (1 + 4 // 2) * 24


def test_jobs_that_share_batches_augment_and_read_once(tiny_config: Mapping[str, Any]) -> None:
    alone, packed = (
        Study({**tiny_config, "pack": pack}) for pack in ([], ["method", "lam", "source", "mix"])
    )
    guided = sum(run.method == "gta" for run in alone.runs)
    one, other = (Estimator(study).of(study.runs) for study in (alone, packed))
    assert one.augmented == one.trained == other.trained == IMAGES * len(alone.runs)
    assert one.source == IMAGES * guided
    places = len({(run.dataset, run.rate, run.seed) for run in alone.runs})
    assert other.augmented == other.source == IMAGES * places
    assert other.source_flops * guided == one.source_flops * places
    assert one.training_flops == other.training_flops


def test_work_of_what_is_left_and_done_adds_up(tiny_study: Study) -> None:
    estimator = Estimator(tiny_study)
    done, left = tiny_study.runs[:10], tiny_study.runs[10:]
    assert estimator.of(done) + estimator.of(left) == estimator.of(tiny_study.runs)
    assert estimator.of([]) == Work()


def test_work_of_the_paper(paper: Study) -> None:
    images = 3000 * 768
    apart = Study({**paper.content, "pack": []})
    work = Estimator(apart).of(apart.runs)
    assert work.trained == work.augmented == 1470 * images
    guided = sum(run.method in ("gta", "block_guide", "msa_guide") for run in paper.runs)
    assert work.source == guided * images
    # each of its 150 jobs has one batch, one source, and guided runs among others
    packed = Estimator(paper).of(paper.runs)
    assert packed.trained == work.trained
    assert packed.augmented == packed.source == 150 * images


def test_the_work_of_the_jobs_is_that_of_their_runs(paper: Study) -> None:
    estimator = Estimator(paper)
    some = [run for run in paper.runs if run.dataset == "cub" and run.seed == 1]
    jobs = estimator.jobs(some)
    assert len(jobs) == 10
    assert sum(jobs, Work()) == estimator.of(some)
    assert estimator.jobs([]) == []


# Hours


def test_hours_add_up_one_thing_after_the_other() -> None:
    work = Work(augmented=7200, training_flops=3600, source_flops=7200, testing_flops=1800)
    speed = Speed("a", "float32", "", training=1, source=4, testing=1, augmentation=2)
    assert speed.hours(work) == 1 + 0.5 + 0.5 + 1


@pytest.mark.parametrize(("devices", "hours"), [(1, 19), (2, 10), (3, 8), (5, 8)])
def test_devices_take_the_longest_jobs_first(devices: int, hours: float) -> None:
    speed = Speed("a", "float32", "", training=1, source=1, testing=1)
    jobs = [Work(training_flops=3600 * each) for each in (3, 1, 8, 5, 2)]
    assert speed.wall(jobs, devices) == hours
    assert speed.wall([], devices) == 0


def test_data_sheets_times_a_share() -> None:
    speeds = {speed.precision: speed for speed in of_datasheets(["a100"], 0.5)}
    assert speeds["bfloat16"].training == 156e12
    assert speeds["float32"].source == 9.75e12
    assert "50 %" in speeds["float32"].basis
    with pytest.raises(GtaError, match="there is no device 'b100'; known: t4, v100"):
        of_datasheets(["b100"])


def test_a_recipe_that_allows_tf32_is_counted_at_its_peak() -> None:
    names = ["a100", "v100"]  # a V100 has no TF32
    plain, rounded = (of_datasheets(names, 1.0, tf32) for tf32 in (False, True))
    peaks = {(speed.name, speed.precision): speed.training / 1e12 for speed in rounded}
    assert (peaks["A100", "float32"], peaks["V100 SXM2", "float32"]) == (156, 15.7)
    halves = [speed for speed in plain if speed.precision != "float32"]
    assert halves == [speed for speed in rounded if speed.precision != "float32"]


def test_every_device_names_its_data_sheet() -> None:
    for info in ACCELERATORS.values():
        assert info.datasheet.startswith("https://")
        assert info.tflops["float16"] > info.tflops["float32"]
        assert info.tf32 is None or info.tflops["float32"] <= info.tf32 < info.tflops["float16"]


def test_runs_that_are_done_tell_the_speed(tiny_study: Study) -> None:
    estimator = Estimator(tiny_study)
    finetune, gta = (of_method(tiny_study, name) for name in ("finetune", "gta"))
    finish(tiny_study, finetune, seconds=2.0)
    finish(tiny_study, gta, seconds=3.0)
    (speed,) = of_runs(estimator, [finetune, gta])
    work = estimator.of([finetune, gta])
    assert speed.name == "cpu x 1"
    trained = Work(training_flops=work.training_flops, source_flops=work.source_flops)
    assert 3600 * speed.hours(trained) == pytest.approx(5.0)
    finish(tiny_study, gta, seconds=3.0, device="NVIDIA L4")
    assert {one.name for one in of_runs(estimator, [finetune, gta])} == {"cpu x 1", "NVIDIA L4"}


# A short run here


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timed call of each thing."""
    monkeypatch.setattr("gta.plan.calibration.STEPS", 1)
    monkeypatch.setattr("gta.plan.calibration.SECONDS", 0.0)


def test_a_short_run_gives_a_speed(tiny_study: Study, hasty: None) -> None:
    found = calibrate(tiny_study, torch.device("cpu"), classes=4)
    assert (found.batch, found.wanted) == (8, 8)
    assert min(found.finetune, found.gta, found.tested, found.speed.augmentation) > 0
    assert found.speed.precision == "float32"
    hours = found.speed.hours(Estimator(tiny_study).of(tiny_study.runs))
    assert 0 < hours < 24


def test_a_batch_too_large_for_a_cpu_is_cut(
    tiny_config: dict[str, Any], hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {**tiny_config["recipe"], "batch_size": 768, "precision": "bfloat16"}
    recipe["augment"] = {"randaugment": "rand-m9-mstd0.5-inc1"}
    each = training_flops(create("vit_mini_patch8", 48, 4), lambda _: True, TapRequest())
    monkeypatch.setattr("gta.plan.calibration.CPU_FLOPS", 3 * (each.forward + each.backward))
    found = calibrate(Study({**tiny_config, "recipe": recipe}), torch.device("cpu"), classes=4)
    assert (found.batch, found.wanted) == (3, 768)
    assert found.speed.precision == "bfloat16"


def test_a_batch_that_does_not_fit_is_halved(
    tiny_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    speed = Speed("gpu", "float32", "", 1, 1, 1)

    def measure(_: object, batch: int) -> Calibration:
        tried.append(batch)
        if batch > 2:
            raise torch.OutOfMemoryError
        return Calibration(speed, batch, 8, 1, 1, 1, 1)

    monkeypatch.setattr("gta.plan.calibration._Bench.measure", measure)
    assert calibrate(tiny_study, torch.device("cpu"), classes=4).batch == 2
    assert tried == [8, 4, 2]


def test_a_device_too_small_for_one_image_is_an_error(
    tiny_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object) -> Calibration:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("gta.plan.calibration._Bench.measure", measure)
    with pytest.raises(GtaError, match="cpu: too little memory to train on one image"):
        calibrate(tiny_study, torch.device("cpu"), classes=4)


# Disk


def test_disk_before_and_after(tiny_config: Mapping[str, Any], workdir: Path) -> None:
    study = Study({**tiny_config, "keep_weights": "all"})
    expected = {space.kind: space for space in disk(Estimator(study))}
    assert not any(space.here for space in expected.values())
    prepare_inputs(study)
    random = torch.Generator().manual_seed(0)
    run = of_method(study, "gta")
    classes = len(CLASSES)
    model = create("vit_mini_patch8", 48, classes)
    study.run_files(run).weights.parent.mkdir(parents=True)
    save_file(model.state_dict(), study.run_files(run).weights)
    rows = TEST_IMAGES + 24
    labels = torch.randint(classes, (2, rows), generator=random).tolist()
    results.write(
        study.run_files(run),
        "predictions",
        [
            {"split": "test", "index": i, "label": y, "prediction": p, "confidence": i / rows}
            for i, (y, p) in enumerate(zip(*labels, strict=True))
        ],
    )
    finish(study, run)
    found = {space.kind: space for space in disk(Estimator(study))}
    assert found["models"].here == study.run_files(run).weights.stat().st_size
    assert found["predictions"].here == study.run_files(run).path("predictions").stat().st_size
    for kind in ("metrics", "predictions", "models"):
        each = found[kind].bytes / found[kind].files
        assert found[kind].here == pytest.approx(each, rel=0.3)
    stores = [study.store(dataset) for dataset in study.config.datasets]
    bytes_of_stores = sum(file.stat().st_size for store in stores for file in store.iterdir())
    assert found["prepared datasets"].here == found["prepared datasets"].bytes == bytes_of_stores
    assert found["prepared sources"].here > 0


def test_weights_are_counted_where_they_are_kept(
    tiny_config: Mapping[str, Any], workdir: Path
) -> None:
    asked: dict[str, dict[str, Any]] = {
        "none": {"keep_weights": "none"},
        "figures": {"figures": ["figure1"]},
        "all": {"keep_weights": "all"},
    }
    spaces = {
        keep: {space.kind: space for space in disk(Estimator(Study({**tiny_config, **settings})))}
        for keep, settings in asked.items()
    }
    numbers = [spaces[keep]["models"].files for keep in ("none", "figures", "all")]
    assert numbers[0] == 0 < numbers[1] < numbers[2]
    each = {
        one["models"].bytes / one["models"].files for keep, one in spaces.items() if keep != "none"
    }
    parameters = sum(p.numel() for p in create("vit_mini_patch8", 48, 14).parameters())
    assert each == {4 * parameters}


def test_disk_of_photographs(paper: Study) -> None:
    (stores,) = (s for s in disk(Estimator(paper)) if s.kind == "prepared datasets")
    assert stores.files == 6  # with PASCAL VOC's masks
    assert 20e9 < stores.bytes < 40e9  # the config says 20 GB for the images to train on


# The command


def test_command_tells_runs_work_and_disk(config: str) -> None:
    study = Study.load([config])
    finish(study, study.runs[0])
    failure = study.run_files(study.runs[1]).failure
    files.write_text(failure, "the loss is not finite\n")
    said = gta("plan", "--config", config)
    assert "study tiny: 64 runs in 64 jobs (1 done, 62 missing, 1 failed)" in said
    assert f"failed: {study.runs[1].name}\n  the loss is not finite" in said
    assert f"{IMAGES * 64:,}" in said
    assert f"{IMAGES * 63:,}" in said
    assert "1 runs that are done" in said
    assert "A100" not in said  # so small a model
    assert "free for results/tiny: " in said


def test_command_measures_this_machine(config: str, hasty: None) -> None:
    said = gta("plan", "--config", config, "--measure", "--device", "cpu", "--on", "a100")
    assert "A100" in said
    assert "a short run at batch 8" in said
    assert "images a second: finetune " in said


def test_command_prints_json(config: str) -> None:
    said = gta("plan", "--config", config, "--json", "--on", "t4", "--utilisation", "0.5")
    found = json.loads(said)
    assert found["states"] == {"missing": 64}
    assert found["work"]["all"] == found["work"]["left"]
    assert {row["precision"] for row in found["hours"]} == {"float32", "float16"}
    flops = sum(found["work"]["all"][f"{kind}_flops"] for kind in ("training", "source", "testing"))
    (half,) = (row for row in found["hours"] if row["precision"] == "float16")
    assert half["all"] == pytest.approx(flops / (0.5 * 65e12) / 3600)
    assert {row["kind"] for row in found["disk"]} >= {"metrics", "predictions", "models"}
    assert found["measured"] is None
    assert found["devices"] == 1
    several = gta("plan", "--config", config, "--on", "t4", "--devices", "4")
    assert "Time on 4 devices for what is left" in several


def test_an_unknown_device_is_one_line(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "--config", config, "--on", "tpu"])
    assert str(stop.value.code).startswith("error: there is no device 'tpu'; known: t4, ")


def test_an_own_data_set_that_is_not_prepared_is_named(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    tiny_config |= {"own_datasets": {"birds": {"title": "B", "path": "b"}}, "datasets": ["birds"]}
    Path("own.yaml").write_text(yaml.safe_dump(tiny_config), encoding="utf-8")
    assert "birds: not prepared, its size is not known" in gta("plan", "--config", "own.yaml")
