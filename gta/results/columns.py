"""Columns of result files: name, type, unit, meaning and range, each declared once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

INF = math.inf
FLOAT, INT, TEXT = pa.float64(), pa.int64(), pa.string()


@dataclass(frozen=True)
class Column:
    """A column of a result file.

    Attributes:
        name: in files and frames.
        type: Arrow type.
        about: what it holds, in one line.
        unit: of its values; empty without one.
        nullable: whether a value, or the whole column in an older file, may be absent.
        low, high: range of its values, ends included; numbers must be finite as well.
        json: whether the text is a JSON object.
    """

    name: str
    type: pa.DataType
    about: str
    unit: str = ""
    nullable: bool = False
    low: float = -INF
    high: float = INF
    json: bool = False

    def fault(self, value: Any) -> str | None:
        """Fault of a value; None if it is valid."""
        if value is None:
            return None if self.nullable else f"{self.name} is null"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value) or not self.low <= value <= self.high:
                return f"{self.name} is {value:g}, outside [{self.low:g}, {self.high:g}]"
        elif self.json and not _is_json_object(value):
            return f"{self.name} is not a JSON object"
        return None


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of columns, in their order."""
    return pa.schema([(column.name, column.type) for column in columns])


IDENTITY = pa.schema(
    [
        ("dataset", pa.string()),
        ("rate", pa.float64()),
        ("source", pa.string()),
        ("method", pa.string()),
        ("mix", pa.string()),
        ("lam", pa.float64()),
        ("seed", pa.int64()),
        ("tuned", pa.string()),  # beside lam, as ``lr=0.001``; empty if nothing is
    ]
)


def with_tuned(table: pa.Table) -> pa.Table:
    """A table of an older version, which lacks ``tuned``: nothing was tuned beside lambda."""
    if "tuned" in table.column_names:
        return table
    return table.append_column("tuned", pa.array([""] * table.num_rows, pa.string()))


HISTORY_COLUMNS = (
    Column("iteration", INT, "iterations done", low=0),
    Column("lr", FLOAT, "learning rate of the backbone", nullable=True),
    Column("cross_entropy", FLOAT, "of the batch", "nats", nullable=True),
    Column("penalty", FLOAT, "weighted, summed over the method's terms", nullable=True),
    Column("train_acc1", FLOAT, "top-1 accuracy on the batch", "%", nullable=True),
    Column(
        "heldout_acc1",
        FLOAT,
        "top-1 accuracy on held-out images, every `heldout_every` iterations",
        "%",
        nullable=True,
    ),
    Column(
        "heldout_attention_mass",
        FLOAT,
        "share of the last block's [cls] attention on the object, of held-out images with masks",
        nullable=True,
    ),
    Column(
        "skipped",
        pa.bool_(),
        "whether float16's gradients overflowed, so that the weights stayed; null in other types",
        nullable=True,
    ),
)

PREDICTION_COLUMNS = (
    Column("split", pa.dictionary(pa.int8(), pa.string()), "`test` or `heldout`"),
    Column("index", pa.int32(), "position of the image in the store", low=0),
    Column("label", pa.int16(), "index of the image's class", low=0),
    Column("prediction", pa.int16(), "index of the predicted class", low=0),
    Column("confidence", pa.float32(), "softmax of the predicted class"),
)

HISTORY = schema_of(HISTORY_COLUMNS)
PREDICTIONS = schema_of(PREDICTION_COLUMNS)
