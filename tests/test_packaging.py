"""The files around the package agree with each other.

Conda is not asked to solve ``environment.yml``: it is parsed and held against pyproject.toml.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import gta
from gta.study.config import Config

# Modules whose name is not that of the package that brings them.
PACKAGE_OF = {
    "PIL": "pillow",
    "huggingface_hub": "huggingface-hub",
    "yaml": "pyyaml",
    "pydantic_core": "pydantic",
}


@pytest.fixture
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_environment_gives_what_pyproject_asks_for(root: Path, project: dict[str, Any]) -> None:
    environment = load(root / "environment.yml")
    assert environment["name"] == project["name"]
    assert environment["channels"] == ["conda-forge"]
    *brought, by_pip = environment["dependencies"]
    assert f"python {project['requires-python']}" in brought
    assert {line.split()[0] for line in brought} == {"python", "pip", "git", "make"}
    assert by_pip == {"pip": ["-e .[notebooks]"]}
    assert "notebooks" in project["optional-dependencies"]


def test_makefile_asks_for_the_python_of_pyproject(root: Path, project: dict[str, Any]) -> None:
    oldest = project["requires-python"].removeprefix(">=").replace(".", ", ")
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    assert f"sys.version_info < ({oldest})" in makefile


def test_help_names_every_target(root: Path) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert listed == set(phony[1].split())


def test_old_or_missing_python_is_one_clear_line(root: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo "Python 3.9.2"; exit 0; }\nexit 1\n')
    old.chmod(0o755)
    for python, said in (
        (old, f"error: {old} is Python 3.9.2; 3.11 or newer is needed: make PYTHON=…"),
        ("no-such-python", "error: there is no no-such-python; install Python 3.11 or newer"),
    ):
        done = subprocess.run(
            ["make", "install", f"PYTHON={python}", f"INSTALLED={tmp_path / 'installed'}"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert done.stderr.startswith(said)


def test_citation_names_version_licence_and_paper(root: Path, project: dict[str, Any]) -> None:
    citation = load(root / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == gta.__version__
    assert citation["license"] == project["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert paper["title"] in project["description"]
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2401.02656"}]
    assert all({"given-names", "family-names"} <= author.keys() for author in paper["authors"])


def test_licence_is_the_apache_licence(root: Path) -> None:
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_installed_package_is_this_one() -> None:
    assert importlib.metadata.version("gta") == gta.__version__
    (command,) = (
        entry
        for entry in importlib.metadata.distribution("gta").entry_points
        if entry.group == "console_scripts"
    )
    assert (command.name, command.value) == ("gta", "gta.cli:main")
    assert callable(command.load())


def test_every_import_is_a_declared_dependency(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(line for extra in extras for line in extra)]
    declared = {re.split(r"[><=!~; \[]", line)[0].lower() for line in asked}
    for file in Path(gta.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                top = module.split(".")[0]
                if top != "gta" and top not in sys.stdlib_module_names:
                    name = PACKAGE_OF.get(top, top).replace("_", "-")
                    assert name in declared, f"{file} imports {top}"


def test_ci_runs_every_config(root: Path) -> None:
    """An overlay is named <study>-<what>.yaml, by which `.ci/run` finds the study it is for."""
    needed = {name for name, field in Config.model_fields.items() if field.is_required()}
    for file in (root / "config").glob("*.yaml"):
        content = load(file)
        if file.name == "tables.yaml":
            continue
        if needed <= content.keys():
            assert "-" not in file.stem, file
        else:
            assert (file.parent / f"{file.stem.partition('-')[0]}.yaml").exists(), file


def test_shell_script_of_ci_is_well_formed(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)
