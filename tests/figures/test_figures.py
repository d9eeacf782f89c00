"""Figures: what is drawn is what was given; what is gathered is what the models say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from gta import figures
from gta.attention import jaccard, view_of
from gta.attention.maps import cls_maps, overlay, upsample
from gta.data import store as stores
from gta.data.batches.augment import Evaluator
from gta.errors import GtaError
from gta.figures.files import figure_kind
from gta.figures.gather import map_rows, mask_note, mask_rows, models_of
from gta.figures.images import positions_of
from gta.figures.lambda_curves import draw_over_lambda
from gta.figures.panels import Row, Shown, draw_maps, draw_masks, draw_nothing
from gta.figures.style import MARKERS, colours, save
from gta.methods.readings import TapRequest
from gta.models.sources import load_source
from gta.models.taps import read_source
from gta.models.vit import create
from gta.study import Run, Study
from gta.tables import Collected
from gta.train.record import save_weights
from tests.support.frames import metrics_frame
from tests.support.samples import voc_like_store

RATES, LAMBDAS = (15.0, 100.0), (0.1, 1.0, 10.0)


def points(**changes: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy peaks at lambda 1 in A and at 10 in B; fine-tuning is 5 below the middle."""
    rows, baseline = [], []
    for data_set, peak in (("A", 0.0), ("B", 1.0)):
        for rate in RATES:
            for lam in LAMBDAS:
                mean = 40 + rate / 4 - (np.log10(lam) - peak) ** 2
                rows.append((data_set, rate, lam, mean, 0.5 + lam / 20))
            baseline.append((data_set, rate, 35 + rate / 4))
    frame = pd.DataFrame(rows, columns=["dataset", "rate", "lam", "acc1_mean", "acc1_std"])
    return frame, pd.DataFrame(baseline, columns=["dataset", "rate", "acc1_mean"])


def lines(panel: Axes, kind: str) -> list[Any]:
    """Lines of a panel: ``curve``, ``ring`` or ``dashed``."""
    kinds = {"curve": "-", "ring": "None", "dashed": "--"}
    return [line for line in panel.lines if line.get_linestyle() == kinds[kind]]


def test_figure_4_draws_what_it_is_given() -> None:
    frame, baseline = points()
    figure = draw_over_lambda(frame, baseline, "GTA", "sum")
    assert [panel.get_title() for panel in figure.axes] == ["A", "B"]
    assert figure.get_supxlabel() == "λ (sum)"
    assert figure.get_supylabel() == "Top-1 accuracy (%)"
    for panel, best in zip(figure.axes, (1.0, 10.0), strict=True):
        own = frame[frame["dataset"] == panel.get_title()]
        assert panel.get_xscale() == "log"
        assert [label.get_text() for label in panel.get_xticklabels()] == ["0.1", "1", "10"]
        assert len(lines(panel, "curve")) == len(lines(panel, "ring")) == 2
        for position, rate in enumerate(RATES):
            wanted = own[own["rate"] == rate]
            curve, ring = lines(panel, "curve")[position], lines(panel, "ring")[position]
            assert curve.get_xydata().tolist() == wanted[["lam", "acc1_mean"]].to_numpy().tolist()
            top = wanted["acc1_mean"].max()
            assert ring.get_xydata().tolist() == [[best, top]]
            assert ring.get_markerfacecolor() == "none"
            dashed = lines(panel, "dashed")[position]
            assert dashed.get_ydata() == [35 + rate / 4] * 2
            assert dashed.get_color() == curve.get_color()
            band = panel.collections[position].get_datalim(panel.transData)
            assert band.y0 == pytest.approx((wanted["acc1_mean"] - wanted["acc1_std"]).min())
            assert band.y1 == pytest.approx((wanted["acc1_mean"] + wanted["acc1_std"]).max())
        assert [line.get_marker() for line in lines(panel, "curve")] == list(MARKERS[:2])


def test_figure_4s_legend_names_rates_ring_and_baseline() -> None:
    frame, baseline = points()
    (legend,) = draw_over_lambda(frame, baseline, "GTA").legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["GTA, 15 %", "GTA, 100 %", "best λ", "fine-tuning"]
    (without,) = draw_over_lambda(frame, baseline.iloc[:0], "GTA").legends
    assert len(without.get_texts()) == 3


