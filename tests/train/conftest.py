"""A small study for tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gta.study import Study
from gta.study.load import merge
from tests.support.samples import prepare_inputs
from tests.train.runs import HARDEST

OF_TABLES = {"table2": ("attention_only", "ffn_only"), "table3": ("block_guide", "msa_guide")}


@pytest.fixture
def make_study(tiny_config: dict[str, Any], workdir: Path) -> Callable[..., Study]:
    """A study of every method at 16 pixels, all its inputs prepared; changes are laid over it."""
    small = {
        "datasets": ["mini_near"],
        "seeds": [0, 1],
        "methods": {"gta": {"grid": [0, 1, HARDEST]}, "l2_sp": {"grid": [0.01]}},  # and OF_TABLES
        "extra_methods": ["linear_probe"],
        "recipe": {
            "image_size": 16,
            "batch_size": 6,
            "augment": {"crop": "none", "shift": 2, "flip": 0.5},
        },
        "tables": ["table2", "table3", "table5", "table6"],
        "keep_weights": "all",
    }

    def make(**changes: Any) -> Study:
        content = merge(merge(tiny_config, small), changes)
        wanted = [name for table in content["tables"] for name in OF_TABLES.get(table, ())]
        content["methods"] = dict.fromkeys(wanted) | content["methods"]  # a mapping selects
        study = Study(content)
        if not study.store_root.exists():
            prepare_inputs(study)
        return study

    return make
