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


@pytest.fixture
def make_study(tiny_config: dict[str, Any], workdir: Path) -> Callable[..., Study]:
    """A study of every method at 16 pixels, all its inputs prepared; changes are laid over it."""
    small = {
        "datasets": ["mini_near"],
        "seeds": [0, 1],
        "methods": {"gta": {"grid": [0, 1, HARDEST]}, "l2_sp": {"grid": [0.01]}},
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
        study = Study(merge(merge(tiny_config, small), changes))
        if not study.store_root.exists():
            prepare_inputs(study)
        return study

    return make
