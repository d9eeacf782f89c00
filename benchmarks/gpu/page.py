"""docs/gpu.md from docs/gpu.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import markdown_row, shown

Row = Mapping[str, Any]
STEP_GOAL, PEAK_GOAL, WAIT_GOAL, LOOP_GOAL = 1.25, 0.5, 0.02, 1.2

HEAD = """# On a GPU

Written by `make gpu-check` from [gpu.json](gpu.json); no number here is typed by hand. The command
runs the tests that need a GPU, then measures training jobs as the workflow starts them: the
paper's recipe without its mixing, {architecture} at {side} pixels, {batch} images a step, on
{kind}. Images a second count each run of a pack. In *resident* jobs each step takes the same batch,
which stays on the card: the speed of the steps alone. The others read the store, crop and resize on
{cores}, and run RandAugment on the card or on the cores. The share of the peak is that of the
operations which the models need (as `gta plan` counts them) over what a product of
{product} x {product} bfloat16 matrices reaches on this card.
"""


def page(found: Mapping[str, Any]) -> str:
    """The page, for what ``benchmarks.gpu.run`` found."""
    machine, data = found["machine"], found["data"]
    peak = found["peaks"]["bfloat16_product_tflops"]
    cores = machine["CPU"].split(", ")[1]
    lines = [HEAD.format(**data, cores=cores)]
    lines += _goals(found, peak)
    lines += _tests(found.get("tests"))
    lines += ["## Training jobs", ""]
    lines += _table(JOB_HEADINGS, [_job(row, peak) for row in found.get("jobs", [])])
    lines += ["", "## Other projects' loops", ""]
    lines += [_paragraph(LOOPS), ""]
    lines += _table(("loop", "precision", "batches from", "images/s"), map(_loop, _loops(found)))
    lines += ["", "## Jobs side by side on one card", ""]
    lines += [SIDE.strip(), ""]
    lines += _table(("jobs", "precision", "images/s, all together"), map(_side, _rows(found)))
    lines += ["", "## Testing and masks", ""]
    lines += _table(("what", "images/s"), _others(found))
    lines += ["", "## Machine", "", markdown_row(("", "")), markdown_row(("---", "---"))]
    lines += [markdown_row(item) for item in machine.items()]
    copy = found["peaks"]["copy_tb_per_second"]
    lines += [markdown_row(("bfloat16 product", f"{shown(peak)} TFLOP/s"))]
    lines += [markdown_row(("copy on the card", f"{shown(copy)} TB/s, read and written"))]
    return "\n".join(lines) + "\n"


JOB_HEADINGS = (
    "runs of the job",
    "precision",
    "images from",
    "images/s",
    "s an iteration",
    "share of the peak",
    "waited for images",
    "memory, GiB",
)
SIDE = """
Fine-tuning of ViT-S/14 at 112 pixels with 32 images a step, as in config/flowers.yaml: such a step
launches its kernels more slowly than the card computes them. Each job is a process of its own, with
an equal share of the cores; `GTA_RUNS_PER_DEVICE` sets how many share a card.
"""
LOOPS = """
The same model and batch size, mixed precision (float16 with loss scaling). `deit` is
`train_one_epoch` of its engine.py, `timm` the steps of timm's train.py. From memory, a batch costs
them nothing but its copy to the card (timm's is there already); JPEGs go through timm's transforms
in as many worker processes as there are cores.
"""


def _goals(found: Mapping[str, Any], peak: float) -> list[str]:
    """What was to be reached, and whether it was."""

    def speed(**wanted: Any) -> float | None:
        default = {"runs": 1, "precision": "bfloat16", "compiled": False, "resident": True}
        for row in found.get("jobs", []):
            if "images_per_second" in row and (default | wanted).items() <= row.items():
                return float(row["images_per_second"])
        return None

    def loop(name: str, feed: str) -> float | None:
        for row in _loops(found):
            if (row["loop"], row["feed"]) == (name, feed) and "images_per_second" in row:
                return float(row["images_per_second"])
        return None

    packed = [row for row in found.get("jobs", []) if "tflops" in row and row["resident"]]
    packed = [row for row in packed if row["method"] == "gta" and row["runs"] > 1]
    waits = [row for row in found.get("jobs", []) if row.get("waited") is not None]
    waits = [row for row in waits if row["randaugment"] == "device" and row["runs"] == 1]
    rows = [
        ("GTA step / fine-tuning step, bfloat16, resident",
         _ratio(speed(method="finetune"), speed(method="gta")), STEP_GOAL, "at most"),
        ("packed GTA runs: best share of the peak",
         max((row["tflops"] / peak for row in packed), default=None), PEAK_GOAL, "at least"),
        ("lone run, RandAugment on the card: largest share of time that waits for images",
         max((row["waited"] for row in waits), default=None), WAIT_GOAL, "at most"),
        ("fine-tuning / DeiT's loop, both fed from memory, float16",
         _ratio(speed(method="finetune", precision="float16"), loop("deit", "memory")),
         LOOP_GOAL, "at least"),
        ("fine-tuning / DeiT's loop, from the store / from JPEGs, float16",
         _ratio(speed(method="finetune", precision="float16", resident=False),
                loop("deit", "jpegs")), LOOP_GOAL, "at least"),
    ]  # fmt: skip
    lines = ["## Goals", ""]
    return lines + _table(("what", "measured", "goal", "reached"), map(_goal, rows)) + [""]


def _ratio(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first / second


def _goal(row: tuple[str, float | None, float, str]) -> Sequence[str]:
    what, value, goal, way = row
    if value is None:
        return what, "not measured", f"{way} {goal:g}", ""
    reached = value <= goal if way == "at most" else value >= goal
    return what, shown(value), f"{way} {goal:g}", "yes" if reached else "no"


def _tests(tests: Mapping[str, Any] | None) -> list[str]:
    lines = ["## Tests", ""]
    if tests is None:
        return [*lines, "Not run: there was no GPU.", ""]
    counts = ", ".join(f"{tests[word]} {word}" for word in ("passed", "failed", "skipped"))
    lines.append(f"`pytest -m gpu`: {counts}, in {tests['seconds']:.0f} s.")
    if tests["failures"]:
        lines += ["", *(f"- {failure}" for failure in tests["failures"])]
    return [*lines, ""]


def _job(row: Row, peak: float) -> Sequence[str]:
    names = {"finetune": "fine-tuning", "gta": "GTA", "all": "every method, as in the paper"}
    runs = row["runs"]
    what = names[row["method"]] if runs == 1 else f"{runs} x {names[row['method']]}"
    what += ", compiled" if row["compiled"] else ""
    places = {"device": "the card", "host": "the cores", "none": "none"}
    source = "resident" if row["resident"] else f"store, RandAugment: {places[row['randaugment']]}"
    head = (what, row["precision"], source)
    if "images_per_second" not in row:
        return (*head, _why(row), "", "", "", "")
    waited, memory = row["waited"], row["memory_gib"]
    return (
        *head,
        f"{row['images_per_second']:,.0f}",
        shown(row["seconds_an_iteration"]),
        f"{row['tflops'] / peak:.0%}",
        "" if waited is None else f"{waited:.1%}",
        "" if memory is None else shown(memory),
    )


def _loops(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = found.get("loops", [])
    return rows


def _loop(row: Row) -> Sequence[str]:
    speed = f"{row['images_per_second']:,.0f}" if "images_per_second" in row else _why(row)
    return row["loop"], row["precision"], row["feed"], speed


def _rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = found.get("side_by_side", [])
    return rows


def _side(row: Row) -> Sequence[str]:
    speed = f"{row['images_per_second']:,.0f}" if "images_per_second" in row else _why(row)
    return str(row["processes"]), row["precision"], speed


def _others(found: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for kind, what in (("testing", "test of {runs} trained model(s), each batch made once"),
                       ("segmentation", "masks from attention, two protocols")):  # fmt: skip
        for row in found.get(kind, []):
            speed = row.get("images_per_second")
            said = _why(row) if speed is None else f"{speed:,.0f}"
            yield what.format(**row), said


def _why(row: Row) -> str:
    return f"not measured: {row.get('skipped') or row.get('failed')}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [markdown_row(headings), markdown_row(["---"] * len(headings)), *map(markdown_row, rows)]


def _paragraph(text: str) -> str:
    return text.strip()


if __name__ == "__main__":  # python -m benchmarks.gpu.page docs/gpu.json > docs/gpu.md
    print(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
