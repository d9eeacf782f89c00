"""A module imports nothing from floors above its own, no ring on it; floor 1 stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gta

PACKAGE = Path(gta.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS: dict[str, int] = {
    "cli": 6,
    "__main__": 6,
    "interface": 4,
    "trial": 5,
    "export": 5,
    "predict": 5,
    "compare": 5,
    "doctor": 5,
    "outputs": 4,
    "page": 4,
    "notebooks": 4,
    "train": 3,
    "plan": 3,
    "tables": 3,
    "figures": 3,
    "attention": 3,
    "results": 3,
    "data": 2,
    "models": 2,
    "robustness": 3,
    "averages": 3,
    "workflow": 4,
    "study": 1,
    "catalog": 1,
    "methods": 1,
    "files": 0,
    "project": 0,
    "errors": 0,
}
# Floor 1 is imported whenever Snakemake reads the Snakefile.
HEAVY = ("torch", "torchvision", "timm", "pandas", "matplotlib", "seaborn", "snakemake")


def part_of(file: Path) -> str:
    """``gta/data/store.py`` belongs to the part ``data``."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def is_for_types(node: ast.stmt) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_of(file: Path) -> set[str]:
    """Parts of the package that a file imports, at its top or inside its functions."""
    return imports_in(file, ast.parse(file.read_text(encoding="utf-8")))


def imports_in(file: Path, tree: ast.Module) -> set[str]:
    """The same of a part of its syntax tree."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write the import in full"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = {module.split(".")[1] for module in modules if module.startswith("gta.")}
    return parts - {part_of(file), "__version__"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_do_not_go_upwards(file: Path) -> None:
    part = part_of(file)
    if part == "__init__":  # its names are imported when they are first used
        at_import = [node for node in ast.parse(file.read_text()).body if not is_for_types(node)]
        assert not imports_in(file, ast.Module(at_import, []))
        return
    assert part in FLOORS, f"{file}: say here on which floor it stands"
    above = {other for other in imports_of(file) if FLOORS[other] > FLOORS[part]}
    assert not above, f"{file} imports from above: {above}"


def test_no_ring_of_imports() -> None:
    needs: dict[str, set[str]] = {part: set() for part in FLOORS}
    for file in FILES:
        if part_of(file) != "__init__":
            needs[part_of(file)] |= imports_of(file)
    while needs:
        free = {part for part, below in needs.items() if not below & needs.keys()}
        assert free, f"these import each other: {', '.join(sorted(needs))}"
        needs = {part: below for part, below in needs.items() if part not in free}


@pytest.mark.parametrize("module", ["gta.catalog", "gta.methods", "gta.study", "gta.results"])
def test_floor_1_is_light(module: str) -> None:
    script = f"import sys, {module}; print(*sorted(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
