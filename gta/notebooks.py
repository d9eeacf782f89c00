"""What the notebooks start with: the study whose results lie in this folder."""

from __future__ import annotations

import os
from pathlib import Path

from gta.errors import GtaError
from gta.study import Study


def open_study(name: str | None = None) -> Study:
    """Open a study by its results, with the config that Snakemake recorded beside them.

    Moves to the project's folder, the nearest one upwards that has ``results``: a study's paths
    are relative to it.

    Args:
        name: of the study; default the environment's ``GTA_STUDY``, else the study whose
            ``metrics.parquet`` is newest.

    Raises:
        GtaError: if there are no such results.
    """
    here = Path.cwd()
    root = next((place for place in (here, *here.parents) if (place / "results").is_dir()), None)
    if root is None:
        raise GtaError(f"{here}: neither it nor a folder above it has results; run `snakemake`")
    os.chdir(root)
    wanted = name or os.environ.get("GTA_STUDY")
    if wanted is None:
        collected = list(Path("results").glob("*/metrics.parquet"))
        if not collected:
            raise GtaError(f"{root / 'results'}: no study has metrics yet; run `snakemake`")
        wanted = max(collected, key=lambda path: path.stat().st_mtime).parent.name
    config = Path("results") / wanted / "config.yaml"
    if not config.exists():
        raise GtaError(
            f"{root / config}: missing; Snakemake writes it, as does `gta config --config FILE "
            f"--out {config}`"
        )
    return Study.load([config])
