"""The notebooks: saved without outputs, their code and imports sound, and they run on a study."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

from gta import files, results
from gta.errors import GtaError
from gta.notebooks import execute, open_study
from gta.study import Study

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    """Code cells as Python, magics translated."""
    cells = nbformat.read(path, as_version=4).cells
    transform = TransformerManager().transform_cell
    return [transform(cell.source) for cell in cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["attention", "lambda", "own_analysis", "results"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_compiles_and_what_it_imports_is_there(path: Path) -> None:
    for number, code in enumerate(code_of(path)):
        compile(code, f"{path.name}, code cell {number}", "exec")
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("gta"):
                module = importlib.import_module(str(node.module))
                for name in node.names:
                    assert hasattr(module, name.name), f"{path.name}: {node.module}.{name.name}"


# open_study


def leave_results(study: Study, config: dict[str, Any], age: float = 0.0) -> None:
    """An empty metrics.parquet and the config beside it, last touched ``age`` seconds ago."""
    table, _ = results.collect_metrics(study, lambda _: None)
    results.write_collected(study, table)
    files.write_text(study.folder / "config.yaml", yaml.safe_dump(config))
    metrics = study.folder / "metrics.parquet"
    then = metrics.stat().st_mtime - age
    os.utime(metrics, (then, then))


def test_opens_the_newest_or_the_named(
    tiny_config: dict[str, Any], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GTA_STUDY", raising=False)
    for age, name in enumerate(("new", "middle", "old")):
        config = {**tiny_config, "study": name}
        leave_results(Study(config), config, age=60.0 * age)
    below = workdir / "notebooks"
    below.mkdir()
    monkeypatch.chdir(below)
    assert open_study().name == "new"
    assert Path.cwd() == workdir
    assert open_study("middle").name == "middle"
    monkeypatch.setenv("GTA_STUDY", "old")
    assert open_study().name == "old"
    assert open_study("new").name == "new"


def test_says_what_is_not_there(
    tiny_config: dict[str, Any], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GTA_STUDY", raising=False)
    with pytest.raises(GtaError, match="neither it nor a folder above it has results"):
        open_study()
    (workdir / "results").mkdir()
    with pytest.raises(GtaError, match="no study has metrics yet"):
        open_study()
    with pytest.raises(GtaError, match=r"results/paper/config\.yaml: missing"):
        open_study("paper")


# execute


def notebook_of(path: Path, *cells: str) -> Path:
    """A notebook with these cells of code."""
    new = nbformat.v4.new_code_cell
    nbformat.write(nbformat.v4.new_notebook(cells=[new(cell) for cell in cells]), path)
    return path


def test_becomes_a_page_and_stays_as_it_is(tiny_config: dict[str, Any], workdir: Path) -> None:
    for name in ("asked", "newest"):
        config = {**tiny_config, "study": name}
        leave_results(Study(config), config)
    opened = "from gta.notebooks import open_study; print('opened', open_study().name, 6 * 7)"
    file = notebook_of(workdir / "own.ipynb", opened)
    before = file.read_bytes()
    page = execute(file, Study({**tiny_config, "study": "asked"}))
    assert page == Path("results/asked/notebooks/own.html")
    assert "opened asked 42" in page.read_text(encoding="utf-8")
    assert file.read_bytes() == before
    assert not list(page.parent.glob(".*"))


def test_a_cell_that_fails_is_one_line_and_leaves_no_page(tiny_study: Study, workdir: Path) -> None:
    file = notebook_of(workdir / "own.ipynb", "1 + 1", "[][0]")
    with pytest.raises(GtaError, match=r"own\.ipynb: a cell failed: IndexError: list index out of"):
        execute(file, tiny_study)
    assert not (tiny_study.folder / "notebooks").exists()


def test_what_is_no_notebook_is_said(tiny_study: Study, workdir: Path) -> None:
    file = workdir / "own.ipynb"
    with pytest.raises(GtaError, match=r"own\.ipynb: cannot be read: No such file"):
        execute(file, tiny_study)
    file.write_text("# Title\n")
    with pytest.raises(GtaError, match=r"own\.ipynb: is no notebook: "):
        execute(file, tiny_study)


# They run


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a small study that is done, but for one run and for table 4."""
    from gta.data.prepare import prepare
    from gta.models.originals import prepare_source
    from gta.train import train_runs

    root = Path(__file__).resolve().parent.parent
    folder = tmp_path_factory.mktemp("studied")
    shutil.copytree(FOLDER, folder / "notebooks")
    config = yaml.safe_load((root / "tests/configs/tiny.yaml").read_text(encoding="utf-8"))
    config |= {"tables_file": str(root / "config" / "tables.yaml"), "datasets": ["mini_near"]}
    config |= {"tables": ["table1", "table2", "table4"], "figures": ["figure1"], "restrict": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS"):
            patch.delenv(name, raising=False)
        study = Study(config)
        prepare(study, "mini_near")
        prepare_source(study, "tiny_ibot")
        missing = next(run for run in study.runs if run.method == "l2_sp")
        train_runs(study, [run for run in study.runs if run != missing], "cpu")
        leave_results(study, config)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_runs_from_its_own_folder(
    studied: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbclient import NotebookClient

    for variable in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS", "GTA_STUDY"):
        monkeypatch.delenv(variable, raising=False)
    path = studied / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.get("text", "") for output in outputs)
    assert len(pictures) >= 2
    assert "study tiny" in printed
    if name == "results":
        assert "table4: " in printed  # what it is made of is missing
        shown = [output["data"].get("text/markdown", "") for output in outputs if "data" in output]
        assert any("gta train " in text for text in shown)  # the hole's command
