"""docs/make/rivals.py on invented results whose claims are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from docs.make import rivals, stamp
from gta import results
from gta.errors import GtaError
from gta.study import Run, Study
from gta.study.load import merge, read_yaml
from gta.study.run import IDENTITY
from gta.tables import compute_intervals, write_intervals

IMAGES = 400
METHODS = ["finetune", "lora", "gta", "gta+lora"]


@pytest.fixture
def study(root: Path, workdir: Path) -> Study:
    content = read_yaml(root / "config" / "rivals.yaml")
    cells = [{"source": ["main"], "method": METHODS}]
    content["methods"] = {name: content["methods"][name] for name in METHODS}
    content["variants"] = {}
    content["overrides"] = []
    for table in content["own_tables"].values():
        table["cells"] = cells
    invented = Study(
        merge(content, {"seeds": [0, 1, 2], "tables_file": str(root / "config" / "tables.yaml")})
    )
    leave(invented)
    return invented


def share(run: Run) -> float:
    """Share of the test images that a run gets right: GTA's combination with LoRA is best."""
    points = {"finetune": 0.60, "lora": 0.62, "gta": 0.75, "gta+lora": 0.90}[run.method]
    tuned = run.tuned in ("", "lr=0.003", "lr=0.001") and run.lam in (0, 0.01)
    return points - (0 if tuned else 0.1)


def leave(study: Study) -> None:
    """What the workflow leaves of the study; images are right at random, the same for a method."""
    rows = []
    for run in study.runs:
        draw = np.random.default_rng([run.seed, *map(ord, run.method), int(run.rate)])
        right = draw.random(IMAGES) < share(run)
        seen = {"split": "test", "label": 0, "confidence": 0.5}
        said = [{**seen, "index": i, "prediction": int(not right[i])} for i in range(IMAGES)]
        results.write(study.run_files(run), "predictions", said)
        identity: dict[str, Any] = {field: getattr(run, field) for field in IDENTITY}
        measured = {"acc1": 100 * right.mean(), "heldout_acc1": 100 * share(run)}
        made = {"attention_mass": 0.5, "recipe_digest": study.digest(run)}
        rows.append(identity | measured | made)
    schema = pa.schema([*results.IDENTITY, *results.METRICS])
    results.write_collected(study, pa.Table.from_pylist(rows, schema=schema))
    write_intervals(study, compute_intervals(study, results.read_collected(study)))
    for folder, ending in (("tables", "md"), ("figures", "png")):
        (study.folder / folder).mkdir(parents=True)
        for name in study.specs:
            (study.folder / folder / f"{name}.{ending}").write_text(f"# {name}\n", "utf-8")


def test_the_page_says_what_beats_what_or_what_is_missing(study: Study) -> None:
    page = Path("rivals.md")
    Path("images").mkdir()
    rivals.write(study, page)
    text = page.read_text(encoding="utf-8")
    assert stamp.stamped(page, rivals.COMMAND) == stamp.digest(rivals.SOURCES)
    assert "over 3 seeds" in text
    assert "<!-- " not in text.partition("\n")[2]
    for rate in ("15", "100"):
        assert f"**At {rate} %** GTA + LoRA has the highest accuracy" in text
    assert "Not clearly below it: none." in text
    assert (
        text.count("2 clearly above (GTA + LoRA, GTA); none clearly below; 1 undecided (LoRA)") == 2
    )
    assert text.count("1 clearly above (GTA + LoRA); 2 clearly below (LoRA, Fine-tuning)") == 2
    (line,) = [line for line in text.splitlines() if line.startswith("| LoRA")]
    assert line.count("**") == 4  # clear at both rates
    assert "lr 0.001" in line  # as good as 0.003 on held-out images
    combined = [line for line in text.splitlines() if line.startswith("| GTA + LoRA")]
    assert any("| LoRA" in line and "**+2" in line for line in combined)
    assert any("| GTA " in line and "**+1" in line for line in combined)

    assert "chosen at some rate: LoRA, GTA + LoRA. A wider" in text

    # a missing interval or run is named
    (study.folder / "intervals.parquet").unlink()
    with pytest.raises(GtaError, match="have no interval; run `gta intervals"):
        rivals.write(study, Path("rivals.md"))
    few = results.read_collected(study)
    few = few[few["method"] != "lora"]
    schema = pa.schema([*results.IDENTITY, *results.METRICS])
    table = pa.Table.from_pandas(few, schema=schema, preserve_index=False)
    results.write_collected(study, table.replace_schema_metadata())
    with pytest.raises(GtaError, match="cells are missing; the first, lora"):
        rivals.write(study, Path("rivals.md"))
