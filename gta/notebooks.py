"""What the notebooks start with, the study whose results lie here, and how they become pages."""

from __future__ import annotations

import os
from pathlib import Path

from gta.errors import GtaError
from gta.files import write_text
from gta.study import Study

KERNEL = "python3"  # the Python that asks for it


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


def execute(notebook: Path, study: Study) -> Path:
    """Run a notebook on a study's results and write ``results/<study>/notebooks/<name>.html``.

    Args:
        notebook: the file, which is left as it is.
        study: what ``open_study`` opens in it.

    Returns:
        The page.

    Raises:
        GtaError: if nbconvert is not installed, the file is no notebook, or a cell fails.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise GtaError(
            f"{error.name} is not installed; it comes with `pip install -e '.[notebooks]'`"
        ) from None
    try:
        content = nbformat.read(notebook, as_version=4)
    except OSError as error:
        raise GtaError(f"{notebook}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise GtaError(f"{notebook}: is no notebook: {error}") from None
    here = {"metadata": {"path": str(Path.cwd()), "name": notebook.stem}}
    try:
        NotebookClient(content, timeout=None, kernel_name=KERNEL, resources=here).execute(
            env={**os.environ, "GTA_STUDY": study.name}
        )
    except CellExecutionError as error:
        raise GtaError(f"{notebook}: a cell failed: {error.ename}: {error.evalue}") from None
    page, _ = HTMLExporter().from_notebook_node(content, here)
    path = study.folder / "notebooks" / f"{notebook.stem}.html"
    write_text(path, page)
    return path