def test_figure_4_leaves_gaps_and_names_them() -> None:
    frame, baseline = points()
    gap = (frame["dataset"] == "A") & (frame["rate"] == 15) & (frame["lam"] == 1)
    frame.loc[gap, ["acc1_mean", "acc1_std"]] = np.nan
    first, second = draw_over_lambda(frame, baseline, "GTA").axes
    assert first.get_xlabel() == "missing: λ 1 at 15 %"
    assert second.get_xlabel() == ""
    assert np.isnan(lines(first, "curve")[0].get_ydata()).tolist() == [False, True, False]
    assert len(lines(first, "ring")) == 1  # nobody can say which is best at 15 %
    frame.loc[frame["dataset"] == "A", ["acc1_mean", "acc1_std"]] = np.nan
    first = draw_over_lambda(frame, baseline, "GTA").axes[0]
    assert first.get_xlabel() == "missing: λ 0.1 at 15 %, λ 1 at 15 % and 4 more"


def test_figure_4_with_lambda_0_and_many_panels() -> None:
    frame, baseline = points()
    frame = pd.concat([frame.assign(dataset=frame["dataset"] + end) for end in "123"])
    frame["lam"] = frame["lam"].replace({0.1: 0.0})
    figure = draw_over_lambda(frame, baseline, "GTA", "sum")
    assert [panel.get_title() for panel in figure.axes] == ["A1", "B1", "A2", "B2", "A3", "B3"]
    assert figure.axes[0].get_xscale() == "symlog"
    rows = {panel.get_subplotspec().rowspan.start for panel in figure.axes}  # type: ignore[union-attr]
    assert rows == {0, 1}


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_colours_differ_in_lightness_and_show_on_white(count: int) -> None:
    light = [np.dot((0.299, 0.587, 0.114), to_rgb(colour)) for colour in colours(count)]
    assert light == sorted(light)
    assert max(light) < 0.8
    assert count == 1 or min(np.diff(light)) > 0.04


# Figures 1 and 3


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)


def square() -> NDArray[np.bool_]:
    mask = np.zeros((12, 12), bool)
    mask[3:9, 3:9] = True
    return mask


def drawn(panel: Axes) -> NDArray[Any]:
    (image,) = panel.images
    array = image.get_array()
    assert array is not None
    return np.asarray(array)


def test_figure_1_is_a_grid_of_images_and_models() -> None:
    attention = np.zeros((12, 12), np.float32)
    attention[2, 5] = 0.5
    rows = [
        Row(picture(0), [Shown(attention), Shown(attention, "λ 1")], "Near"),
        Row(picture(1), [Shown(attention), Shown(None)], "Far"),
    ]
    figure = draw_maps(rows, ["Pre-trained", "GTA\n15 %"])
    grid = np.array(figure.axes).reshape(2, 3)
    assert [panel.get_title() for panel in grid[0]] == ["Image", "Pre-trained", "GTA\n15 %"]
    assert [panel.get_ylabel() for panel in grid[:, 0]] == ["Near", "Far"]
    assert (drawn(grid[0, 0]) == rows[0].image).all()
    laid = drawn(grid[0, 1]).astype(int)
    redness = laid[..., 0] - laid[..., 1]
    assert np.unravel_index(redness.argmax(), (12, 12)) == (2, 5)
    assert (redness > 0).sum() == 1  # all else is grey
    assert grid[0, 2].get_xlabel() == "λ 1"
    assert [text.get_text() for text in grid[1, 2].texts] == ["missing"]
    assert len(np.unique(drawn(grid[1, 2]))) == 1


def test_figure_3_dims_what_is_outside_and_outlines_the_object() -> None:
    kept = np.zeros((12, 12), bool)
    kept[:6] = True
    row = Row(picture(0), [Shown(kept, "IoU 0.29")], "Near", square())
    figure = draw_masks([row], ["GTA"])
    image, masked = figure.axes
    assert masked.get_xlabel() == "IoU 0.29"
    assert (drawn(masked)[kept] == row.image[kept]).all()
    assert (drawn(masked)[~kept] <= row.image[~kept] * 0.5).all()
    for panel in (image, masked):
        paths = [path for outline in panel.collections for path in outline.get_paths()]
        corners = np.concatenate([np.asarray(path.vertices) for path in paths])
        assert corners.min() == pytest.approx(2.5)  # half a pixel around 3..8
        assert corners.max() == pytest.approx(8.5)


