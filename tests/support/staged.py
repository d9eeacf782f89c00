"""A working folder whose ``gta`` is staged (``staged_gta.py``), and Snakemake called in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from gta.study import Run, Study
from tests.support.staged_gta import STORE

ROOT = Path(__file__).resolve().parents[2]

TABLES = {
    "tables": {
        "small": {
            "kind": "accuracy",
            "title": "Small",
            "caption": "Fine-tuning and GTA.",
            "groups": ["dataset"],
            "rows": ["method"],
            "columns": ["rate"],
            "cells": [{"source": ["main"], "method": ["finetune", "gta"]}],
        }
    }
}

STUDY: dict[str, Any] = {
    "study": "staged",
    "datasets": ["mini_near"],
    "rates": [100],
    "seeds": [0],
    "sources": {"main": "tiny_ibot"},
    "methods": {"gta": {"grid": [0.1, 1]}},
    "recipe": {
        "architecture": "vit_mini_patch8",
        "image_size": 48,
        "batch_size": 8,
        "iterations": 2,
        "lr": 1.0e-3,
        "augment": {"crop": "none"},
    },
    "procedural": {"train_per_class": 2, "heldout_images": 10, "test_images": 20},
    "tables": ["small"],
    "tables_file": "tables.yaml",
}
KEYS = ("finetune-0", "gta-0.1", "gta-1")


def until(condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
    """Wait until something is true and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class StagedStudy:
    """A study of three runs (`KEYS`), a job each, in a folder laid out like the repository."""

    def __init__(self, folder: Path, env: Mapping[str, str], staged: bool = True) -> None:
        """Lay out the folder.

        Args:
            folder: an empty folder.
            env: variables to set for Snakemake and its jobs.
            staged: whether `gta` is staged; else it is the real one.
        """
        self.folder = folder
        for name in ("workflow", "slurm", "local", "config", "environment.yml"):
            (folder / name).symlink_to(ROOT / name)
        self.write("tables.yaml", TABLES)
        self.write("study.yaml", STUDY)
        (folder / "orders").mkdir()
        (folder / "bin").mkdir()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        if staged:
            program = folder / "bin" / "gta"
            program.write_text(
                f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "
                '-m tests.support.staged_gta "$@"\n'
            )
            program.chmod(0o755)
            path = f"{folder}/bin:{path}"
        unset = ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS", "SNAKEMAKE_PROFILE")
        outer = {key: value for key, value in os.environ.items() if key not in unset}
        self.env = {**outer, "PATH": path, **env}
        self.snakemake = [sys.executable, "-m", "snakemake"]
        self.head: subprocess.Popen[str] | None = None

    def write(self, name: str, content: Any) -> None:
        """Write a YAML file."""
        (self.folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")

    def edit_profile(self, name: str, old: str, new: str) -> None:
        """Change a line of the shipped profile, as its comments tell a user to."""
        file = self.folder / name / "config.yaml"
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        (self.folder / name).unlink()
        (self.folder / name).mkdir()
        file.write_text(text.replace(old, new), encoding="utf-8")

    def copy_workflow(self) -> Path:
        """Give the folder a workflow of its own, to be changed; its rules."""
        (self.folder / "workflow").unlink()
        shutil.copytree(ROOT / "workflow", self.folder / "workflow")
        return self.folder / "workflow" / "rules"

    def order(self, key: str, *attempts: str) -> None:
        """Say what each attempt at a run does."""
        (self.folder / "orders" / key).write_text("\n".join(attempts), encoding="utf-8")

    def ready(self) -> None:
        """Let dataset and source lie there as if they were prepared long ago."""
        study = Study({**STUDY, "tables_file": str(self.folder / "tables.yaml")})
        for path, text in (
            (study.store("mini_near") / "store.json", STORE),
            (study.weights("tiny_ibot"), "staged"),
        ):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
            os.utime(self.folder / path, (1e9, 1e9))

    def part(self, key: str) -> Path:
        """A run's metrics."""
        method, lam = key.split("-")
        run = Run("mini_near", 100.0, "tiny_ibot", method, "none", float(lam), 0)
        return Path("results/staged/metrics") / run.name / "part.parquet"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake on the study; `wait_for` watches the last one that was started."""
        # A shell's background jobs, and so all that they start, would not heed Ctrl-C.
        heeding = ["env", "--default-signal=INT"]
        command = [*heeding, *self.snakemake, "--configfile", "study.yaml", *arguments]
        log = (self.folder / "head.log").open("a", encoding="utf-8")
        with log:
            self.head = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return self.head

    def finish(self, head: subprocess.Popen[str], seconds: float = 400) -> str:
        """Wait for Snakemake's success and give what it said."""
        try:
            status = head.wait(seconds)
        except subprocess.TimeoutExpired:
            head.terminate()
            raise AssertionError(f"not done within {seconds:g} s:\n{self.said}") from None
        assert status == 0, self.said
        return self.said

    @property
    def said(self) -> str:
        """All that Snakemake has said so far."""
        return (self.folder / "head.log").read_text(encoding="utf-8")

    def events(self, what: str, key: str | None = None) -> list[dict[str, Any]]:
        """What has happened, in order (`staged_gta.note`)."""
        file = self.folder / "events.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        found = [event for event in map(json.loads, lines) if event["what"] == what]
        return [event for event in found if key in (None, event["key"])]

    def wait_for(self, what: str, key: str | None = None, count: int = 1) -> list[dict[str, Any]]:
        """Wait until something has happened a number of times."""

        def happened() -> list[dict[str, Any]]:
            status = self.head and self.head.poll()
            found = self.events(what, key)
            assert status is None or len(found) >= count, "Snakemake has ended"
            return found if len(found) >= count else []

        try:
            return until(happened, f"{count} x {what} {key or ''}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said}") from None

    def end(self) -> None:
        """Let no Snakemake outlive the test."""
        if self.head is not None:
            self.head.kill()
            self.head.wait()

    def half_written(self) -> list[Path]:
        """Hidden files that a writer left in the results."""
        return list((self.folder / "results").rglob(".*.parquet"))
