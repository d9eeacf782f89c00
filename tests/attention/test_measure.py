"""Masks from attention against loops over heads, patches and pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from gta import results
from gta.attention import (
    PROTOCOLS,
    SEGMENTATION,
    Protocol,
    attention_mass,
    jaccard,
    kept_patches,
    matched_jaccard,
    measure_masks,
    objects_of,
    patch_coverage,
    segment,
    view_of,
    write,
)
from gta.attention import measure as measuring
from gta.data import store as stores
from gta.data.batches.augment import Evaluator
from gta.errors import GtaError
from gta.methods.readings import TapRequest
from gta.models.sources import load_source
from gta.models.taps import read_source
from gta.models.vit import create
from gta.study import RUN_FIELDS, Run, Study
from tests.support.frames import metrics_frame
from tests.support.samples import voc_like_store

IMAGES, HEADS, SIDE, PATCH = 5, 3, 4, 6
PIXELS = SIDE * PATCH


def logits(seed: int, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(IMAGES, HEADS, SIDE * SIDE, generator=generator)


def blobs(seed: int, classes: list[int]) -> Tensor:
    """Class maps of random rectangles on background, (IMAGES, PIXELS, PIXELS) uint8."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((IMAGES, PIXELS, PIXELS), np.uint8)
    for picture in maps:
        for label in classes:
            top, left = rng.integers(0, PIXELS - 4, 2)
            height, width = rng.integers(3, 14, 2)
            picture[top : top + height, left : left + width] = label
    return torch.from_numpy(maps)