def test_an_empty_figure_says_why() -> None:
    assert [text.get_text() for text in draw_nothing("No masks.").texts] == ["No masks."]


def test_both_files_are_written_and_equal_figures_give_equal_files(workdir: Path) -> None:
    def draw() -> Figure:
        return draw_over_lambda(*points(), "GTA")

    first = save(draw(), Path("a/figure4"))
    second = save(draw(), Path("b/figure4"))
    assert [path.name for path in first] == ["figure4.pdf", "figure4.png", "figure4.svg"]
    assert first[0].read_bytes().startswith(b"%PDF")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    with Image.open(first[1]) as image:
        pixels = np.asarray(image.convert("L"))
    # nothing is cut off: the border is white
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.shape[1] > 1000


@pytest.mark.parametrize("title", ["US $5 to $10", "a $x_{$ b", r"\$ 5", "[old] <b> & 100 %"])
def test_titles_are_drawn_as_they_are(title: str, workdir: Path) -> None:
    frame, baseline = points()
    frame, baseline = (part.replace({"dataset": {"A": title}}) for part in (frame, baseline))
    for figure in (
        draw_over_lambda(frame, baseline, title),
        draw_maps([Row(picture(0), [Shown(None)], title, name=title)], [title]),
    ):
        _, _, svg = save(figure, Path("figure"))
        text = "".join(ElementTree.parse(svg).getroot().itertext())
        assert title in text


