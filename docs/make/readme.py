"""Writes the measured table of README.md from results/mini-fresh."""

from __future__ import annotations

import json
from pathlib import Path

from docs.make.mini import CONFIGS
from docs.make.page import ROOT, fill_section, table_of
from gta import results
from gta.study import Study

PAGE, COMMAND = ROOT / "README.md", "python -m docs.make readme"
SOURCES = [Path(__file__), *CONFIGS]


def write() -> None:
    """Write the table, with what it was measured on.

    Raises:
        GtaError: if the study is not done.
    """
    study = Study.load(CONFIGS)
    metrics = results.read_collected(study)
    versions = json.loads(metrics["versions"].iloc[0])
    lines = [line for line in table_of(study, "fresh").splitlines() if line.startswith("|")]
    machine = (
        f"{len(metrics)} runs, {len(study.config.seeds)} seeds a cell, "
        f"{metrics['seconds'].sum() / 60:.0f} minutes of training; "
        f"{metrics['device'].iloc[0]}, {metrics['precision'].iloc[0]}; torch {versions['torch']}, "
        f"timm {versions['timm']}; commit {metrics['git_commit'].iloc[0][:10]}."
    )
    fill_section(PAGE, COMMAND, SOURCES, "\n".join([*lines, "", machine]))
