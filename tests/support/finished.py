"""A small study that is done, called ``mini`` as the shipped one is: 16 runs of 4 iterations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gta import files, outputs, results
from gta.results.origins import origins_of
from gta.study import Study

CONFIG: dict[str, Any] = {
    "study": "mini",
    "datasets": ["mini_near"],
    "rates": [15, 100],
    "seeds": [0, 1],
    "sources": {"main": "tiny_ibot"},
    "methods": {"gta": {"grid": [0.1, 1], "reduction": "sum"}},
    "extra_methods": ["linear_probe"],
    "recipe": {
        "architecture": "vit_mini_patch8",
        "image_size": 48,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "batch_size": 16,
        "iterations": 4,
        "lr": 5.0e-4,
        "augment": {"crop": "none", "shift": 4, "flip": 0.5},
    },
    "procedural": {"train_per_class": 10, "heldout_images": 40, "test_images": 60},
    "keep_weights": "all",
    "tables": ["fresh"],
    "figures": ["figure4"],
}


def finish(folder: Path) -> Path:
    """Train the study in a project folder, as Snakemake would; returns the folder."""
    from gta.data.prepare import prepare
    from gta.models.originals import prepare_source
    from gta.train import train_runs

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS", "GTA_STUDY"):
            patch.delenv(name, raising=False)
        config = Path("results/mini/config.yaml")
        files.write_text(config, yaml.safe_dump(CONFIG, sort_keys=False))
        study = Study.load([config])
        prepare(study, "mini_near")
        prepare_source(study, "tiny_ibot")
        train_runs(study, study.runs, "cpu")
        table, _ = results.collect_metrics(study, origins_of(study))
        results.write_collected(study, table)
        outputs.write_intervals(study)
    return folder