SAVE = """
import resource, signal, sys
from pathlib import Path
from matplotlib.figure import Figure
from gta.errors import GtaError
from gta.figures.style import save

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails, as on a full disk
figure = Figure()
figure.subplots().plot([1, 2])
if sys.argv[1] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    save(figure, Path("figures/figure4"))
except GtaError as error:
    sys.exit(f"error: {error}")
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(workdir: Path) -> None:
    def run(disk: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SAVE, disk]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("full")
    line = "error: figures/figure4.pdf: cannot be written: File too large\n"
    assert (done.returncode, done.stderr) == (1, line)
    assert list(Path("figures").iterdir()) == []
    # what a killed writer left goes with the next figure
    Path("figures/.figure4.ab_cd123.pdf").write_bytes(b"half")
    Path("figures/.figure40.abcd1234.pdf").write_bytes(b"another's")
    assert run("roomy").returncode == 0
    assert sorted(path.name for path in Path("figures").iterdir()) == [
        ".figure40.abcd1234.pdf",
        *(f"figure4.{ending}" for ending in ("pdf", "png", "svg")),
    ]


def test_rows_are_as_high_as_their_images_and_bear_their_names() -> None:
    high, wide = np.zeros((24, 12, 3), np.uint8), np.zeros((12, 24, 3), np.uint8)
    rows = [
        Row(image, [Shown(np.zeros(image.shape[:2], bool))], "Near", name=name)
        for image, name in ((high, "2007_000033"), (wide, "001.Albatross/Albatross_0046_18.jpg"))
    ]
    figure = draw_masks(rows, ["GTA"], "Images of VOC 2012")
    grid = np.array(figure.axes).reshape(2, 2)
    assert grid[0, 0].get_gridspec().get_height_ratios() == [2, 0.5]
    names = [panel.get_xlabel() for panel in grid[:, 0]]
    assert names == ["2007_000033", "…oss/Albatross_0046_18.jpg"]
    assert figure.get_supxlabel() == "Images of VOC 2012"


# From a study's files


def small_vit(seed: int, classes: int) -> Any:
    torch.manual_seed(seed)
    return create("vit_mini_patch8", 48, classes).eval()


def accuracy(run: Run) -> float:
    return 50 + run.seed - abs(run.lam - 0.1) + run.rate / 10


@pytest.fixture
def drawable(tiny_config: dict[str, Any], workdir: Path) -> Study:
    """Stores of two datasets, one with masks, and the weights that figures 1 and 3 need."""
    figures = ["figure1", "figureB1", "figure3", "figure4"]
    names = {"figures": figures, "figure_settings": {"images": 3}}
    study = Study(tiny_config | names)
    rng = np.random.default_rng(0)
    for dataset in study.config.datasets:
        items = []
        for position in range(8):
            mask = np.zeros((48, 48), bool)
            mask[8:30, 10:40] = True
            pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
            with_mask = mask if dataset == "mini_near" else None
            split = "test" if position > 1 else "train"
            items.append(stores.Item(f"{position}", position % 2, split, pixels, with_mask))
        stores.write(study.store(dataset), dataset, ["a", "b"], items)
    source = study.weights("tiny_ibot")
    source.parent.mkdir(parents=True)
    save_file(small_vit(0, 0).state_dict(), source)
    for number, run in enumerate(sorted(study.runs_of("figure1")), start=1):
        if run.seed == 0 and run.lam in (0, 0.1):
            model, digest = small_vit(number, 2), study.digest(run)
            save_weights(study.run_files(run).weights, model, run, digest)
    return study


TITLES = ["Pre-trained", *(f"{m}\n{r} %" for m in ("Fine-tuning", "GTA") for r in (15, 100))]


def test_models_stand_at_the_lambda_that_accuracy_chose(drawable: Study) -> None:
    metrics = metrics_frame(drawable, accuracy, accuracy)
    models = models_of(drawable, "figure1", metrics, "mini_near")
    assert [model.title for model in models] == TITLES
    assert [model.label for model in models] == ["", "", "", "λ 0.1 sum", "λ 0.1 sum"]
    own = Run("mini_near", 100.0, "tiny_ibot", "gta", "none", 0.1, 0)
    assert models[-1].weights == drawable.run_files(own).weights
    lost = Run("mini_near", 15.0, "tiny_ibot", "gta", "none", 1.0, 1)
    metrics = metrics_frame(drawable, accuracy, accuracy, {lost})
    models = models_of(drawable, "figure1", metrics, "mini_near")
    assert [model.weights is None for model in models] == [False, False, False, True, False]


def test_images_are_shared_out_over_data_sets(drawable: Study) -> None:
    opened = {name: stores.Store(drawable.store(name)) for name in drawable.config.datasets}
    chosen = positions_of(drawable, "figure1", opened)
    assert {name: len(positions) for name, positions in chosen.items()} == {
        "mini_near": 2,
        "mini_far": 1,
    }
    assert all((opened[name].splits[p] == "test").all() for name, p in chosen.items())
    again = positions_of(drawable, "figure1", opened)
    assert all((chosen[name] == again[name]).all() for name in chosen)


def with_pictures(study: Study, **settings: Any) -> Study:
    return Study({**study.content, "figure_settings": settings})


def test_images_are_chosen_by_name_for_all_figures_or_for_one(drawable: Study) -> None:
    opened = {name: stores.Store(drawable.store(name)) for name in drawable.config.datasets}
    chosen = {"mini_near": ["7", "3"]}
    study = with_pictures(drawable, images=3, chosen=chosen, each={"figure3": {"chosen": None}})
    drawn = positions_of(drawable, "figure1", opened)
    found = positions_of(study, "figure1", opened)
    assert found["mini_near"].tolist() == [7, 3]
    assert found["mini_far"].tolist() == drawn["mini_far"].tolist()
    others = positions_of(study, "figure3", opened)
    assert {name: list(images) for name, images in others.items()} == {
        name: list(images) for name, images in drawn.items()
    }


def test_a_figure_may_have_a_number_and_a_seed_of_its_own(drawable: Study) -> None:
    opened = {name: stores.Store(drawable.store(name)) for name in drawable.config.datasets}
    study = with_pictures(drawable, images=2, seed=3, each={"figureB1": {"images": 8}})
    assert [len(images) for images in positions_of(study, "figureB1", opened).values()] == [4, 4]
    alone = with_pictures(drawable, images=8, seed=3)
    for dataset, images in positions_of(study, "figureB1", opened).items():
        assert images.tolist() == positions_of(alone, "figure1", opened)[dataset].tolist()
    other = positions_of(with_pictures(drawable, images=8, seed=4), "figure1", opened)
    assert other["mini_near"].tolist() != images.tolist()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0", "it has no test image named '0'; its names are like a/1, b/1, b/2"),  # trains
        ("1", "it has 2 test images named '1'"),
        ("a", "no test image named 'a'"),
    ],
)
def test_a_chosen_image_that_is_not_there(drawable: Study, name: str, said: str) -> None:
    pixels = np.zeros((48, 48, 3), np.uint8)
    names = [("0", "train"), ("a/1", "test"), ("b/1", "test"), ("b/2", "test")]
    items = [stores.Item(named, 0, split, pixels) for named, split in names]
    store = stores.write(drawable.store("mini_near"), "mini_near", ["a"], items)
    study = with_pictures(drawable, chosen={"mini_near": ["2"]})
    assert positions_of(study, "figure1", {"mini_near": store})["mini_near"].tolist() == [3]
    study = with_pictures(drawable, chosen={"mini_near": [name]})
    with pytest.raises(GtaError, match="figure_settings: chosen: mini_near: ") as error:
        positions_of(study, "figure1", {"mini_near": store})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"chosen": {"flowers": ["1"]}}, "there is no dataset 'flowers'"),
        ({"each": {"figure9": {"images": 1}}}, "there is no figure 'figure9'"),
        ({"each": {"figure1": {"each": {}}}}, "each.figure1.each: unknown key"),
        ({"chosen": {"mini_near": []}}, "chosen.mini_near: "),
    ],
)
def test_bad_settings_of_figures_are_one_line(
    drawable: Study, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(GtaError) as error:
        with_pictures(drawable, **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def on_voc(drawable: Study) -> Study:
    """The same models, figure 3 on images with masks of classes."""
    small = {"small": {"mass": 0.7, "size": 64, "ignore_void": True}}
    settings = {"dataset": "voc12", "own_protocols": small, "protocols": ["small", "sar"]}
    study = Study({**drawable.content, "segmentation": settings})
    voc_like_store(study.store("voc12"), [(60, 80), (80, 60), (64, 64), (50, 90), (70, 70)])
    return study


def test_masks_on_another_data_set(on_voc: Study) -> None:
    titles, rows = mask_rows(on_voc, "figure3", metrics_frame(on_voc, accuracy, accuracy))
    assert titles == TITLES
    assert [row.title for row in rows] == ["Mini near", "Mini near", "Mini far"]
    store = stores.Store(on_voc.store("voc12"))
    positions = [store.names.index(row.name) for row in rows]
    assert len(set(positions)) == 3  # each row another image
    (protocol, _) = on_voc.config.segmentation.measured
    run = Run("mini_far", 15.0, "tiny_ibot", "finetune", "none", 0.0, 0)
    vit = load_source(on_voc.run_files(run).weights, "vit_mini_patch8", 64)
    recipe = on_voc.config.recipe
    view = view_of(store, np.array(positions[2:]), recipe, 64, (8, 8))
    ((images, objects),) = view.batches(recipe, 1, torch.device("cpu"))
    heads = read_source(vit, images, TapRequest(cls_logits=(-1,))).cls_logits
    assert heads is not None
    index = jaccard(heads[0], objects.joined, protocol).item()
    assert rows[2].shown[1].label == f"IoU {index:.2f}"
    for position, row in zip(positions, rows, strict=True):
        assert (row.image == store.image(position)).all()
        assert row.mask is not None
        assert (row.mask == store.mask(position)).all()
        for shown in row.shown:
            assert shown.values is not None
            assert shown.values.shape == row.mask.shape
    note = mask_note(on_voc)
    for said in ("70 %", "64 x 64", "VOC 2012", "void pixels left out"):
        assert said in note


def test_chosen_images_of_another_data_set_are_dealt_to_the_models(on_voc: Study) -> None:
    metrics = metrics_frame(on_voc, accuracy, accuracy)
    for names, dealt in (
        (["2007_000004"], ["2007_000004"] * 2),
        (["2007_000002", "2007_000000"], ["2007_000002", "2007_000000"]),
    ):
        study = with_pictures(on_voc, chosen={"voc12": names})
        _, rows = mask_rows(study, "figure3", metrics)
        assert [row.name for row in rows] == dealt
        assert [row.title for row in rows] == ["Mini near", "Mini far"]


def test_maps_are_those_of_the_weights(drawable: Study) -> None:
    metrics = metrics_frame(drawable, accuracy, accuracy)
    titles, rows = map_rows(drawable, "figure1", metrics)
    assert titles == TITLES
    assert [row.title for row in rows] == ["Mini near", "Mini near", "Mini far"]
    run = Run("mini_far", 15.0, "tiny_ibot", "finetune", "none", 0.0, 0)
    recipe = drawable.recipe(run)
    vit = load_source(drawable.run_files(run).weights, recipe.architecture, recipe.image_size)
    expected = upsample(cls_maps(vit, Evaluator(recipe)([rows[2].image])), 48, 48)[0]
    values = rows[2].shown[1].values
    assert values is not None
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert (overlay(rows[2].image, expected) != rows[2].image).any()


def test_masks_come_with_their_index(drawable: Study) -> None:
    metrics = metrics_frame(drawable, accuracy, accuracy)
    _, rows = mask_rows(drawable, "figure3", metrics)
    assert [row.title for row in rows] == ["Mini near"] * 3  # the other has no masks
    assert "60 %" in mask_note(drawable)
    for row in rows:
        assert row.mask is not None
        for shown in row.shown:
            assert shown.values is not None
            kept = shown.values.astype(bool)
            iou = (kept & row.mask).sum() / (kept | row.mask).sum()
            assert shown.label.startswith(f"IoU {iou:.2f}")
        assert row.shown[-1].label.endswith(", λ 0.1 sum")


def test_weights_that_are_not_there_leave_a_panel_that_says_so(drawable: Study) -> None:
    run = Run("mini_far", 15.0, "tiny_ibot", "gta", "none", 0.1, 0)
    drawable.run_files(run).weights.unlink()
    _, rows = map_rows(drawable, "figure1", metrics_frame(drawable, accuracy, accuracy))
    missing = [[shown.values is None for shown in row.shown] for row in rows]
    assert missing == [[False] * 5, [False] * 5, [False, False, False, True, False]]


@pytest.mark.parametrize("name", ["figure1", "figure3", "figure4"])
def test_figures_are_made_and_written(drawable: Study, name: str) -> None:
    collected = Collected(drawable, metrics=metrics_frame(drawable, accuracy, accuracy))
    written = figures.write(drawable, name, figures.draw(drawable, name, collected))
    endings = ("pdf", "png", "svg", "csv")
    assert written == [drawable.folder / "figures" / f"{name}.{end}" for end in endings]
    assert all(path.stat().st_size > 1000 for path in written[:3])
    numbers = pd.read_csv(written[-1])
    if name == "figure4":
        assert {"dataset", "rate", "lam", "acc1_mean", "acc1_std"} <= set(numbers)
    else:
        assert numbers["model"].unique().tolist() == [title.replace("\n", " ") for title in TITLES]
        assert numbers["dataset"].iloc[0] == "Mini near"


def test_a_study_without_masks_has_a_figure_3_that_says_so(drawable: Study) -> None:
    folder = drawable.store("mini_near")
    for path in folder.iterdir():
        path.unlink()
    pixels = np.zeros((48, 48, 3), np.uint8)
    stores.write(folder, "mini_near", ["a"], [stores.Item("0", 0, "test", pixels)])
    figure = figures.make(drawable, "figure3", metrics_frame(drawable, accuracy, accuracy))
    assert [text.get_text() for text in figure.texts] == ["No dataset here has object masks."]


def test_figure_4_is_gathered_in_the_order_of_the_config(drawable: Study) -> None:
    metrics = metrics_frame(drawable, accuracy, accuracy)
    kind = figure_kind(drawable, "figure4")
    content = kind.content(drawable, "figure4", Collected(drawable, metrics=metrics))
    frame, baseline, title, lam_of = content
    assert lam_of == "sum"
    assert title == "GTA"
    assert frame["dataset"].drop_duplicates().tolist() == ["Mini near", "Mini far"]
    assert frame["lam"].tolist() == [0.01, 0.1, 1] * 4
    expected = [50.5 - abs(lam - 0.1) + rate / 10 for rate in (15, 100) for lam in (0.01, 0.1, 1)]
    assert frame["acc1_mean"].tolist() == pytest.approx(expected * 2)
    assert baseline["rate"].tolist() == [15, 100] * 2
    assert baseline["acc1_mean"].tolist() == pytest.approx([51.9, 60.4] * 2)
    numbers = kind.numbers(drawable, "figure4", content)
    assert numbers["method"].tolist() == ["gta"] * 12 + ["finetune"] * 4


@pytest.mark.parametrize(
    "change", [{"cells": [{"source": ["main"], "method": ["gta", "bss"]}]}, {"extra": True}]
)
def test_figure_4_of_several_methods_is_refused(
    tiny_config: dict[str, Any], change: dict[str, Any]
) -> None:
    cells = [{"source": ["main"], "method": ["gta"]}]
    own = {"kind": "lambda", "title": "T", "caption": "C", "cells": cells, **change}
    line = r"own_figures\.curve: kind lambda draws one source, method and mix; declare a figure"
    with pytest.raises(GtaError, match=line):
        Study(tiny_config | {"own_figures": {"curve": own}})
