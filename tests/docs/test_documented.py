"""What the documentation shows is true: commands parse, examples run, the site builds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from gta.cli import app
from gta.study import Study
from tests.conftest import ROOT
from tests.support import commands

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [page for page in PAGES if "do not edit" not in page.read_text(encoding="utf-8")[:200]]
# Words in a command that stand for something of the reader's.
STANDS_FOR = {
    "RUN": "dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam=0.1/seed=0",
    "FOLDER": "photos",
    "…": "mini_near",
}
# Commands that are run as typed, on a finished study called mini.
RUN = re.compile(
    r"gta (runs( --list)?$|table table\w+|plan --config config/paper.yaml|doctor|status$|data list|"
    r"export mini --to csv|archive mini|source list|--version)"
)
NOT_RUN = {
    "gta": "parsed: options and arguments are those of the command",
    "snakemake": "parsed, its config files looked for; the rules are run by tests/workflow",
    "make": "its target is looked for",
    "python": "its module is looked for",
    "pip": "installs packages",
    "conda": "installs packages",
}


@dataclass(frozen=True)
class Command:
    """A command in a page."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def documented() -> list[Command]:
    """The commands of all pages: of indented and fenced blocks, continued lines joined."""
    found = []
    for page in WRITTEN:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        text = re.sub(r"```(python|yaml|json|html).*?```", "", text, flags=re.DOTALL)
        for line in text.splitlines():
            block = re.match(r"(?:    |\s{6,})?((?:gta|snakemake|make|python|pip|conda) .*)", line)
            if block is None or (not line.startswith("    ") and not _fenced(text, line)):
                continue
            command = " ".join(re.split(r"\s#", block[1])[0].split())
            found.append(Command(page.name, command))
    return list(dict.fromkeys(found))


def _fenced(text: str, line: str) -> bool:
    return text[: text.index(line)].count("```") % 2 == 1


COMMANDS = documented()


def test_there_are_commands_of_every_kind() -> None:
    kinds = {command.text.split()[0] for command in COMMANDS}
    assert kinds <= NOT_RUN.keys()
    assert {"gta", "snakemake", "make"} <= kinds
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_documented_command_is_one(command: Command) -> None:
    text = command.text
    for word, meaning in STANDS_FOR.items():
        text = re.sub(rf"(?<![\w/]){word}(?![\w/])", meaning, text)
    program, *words = shlex.split(re.split(r"\s*(?:&&|\||>|;)\s*", text)[0])
    {"gta": _parse_gta, "snakemake": _parse_snakemake, "make": _parse_make}.get(
        program, lambda words: None
    )(words)


def _parse_gta(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    path = ["gta"]
    if words[:1] in (["--help"], ["--version"]):
        return
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"there is no `{' '.join([*path, name])}`"
        command = command.commands[name]
        path.append(name)
    command.make_context(" ".join(path), words)  # raises for what the command does not take


def _parse_snakemake(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    parsed = get_argument_parser(profiles=[]).parse_args(words)
    for file in parsed.configfile or ():
        assert str(file).endswith(".yaml"), f"{file}: a target after --configfile"
        assert not str(file).startswith("config/") or _is_known(Path(file)), f"{file}: missing"


def _is_known(file: Path) -> bool:
    of_the_reader = {"mine.yaml", "own.yaml", "photos.yaml"}
    return (ROOT / file).is_file() or file.name in of_the_reader


def _parse_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        if "=" not in word:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"make {word}: no such target"


@pytest.mark.parametrize(
    "command", [one for one in COMMANDS if RUN.match(one.text)], ids=lambda one: one.text
)
def test_a_documented_command_runs(command: Command, in_finished: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    _, *words = shlex.split(command.text)
    if words[0] == "table":
        words[1] = "fresh"  # the table of the small study
    if "--out" in words:
        words[words.index("--out") + 1] = str(tmp_path / "out")
    if "--config" not in words and words[0] in ("runs", "table", "status", "doctor"):
        words += ["--config", "results/mini/config.yaml"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code in ((0, 1) if words[0] == "doctor" else (0,)), done.output


# Examples of the pages


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_method_and_the_table_of_the_page_run(workdir: Path) -> None:
    page = ROOT / "docs" / "extend.md"
    (workdir / "methods").mkdir()
    (workdir / "config").mkdir()
    (workdir / "methods" / "weight_pull.py").write_text(blocks(page, "python")[0])
    (workdir / "config" / "mine.yaml").write_text(blocks(page, "yaml")[0])
    study = Study.load(["config/mine.yaml"])
    from gta import outputs
    from gta.data.prepare import prepare
    from gta.models.originals import prepare_source
    from gta.train import train_runs

    prepare(study, "mini_near")
    prepare_source(study, "tiny_ibot")
    train_runs(study, study.runs, "cpu")
    assert not outputs.collect(study)
    shown = commands.gta("table", "mine", "--config", "config/mine.yaml")
    assert "Weight pull" in shown


def test_the_cell_of_the_readme_runs(in_finished: Path, tmp_path: Path) -> None:
    from PIL import Image

    (code,) = blocks(ROOT / "README.md", "python")
    Image.new("RGB", (60, 40), "white").save(tmp_path / "photo.jpg")
    names: dict[str, Any] = {}
    exec(code.replace('"photo.jpg"', repr(str(tmp_path / "photo.jpg"))), names)
    assert names["attention_map"].shape == (40, 60)


def test_readme_has_two_screens() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="comes with the extra `docs`")
    pytest.importorskip("mkdocstrings", reason="comes with the extra `docs`")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "interface.html").read_text(encoding="utf-8")
    assert "gain" in page
    fetched = [
        url
        for html in tmp_path.rglob("*.html")
        for url in re.findall(
            r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', html.read_text()
        )
    ]
    assert not fetched


def test_pages_of_the_site_are_in_its_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Reads over tags of mkdocs."""

    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    named = re.findall(r"'([\w-]+\.md)'", str(site["nav"]))
    assert set(named) == {page.name for page in (ROOT / "docs").glob("*.md")}
