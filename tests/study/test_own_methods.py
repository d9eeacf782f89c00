"""A method from a file outside the package: settings, digests, training, table and figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.errors import GtaError
from gta.study import Study
from tests.support.commands import gta
from tests.support.samples import prepare_inputs

METHOD = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gta.methods import Method, Step, TapRequest


@dataclass(frozen=True)
class LastRowKL(Method):
    """KL divergence of the last block's [cls] attention from the source's."""

    name: ClassVar[str] = "last_row_kl"
    title: ClassVar[str] = "Last-row KL"
    grid: ClassVar[tuple[float, ...]] = (0.1, 10.0)

    tau: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["kl", "reverse"] = "kl"

    @property
    def taps(self):
        return TapRequest(cls_logits=(-1,))

    @property
    def source_taps(self):
        return self.taps

    def penalty(self, step: Step, lam: float):
        target = self.needed(step.target.cls_logits) / self.tau
        source = self.needed(self.needed(step.source).cls_logits) / self.tau
        p, log_q = source.softmax(-1), target.log_softmax(-1)
        return {"last_row_kl": lam * (p * (p.log() - log_q)).sum(-1).mean()}
'''
TABLES = {
    "tables": {
        "own": {
            "kind": "accuracy",
            "title": "Own",
            "caption": "Accuracy.",
            "extra": True,
            "rows": ["method"],
            "columns": ["dataset", "rate"],
            "cells": [{"source": ["main"], "method": ["finetune"]}],
        }
    },
    "figures": {
        "curve": {
            "kind": "lambda",
            "title": "Curve",
            "caption": "Accuracy over lambda.",
            "cells": [{"source": ["main"], "method": ["last_row_kl"]}],
        }
    },
}


@pytest.fixture
def files(tiny_config: dict[str, Any], workdir: Path) -> list[Path]:
    """A study's config, and in a folder of its own an overlay with the method beside it."""
    recipe = {"image_size": 16, "iterations": 2, "augment": {"crop": "none"}}
    base = {
        **tiny_config,
        "datasets": ["mini_near"],
        "rates": [15],
        "seeds": [0],
        "methods": {},
        "recipe": {**tiny_config["recipe"], **recipe},
        "tables": ["own"],
        "figures": ["curve"],
        "tables_file": "tables.yaml",
    }
    overlay = {
        "study": "own",
        "own_methods": {"last_row_kl": {"file": "methods/kl.py"}},
        "extra_methods": ["last_row_kl"],
        "methods": {"last_row_kl": {"tau": 2, "kind": "reverse"}},
    }
    for path, content in (
        ("base.yaml", base),
        ("mine/overlay.yaml", overlay),
        ("tables.yaml", TABLES),
    ):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(yaml.safe_dump(content), encoding="utf-8")
    Path("mine/methods").mkdir()
    Path("mine/methods/kl.py").write_text(METHOD, encoding="utf-8")
    return [Path("base.yaml"), Path("mine/overlay.yaml")]


def laid_over(files: list[Path], **keys: Any) -> list[Path]:
    """The study with other keys laid over."""
    Path("mine/more.yaml").write_text(yaml.safe_dump({"study": "more", **keys}), encoding="utf-8")
    return [*files, Path("mine/more.yaml")]


def test_it_is_trained_and_stands_in_table_and_figure(files: list[Path]) -> None:
    study = Study.load(files)
    assert {(run.method, run.lam) for run in study.runs} == {
        ("finetune", 0.0),
        ("last_row_kl", 0.1),
        ("last_row_kl", 10.0),
    }
    prepare_inputs(study)
    # jobs read a merged config that lies elsewhere
    config = [part for file in files for part in ("--config", str(file))]
    gta("config", *config, "--out", "results/own/config.yaml")
    job = ["--config", "results/own/config.yaml"]
    assert [Study.load([job[1]]).digest(run) for run in study.runs] == [
        *map(study.digest, study.runs)
    ]
    gta("train", *job, *[run.name for run in study.runs], "--device", "cpu")
    gta("collect", *job)
    gta("table", "own", "--write", *job)
    gta("figure", "curve", *job)
    table = Path("results/own/tables/own.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith("| Last-row KL"))
    assert "%" not in row
    assert any(character.isdigit() for character in row)
    assert Path("results/own/figures/curve.png").exists()
    assert "Last-row KL" in gta("runs", *job)


def test_settings_are_its_fields(files: list[Path]) -> None:
    study = Study.load(files)
    method = study.methods.create("last_row_kl")
    assert (method.tau, method.kind) == (2.0, "reverse")  # type: ignore[attr-defined]
    for settings, fault in (
        ({"tau": 0}, "tau: 0 should be greater than 0"),
        ({"kind": "js"}, "kind: \"js\" should be 'kl' or 'reverse'"),
        ({"sigma": 1}, "sigma: unknown key; last_row_kl has: grid, lr, tau, kind"),
    ):
        given = laid_over(files, methods={"last_row_kl": settings})
        with pytest.raises(GtaError) as error:
            Study.load(given)
        assert str(error.value) == f"mine/more.yaml: methods.last_row_kl.{fault}"


def test_title_and_grid_of_the_stanza_win(files: list[Path]) -> None:
    stanza = {"file": "methods/kl.py", "title": "KL", "grid": [3, 1]}
    study = Study.load(laid_over(files, own_methods={"last_row_kl": stanza}))
    assert study.methods["last_row_kl"].title == "KL"
    assert study.grid("last_row_kl") == (1, 3)
    assert type(study.methods.create("last_row_kl")).__name__ == "LastRowKL"


def test_an_edit_of_the_file_makes_its_runs_stale(files: list[Path]) -> None:
    before = Study.load(files)
    Path("mine/methods/kl.py").write_text(METHOD + "# edited\n", encoding="utf-8")
    after = Study.load(files)
    changed = {run.method for run in before.runs if before.digest(run) != after.digest(run)}
    assert changed == {"last_row_kl"}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "mine/methods/kl.py: cannot be read: No such file or directory"),
        ("1 +", "cannot be imported: SyntaxError: invalid syntax"),
        ("import nothing_there", "cannot be imported: ModuleNotFoundError: No module named"),
        ("x = 1", "defines no Method with name = 'last_row_kl'; it has none"),
        (METHOD.replace('"last_row_kl"\n', '"akl"\n'), "name = 'last_row_kl'; it has: akl"),
        (METHOD.replace("@dataclass(frozen=True)\n", ""), "decorate it with @dataclass"),
        (METHOD.replace("    tau: Ann", "    grid: int = 1\n    tau: Ann"), "'grid'"),
        (METHOD.replace("    title:", "    name_:"), "own_methods.last_row_kl.title: missing"),
    ],
    ids=["missing", "syntax", "import", "none", "name", "dataclass", "grid", "title"],
)
def test_a_file_that_is_not_a_method_is_an_error(
    files: list[Path], content: str | None, fault: str
) -> None:
    path = Path("mine/methods/kl.py")
    if content is None:
        path.unlink()
    else:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(GtaError, match=r"^[^\n]*$") as error:
        Study.load(files)
    assert fault in str(error.value)


def test_a_name_of_the_package_is_refused(files: list[Path]) -> None:
    given = laid_over(files, own_methods={"gta": {"file": "methods/kl.py"}})
    with pytest.raises(GtaError, match="'gta' is a method of the package; choose another name"):
        Study.load(given)
