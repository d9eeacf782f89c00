"""The notebooks: saved without outputs, on `import gta` alone, and they run on a study."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from gta.errors import GtaError
from gta.notebooks import execute
from gta.study import Study
from tests.support.finished import CONFIG

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    """Code cells as Python, without their magics."""
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source.replace("%matplotlib inline\n", "") for cell in cells]
    transform = TransformerManager().transform_cell
    kinds = [cell.cell_type for cell in cells]
    return [transform(s) for s, kind in zip(sources, kinds, strict=True) if kind == "code"]


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
def test_the_first_cell_imports_gta_and_nothing_imports_from_inside_it(path: Path) -> None:
    cells = [ast.parse(code) for code in code_of(path)]
    imports = [
        ast.unparse(node)
        for cell in cells
        for node in ast.walk(cell)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert [ast.unparse(node) for node in cells[0].body][:2] == ["import gta", "study = gta.open()"]
    assert [line for line in imports if "gta" in line] == ["import gta"]


def test_every_name_that_notebooks_use_is_public() -> None:
    import gta

    for path in NOTEBOOKS:
        for code in code_of(path):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    parts = {"gta": gta, "study": gta.StudyResults, "run": gta.RunResults}
                    if node.value.id in parts:
                        assert hasattr(parts[node.value.id], node.attr), f"{path.name}: {node.attr}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_on_a_study(
    path: Path,
    in_finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import matplotlib.pyplot as plt

    figures: list[Any] = []
    monkeypatch.setattr(plt, "show", lambda: figures.extend(map(plt.figure, plt.get_fignums())))
    names: dict[str, Any] = {}
    try:
        for code in code_of(path):
            exec(compile(code, path.name, "exec"), names)
    finally:
        plt.close("all")
    assert figures
    assert (
        "study mini: 16 of 16 runs are done" in capsys.readouterr().out or path.stem == "attention"
    )


# gta.notebooks.execute


def notebook_of(path: Path, *cells: str) -> Path:
    """A notebook with these cells of code."""
    new = nbformat.v4.new_code_cell
    nbformat.write(nbformat.v4.new_notebook(cells=[new(cell) for cell in cells]), path)
    return path


def test_becomes_a_page_and_stays_as_it_is(in_finished: Path, tmp_path: Path) -> None:
    opened = "import gta; study = gta.open(); print('opened', study.name, len(study.metrics))"
    file = notebook_of(tmp_path / "own.ipynb", opened)
    before = file.read_bytes()
    study = Study(CONFIG, folder=tmp_path / "results")
    page = execute(file, study)
    assert page == tmp_path / "results" / "notebooks" / "own.html"
    assert "opened mini 16" in page.read_text(encoding="utf-8")
    assert file.read_bytes() == before
    assert not list(page.parent.glob(".*"))


def test_a_page_loads_nothing_and_runs_no_script(in_finished: Path, tmp_path: Path) -> None:
    shown = "from IPython.display import Markdown; Markdown('text $x$ ![a](https://example.org/a)')"
    file = notebook_of(tmp_path / "own.ipynb", shown)
    page = execute(file, Study(CONFIG, folder=tmp_path / "results")).read_text(encoding="utf-8")
    head = page[: page.index("</head>")]
    assert "default-src 'none'" in head
    assert "script-src" not in head
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts == []
    assert re.findall(r"(?:src|href)=.(https?://[^\"']+)", page) == ["https://example.org/a"]


def test_a_cell_that_fails_is_one_line_and_leaves_no_page(tiny_study: Study, workdir: Path) -> None:
    file = notebook_of(workdir / "own.ipynb", "1 + 1", "[][0]")
    with pytest.raises(GtaError, match=r"own\.ipynb: a cell failed: IndexError: list index out of"):
        execute(file, tiny_study)
    assert not (tiny_study.folder / "notebooks").exists()


def test_what_is_not_a_notebook_is_said(tiny_study: Study, workdir: Path) -> None:
    file = workdir / "own.ipynb"
    with pytest.raises(GtaError, match=r"own\.ipynb: cannot be read: No such file"):
        execute(file, tiny_study)
    file.write_text("# Title\n")
    with pytest.raises(GtaError, match=r"own\.ipynb: is not a notebook: "):
        execute(file, tiny_study)