def softmax(row: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(row - row.max())
    return weights / weights.sum()


def naive_kept(row: NDArray[np.float64], mass: float) -> list[bool]:
    """Take the strongest patch that is left until the share is reached."""
    attention = softmax(row)
    kept = [False] * len(row)
    while sum(a for a, k in zip(attention, kept, strict=True) if k) < mass:
        left = [(-1.0 if k else a) for a, k in zip(attention, kept, strict=True)]
        kept[int(np.argmax(left))] = True
    return kept


def pixels_of(kept: list[bool]) -> NDArray[np.bool_]:
    """Nearest upsampling, pixel by pixel."""
    picture = np.zeros((PIXELS, PIXELS), bool)
    for y in range(PIXELS):
        for x in range(PIXELS):
            picture[y, x] = kept[(y // PATCH) * SIDE + x // PATCH]
    return picture


def naive_jaccard(heads: Tensor, labels: Tensor, protocol: Protocol) -> float:
    """One image: for each class present the best (or mean) head, then the mean over classes."""
    truth = labels.numpy()
    scores = []
    for label in sorted(set(truth.ravel().tolist()) - {0, 255}):
        found = []
        for head in heads.double().numpy():
            mask = pixels_of(naive_kept(head, protocol.mass))
            if protocol.ignore_void:
                mask &= truth != 255
            found.append((mask & (truth == label)).sum() / (mask | (truth == label)).sum())
        scores.append(max(found) if protocol.heads == "best" else sum(found) / len(found))
    return sum(scores) / len(scores) if scores else float("nan")


@pytest.mark.parametrize("mass", [0.1, 0.6, 0.9, 0.999])
def test_kept_patches_are_the_fewest_that_hold_the_mass(mass: float) -> None:
    rows = logits(0)
    kept = kept_patches(rows, mass)
    for image in range(IMAGES):
        for head in range(HEADS):
            assert kept[image, head].tolist() == naive_kept(
                rows[image, head].double().numpy(), mass
            )


def test_kept_patches_of_known_shares() -> None:
    # shares .5, .3, .15, .05 in another order
    rows = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()[None, None]
    assert kept_patches(rows, 0.4)[0, 0].tolist() == [False, True, False, False]
    assert kept_patches(rows, 0.6)[0, 0].tolist() == [False, True, False, True]
    assert kept_patches(rows, 0.9)[0, 0].tolist() == [True, True, False, True]


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_jaccard_of_one_object(name: str) -> None:
    rows, labels = logits(1), blobs(1, [1])
    expected = [naive_jaccard(*pair, PROTOCOLS[name]) for pair in zip(rows, labels, strict=True)]
    found = jaccard(rows, labels.bool(), PROTOCOLS[name])
    torch.testing.assert_close(found.double(), torch.tensor(expected).double())


@pytest.mark.parametrize("heads", ["best", "mean"])
@pytest.mark.parametrize("ignore_void", [False, True])
def test_jaccard_of_classes_and_void(heads: Any, ignore_void: bool) -> None:
    protocol = Protocol("here", 0.7, heads, ignore_void)
    rows, labels = logits(2), blobs(2, [3, 255, 7])
    labels[0] = 0
    labels[0, :3] = 255  # no object at all
    expected = [naive_jaccard(*pair, protocol) for pair in zip(rows, labels, strict=True)]
    found = jaccard(rows, labels, protocol)
    torch.testing.assert_close(found.double(), torch.tensor(expected).double(), equal_nan=True)
    assert found[0].isnan()
    assert not found[1:].isnan().any()


def test_ignoring_void_changes_the_index() -> None:
    rows, labels = logits(2), blobs(2, [3, 255])
    counted = jaccard(rows, labels, Protocol("counted", 0.7))
    ignored = jaccard(rows, labels, Protocol("ignored", 0.7, ignore_void=True))
    assert (ignored >= counted).all()
    assert (ignored > counted).any()


@pytest.mark.parametrize("ignore_void", [False, True])
def test_matched_jaccard(ignore_void: bool) -> None:
    protocol = Protocol("here", 0.6, ignore_void=ignore_void)
    rows, labels = logits(3), blobs(3, [2, 255, 9])
    labels[0] = 0
    found = matched_jaccard(rows, labels, protocol)
    assert found[0].isnan()
    for image in range(1, IMAGES):
        truth = labels[image].numpy()
        objects = (truth != 0) & (truth != 255)
        area = max(1, round(objects.sum() / PATCH**2))
        strength = np.mean([softmax(head) for head in rows[image].double().numpy()], axis=0)
        strongest = set(np.argsort(-strength)[:area].tolist())
        mask = pixels_of([patch in strongest for patch in range(SIDE * SIDE)])
        if ignore_void:
            mask &= truth != 255
        expected = (mask & objects).sum() / (mask | objects).sum()
        assert found[image].item() == pytest.approx(expected, abs=1e-6)


def test_matched_jaccard_is_one_where_attention_is_the_object() -> None:
    rows, labels = torch.zeros(1, 2, SIDE * SIDE), torch.zeros(1, PIXELS, PIXELS, dtype=torch.bool)
    rows[:, :, [5, 6]] = 4.0
    labels[:, PATCH : 2 * PATCH, PATCH : 3 * PATCH] = True
    assert matched_jaccard(rows, labels, PROTOCOLS["sar"]).tolist() == [1.0]


def test_attention_mass() -> None:
    rows, labels = logits(4), blobs(4, [1]).bool()
    found = attention_mass(rows, labels)
    for image in range(IMAGES):
        total = 0.0
        for head in rows[image].double().numpy():
            for patch, share in enumerate(softmax(head)):
                y, x = divmod(patch, SIDE)
                part = labels[image, y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH]
                total += share * part.float().mean().item() / HEADS
        assert found[image].item() == pytest.approx(total, abs=1e-6)


def test_presets_are_those_of_the_public_code() -> None:
    known = {name: (p.mass, p.size, p.heads, p.ignore_void) for name, p in PROTOCOLS.items()}
    assert known == {
        "sar": (0.6, 480, "best", False),
        "ipvit": (0.9, 512, "best", False),
        "sar_without_void": (0.6, 480, "best", True),
        "ipvit_without_void": (0.9, 512, "best", True),
    }
    assert [protocol.name for protocol in PROTOCOLS.values()] == list(PROTOCOLS)


def test_objects_are_the_shares_of_patches() -> None:
    labels = blobs(5, [3, 255, 7])
    labels[1] = 0
    found = objects_of(labels, (SIDE, SIDE), [7, 3, 9])
    assert found.classes.shape == (IMAGES, 3, SIDE * SIDE)
    for image, patch in np.ndindex(IMAGES, SIDE * SIDE):
        y, x = divmod(patch, SIDE)
        part = labels[image, y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH]
        shares = [(part == label).float().mean().item() for label in (7, 3, 9, 255)]
        assert found.classes[image, :, patch].tolist() == pytest.approx(shares[:3])
        assert found.void[image, patch].item() == pytest.approx(shares[3])
        assert found.foreground[image, patch].item() == pytest.approx(shares[0] + shares[1])
    assert found.joined.classes.shape == (IMAGES, 1, SIDE * SIDE)
    # the same as from the maps themselves, whatever other classes there are
    rows = logits(5)
    for protocol in PROTOCOLS.values():
        for index in (jaccard, matched_jaccard):
            torch.testing.assert_close(
                index(rows, found, protocol), index(rows, labels, protocol), equal_nan=True
            )
    joined = (labels == 3) | (labels == 7)
    torch.testing.assert_close(attention_mass(rows, found), attention_mass(rows, joined))


def test_a_grid_that_is_not_square() -> None:
    labels = torch.zeros(1, 4, 6, dtype=torch.bool)
    labels[0, :2, :3] = True
    assert patch_coverage(labels, (2, 3)).tolist() == [[1.0, 0.5, 0.0, 0.0, 0.0, 0.0]]
    rows = torch.zeros(1, 1, 6)
    assert attention_mass(rows, labels, (2, 3)).item() == pytest.approx(1.5 / 6)


def test_bad_shapes_and_masses_are_refused() -> None:
    with pytest.raises(GtaError, match="6 patches do not make a square"):
        attention_mass(torch.zeros(1, 1, 6), torch.zeros(1, 4, 4))
    with pytest.raises(GtaError, match="5 x 4 pixels cannot be cut into 2 x 2 patches"):
        attention_mass(torch.zeros(1, 1, 4), torch.zeros(1, 5, 4))
    with pytest.raises(GtaError, match=r"mass 60 is not in \(0, 1\]"):
        Protocol("percent", 60)


# Models


def rendered(seed: int, split: str, count: int) -> list[stores.Item]:
    rng = np.random.default_rng(seed)
    masks = blobs(seed, [1]).bool().numpy()
    items = []
    for position in range(count):
        mask = np.kron(masks[position], np.ones((2, 2), bool))
        pixels = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        items.append(stores.Item(f"{split}/{position}", position % 2, split, pixels, mask))
    return items


def small_vit(seed: int, classes: int = 0) -> Any:
    torch.manual_seed(seed)
    return create("vit_mini_patch8", 48, classes).eval()


def test_measure_takes_means_over_images_and_batches() -> None:
    model = small_vit(0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 48, 48, generator=generator)
    masks = torch.rand(4, 48, 48, generator=generator) > 0.8
    masks[2] = False  # an image without object counts nowhere
    seen: list[Tensor] = []

    def keep(module: Any, arguments: tuple[Tensor], output: Tensor) -> None:
        seen.append(output)

    attention = model.blocks[-1].attn
    hook = attention.qkv.register_forward_hook(keep)
    with torch.no_grad():
        model(images)
    hook.remove()
    query, key, _ = seen[0].unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    rows = (query[:, :, 0] * attention.scale).unsqueeze(2) @ key[:, :, 1:].transpose(2, 3)
    rows = rows.squeeze(2)
    batches = [(images[:3], masks[:3]), (images[3:], masks[3:])]
    found = measure_masks(model, batches, list(PROTOCOLS.values()))
    shown = [0, 1, 3]
    assert [row["protocol"] for row in found] == list(PROTOCOLS)
    for row in found:
        protocol = PROTOCOLS[row["protocol"]]
        assert row["n_images"] == 3
        assert row["size"] == 48
        for name, expected in (
            ("jaccard", jaccard(rows, masks, protocol)),
            ("matched_jaccard", matched_jaccard(rows, masks, protocol)),
            ("attention_mass", attention_mass(rows, masks)),
        ):
            assert row[name] == pytest.approx(expected[shown].mean().item(), abs=1e-6)


def save_model(study: Study, run: Run, model: Any) -> None:
    """Keep a run's trained weights, as training does."""
    owner = {"run": run.name, "recipe_digest": study.digest(run)}
    save_file(model.state_dict(), study.run_files(run).weights, metadata=owner)


@pytest.fixture
def masked_study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """One dataset with masks, a source, and the weights of all runs but one."""
    tiny_config |= {"datasets": ["mini_near"], "seeds": [0], "tables": ["table4"]}
    tiny_config["methods"]["gta"]["grid"] = [1]
    study = Study(tiny_config)
    items = rendered(0, "test", 4) + rendered(1, "train", 3)
    stores.write(study.store("mini_near"), "mini_near", ["a", "b"], items)
    source = study.weights("tiny_ibot")
    source.parent.mkdir(parents=True)
    save_file(small_vit(0).state_dict(), source)
    for seed, run in enumerate(study.runs[:-1], start=1):
        weights = study.run_files(run).weights
        weights.parent.mkdir(parents=True)
        save_model(study, run, small_vit(seed, classes=2))
    return study


def test_segment_measures_the_source_and_each_run_with_weights(masked_study: Study) -> None:
    calls: list[tuple[int, int]] = []
    table = segment(masked_study, progress=lambda *call: calls.append(call))
    done = masked_study.runs[:-1]
    assert calls == [(i, len(done) + 1) for i in range(1, len(done) + 2)]
    rows = table.to_pylist()
    assert len(rows) == 2 * (len(done) + 1)
    assert {row["n_images"] for row in rows} == {4}
    assert [rows[0][field] for field in RUN_FIELDS] == [None, None, "tiny_ibot", *[None] * 4]
    assert [(r["method"], r["rate"]) for r in rows[2::2]] == [(r.method, r.rate) for r in done]
    # the numbers are those of the run's own weights on the test images
    store = stores.Store(masked_study.store("mini_near"))
    test = store.indices("test")
    evaluator = Evaluator(masked_study.recipe(done[0]))
    masks = torch.stack([evaluator.mask(store.mask(i)) for i in test])
    batch = [(evaluator(store.images(test)), masks)]
    expected = measure_masks(small_vit(1, classes=2), batch, [PROTOCOLS["sar"], PROTOCOLS["ipvit"]])
    for row, wanted in zip(rows[2:4], expected, strict=True):
        assert {name: row[name] for name in wanted} == pytest.approx(wanted)


def test_segmentation_file(masked_study: Study) -> None:
    table = segment(masked_study)
    write(masked_study, table)
    assert pq.ParquetFile(masked_study.folder / "segmentation.parquet").read().equals(table)


def test_a_data_set_without_masks_gives_no_rows(tiny_config: dict[str, Any], workdir: Path) -> None:
    tiny_config |= {"datasets": ["mini_near"], "tables": ["table4"]}
    study = Study(tiny_config)
    pixels = np.zeros((48, 48, 3), np.uint8)
    items = [stores.Item("test/0", 0, "test", pixels)]
    stores.write(study.store("mini_near"), "mini_near", ["a"], items)
    table = segment(study)
    assert table.num_rows == 0
    assert table.schema == SEGMENTATION


def test_what_was_measured_is_not_measured_again(
    masked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Path] = []
    load = measuring.load_source

    def counting(path: Path, architecture: str, size: int) -> Any:
        counted.append(path)
        return load(path, architecture, size)

    monkeypatch.setattr(measuring, "load_source", counting)
    table = segment(masked_study)
    assert len(counted) == len(masked_study.runs)  # the source, and all runs but one
    counted.clear()
    assert segment(masked_study).equals(table)
    assert not counted
    # other weights, or a damaged file, are
    first, second = (masked_study.run_files(run).weights for run in masked_study.runs[:2])
    save_model(masked_study, masked_study.runs[0], small_vit(9, classes=2))
    masked_study.run_files(masked_study.runs[1]).path("segmentation").write_bytes(b"PAR1")
    again = segment(masked_study)
    assert counted == [first, second]
    assert again["jaccard"][2] != table["jaccard"][2]
    assert again["jaccard"][4:].equals(table["jaccard"][4:])
    # so are all under other settings
    counted.clear()
    others = {"segmentation": {"protocols": ["ipvit"]}}
    segment(Study({**masked_study.content, **others}))
    assert len(counted) == len(masked_study.runs)


# Masks of another dataset

SIZES = [(60, 80), (80, 60), (70, 70), (50, 90)]
SMALL = {
    "small": {"mass": 0.6, "size": 64},
    "larger": {"mass": 0.9, "size": 96, "ignore_void": True},
    "mean": {"mass": 0.6, "heads": "mean"},
}


@pytest.fixture
def voc_study(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """Two datasets, whose models are held against masks of classes; the training data lack."""
    settings = {"dataset": "voc12", "own_protocols": SMALL, "protocols": list(SMALL)}
    tiny_config |= {"seeds": [0], "tables": ["table4"], "segmentation": settings}
    tiny_config["methods"]["gta"]["grid"] = [1, 10]
    study = Study(tiny_config)
    voc_like_store(study.store("voc12"), SIZES)
    source = study.weights("tiny_ibot")
    source.parent.mkdir(parents=True)
    save_file(small_vit(0).state_dict(), source)
    for seed, run in enumerate(study.runs, start=1):
        weights = study.run_files(run).weights
        weights.parent.mkdir(parents=True)
        save_model(study, run, small_vit(seed, classes=2))
    return study


def squares(store: stores.Store, size: int) -> tuple[list[NDArray[np.uint8]], Tensor]:
    """Whole images and class maps as squares, as Pillow resizes them."""
    images, maps = [], []
    for position in range(len(store)):
        image = Image.fromarray(store.image(position))
        mask = Image.fromarray(store.class_mask(position))
        images.append(np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)))
        maps.append(torch.from_numpy(np.array(mask.resize((size, size), Image.Resampling.NEAREST))))
    return images, torch.stack(maps)


@pytest.mark.parametrize("size", [64, 96])
def test_a_view_is_the_whole_image_as_a_square(voc_study: Study, size: int) -> None:
    store = stores.Store(voc_study.store("voc12"))
    recipe, grid = voc_study.config.recipe, (size // 8, size // 8)
    view = view_of(store, store.indices("test"), recipe, size, grid)
    images, maps = squares(store, size)
    assert (view.pixels == np.stack(images)).all()
    expected = objects_of(maps, grid, range(1, 21))
    assert view.objects.classes.equal(expected.classes)
    assert view.objects.void.equal(expected.void)
    batches = list(view.batches(recipe, 3, torch.device("cpu")))
    assert [len(batch[0]) for batch in batches] == [len(batch[1].void) for batch in batches]
    mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
    first = (torch.from_numpy(images[0].copy()).double() / 255 - mean) / std
    torch.testing.assert_close(batches[0][0][0].permute(1, 2, 0), first.float())


def test_models_are_held_against_masks_of_another_data_set(voc_study: Study) -> None:
    rows = segment(voc_study).to_pylist()
    # the source once, though there are two datasets; each run; three protocols each
    assert len(rows) == 3 * (1 + len(voc_study.runs))
    assert {row["evaluated_on"] for row in rows} == {"voc12"}
    assert [row["protocol"] for row in rows[:3]] == list(SMALL)
    assert [row["size"] for row in rows[:3]] == [64, 96, 48]
    store = stores.Store(voc_study.store("voc12"))
    last = rows[-3:]
    for row, protocol in zip(last, voc_study.config.segmentation.measured, strict=True):
        size = protocol.size or 48
        images, maps = squares(store, size)
        weights = voc_study.run_files(voc_study.runs[-1]).weights
        model = load_source(weights, "vit_mini_patch8", size)
        recipe = voc_study.config.recipe.model_copy(update={"image_size": size})
        readings = read_source(model, Evaluator(recipe)(images), TapRequest(cls_logits=(-1,)))
        assert readings.cls_logits is not None
        heads = readings.cls_logits[0]
        assert row["jaccard"] == pytest.approx(jaccard(heads, maps, protocol).mean().item())
        matched = matched_jaccard(heads, maps, protocol).mean().item()
        assert row["matched_jaccard"] == pytest.approx(matched)
        shown = attention_mass(heads, (maps != 0) & (maps != 255)).mean().item()
        assert row["attention_mass"] == pytest.approx(shown)
        assert (row["mass"], row["heads"]) == (protocol.mass, protocol.heads)
        assert row["ignore_void"] == protocol.ignore_void
        assert row["n_images"] == len(SIZES)


def test_only_the_chosen_lambdas_are_measured(voc_study: Study) -> None:
    settings = {**voc_study.content["segmentation"], "lambdas": "chosen"}
    study = Study({**voc_study.content, "segmentation": settings})
    with pytest.raises(GtaError, match=r"metrics.parquet: missing"):
        segment(study)
    # near: 1 by test accuracy, 10 by held-out accuracy; far: 10 by both
    frame = metrics_frame(
        study,
        lambda run: 50 - run.lam if run.dataset == "mini_near" else 50 + run.lam,
        lambda run: 50 + run.lam,
    )
    frame["recipe_digest"] = [study.digest(run) for run in study.runs]
    results.write_collected(study, pa.Table.from_pandas(frame, preserve_index=False))
    rows = segment(study).to_pylist()
    found = {(r["dataset"], r["lam"]) for r in rows if r["method"] == "gta"}
    assert found == {("mini_near", 1), ("mini_near", 10), ("mini_far", 10)}
    tuned = [row for row in rows if row["method"] == "finetune"]
    assert len(tuned) == 3 * sum(run.method == "finetune" for run in study.runs)
    assert sum(row["method"] is None for row in rows) == 3


def test_a_size_that_the_patches_do_not_divide_is_refused(voc_study: Study) -> None:
    settings = {"dataset": "voc12", "own_protocols": {"odd": {"mass": 0.5, "size": 60}}}
    study = Study({**voc_study.content, "segmentation": {**settings, "protocols": ["odd"]}})
    with pytest.raises(GtaError, match="protocols odd: image_size 60 is not a multiple"):
        segment(study)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dataset": "cub"}, "segmentation.dataset: there is no dataset with masks 'cub'"),
        ({"protocols": ["dino"]}, "segmentation.protocols: there is no protocol 'dino'"),
        ({"protocols": ["sar", "sar"]}, "segmentation.protocols: a value is named twice"),
        ({"protocols": []}, "segmentation.protocols: "),
        ({"own_protocols": {"sar": {"mass": 0.5}}}, "own_protocols: 'sar' is a protocol of the"),
        ({"own_protocols": {"a": {"mass": 60}}}, "own_protocols.a.mass: 60 should be less"),
        ({"own_protocols": {"a": {}}}, "own_protocols.a.mass: missing"),
        ({"lambdas": "best"}, "segmentation.lambdas: "),
        ({"masks": "voc12"}, "segmentation.masks: unknown key"),
    ],
)
def test_bad_settings_are_one_line(
    tiny_config: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(GtaError) as error:
        Study({**tiny_config, "segmentation": settings})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_of_masks_change_no_digest(tiny_study: Study) -> None:
    masks = {"dataset": "voc12", "protocols": ["ipvit"], "lambdas": "chosen"}
    study = Study({**tiny_study.content, "segmentation": masks})
    assert [study.digest(run) for run in study.runs] == [
        tiny_study.digest(run) for run in tiny_study.runs
    ]
