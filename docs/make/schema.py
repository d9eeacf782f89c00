"""Writes docs/schema.md: the files that a run leaves, and their columns, from the declarations."""

from __future__ import annotations

from pathlib import Path

from docs.make import stamp
from docs.make.page import DOCS, markdown_row
from gta.results.columns import Column
from gta.results.parts import KINDS, columns_of
from gta.study import RUN_FIELDS

PAGE, COMMAND = DOCS / "schema.md", "python -m docs.make schema"
SOURCES = [Path(__file__)]
VERSIONS: dict[str, int] = {}  # it is made of no results

HEAD = """\
# Results schema

Everything lies below `results/<study>/` as Parquet, and is read without this package:

```python
import pandas as pd

metrics = pd.read_parquet("results/mini/metrics.parquet")  # a row a run
```

| file | holds |
|---|---|
| `metrics.parquet` | all runs, a row each: identity, then the columns of `metrics` |
| `metrics/<run>/part.parquet` | one run's row; the run is in the path alone |
| `history/<run>/part.parquet` | a row an iteration |
| `predictions/<run>/part.parquet` | a row an image of the test and held-out splits |
| `models/<run>/model.safetensors` | trained weights, where `keep_weights` keeps them |
| `config.yaml` | the config that the study was run with |
| `tables/`, `figures/`, `index.html` | what is made of them |

`<run>` is the identity as a path:
"""
IDENTITY = {
    "dataset": "name of the dataset",
    "rate": "percent of the training images of each class",
    "source": "name of the pre-trained source",
    "method": "name of the fine-tuning method",
    "mix": "how training images are mixed; `none` or a name",
    "lam": "λ, weight of the penalty; 0 without one",
    "seed": "of head, order, augmentation and, where the config says so, subset",
    "tuned": "what is tuned beside λ, as `lr=0.001`; empty if nothing. In names behind λ: "
    "`lam=10:lr=0.001`",
}


def text() -> str:
    """The page."""
    lines = [stamp.head(COMMAND, SOURCES, VERSIONS), HEAD.rstrip()]
    lines.append("`" + "/".join(f"{field}=…" for field in RUN_FIELDS) + "`")
    lines += ["", "## Identity", "", *_rows([[f"`{k}`", IDENTITY[k]] for k in IDENTITY])]
    for kind in KINDS:
        lines += ["", f"## {kind.capitalize()}", ""]
        head = ["column", "type", "unit", "what", "empty"]
        rows = [markdown_row(head), markdown_row(["---"] * len(head)), *map(_row, columns_of(kind))]
        lines += rows
    return "\n".join(lines) + "\n"


def _rows(rows: list[list[str]]) -> list[str]:
    return [markdown_row(["field", "what"]), markdown_row(["---", "---"]), *map(markdown_row, rows)]


def _row(column: Column) -> str:
    about = column.about.replace("|", "\\|")
    nullable = "may be" if column.nullable else ""
    return markdown_row([f"`{column.name}`", str(column.type), column.unit, about, nullable])


def write() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")
