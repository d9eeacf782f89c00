"""``gta doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gta.cli.options import DEFAULT_CONFIG, Configs
from gta.study import Study

MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("doctor")(doctor)


def doctor(
    config: Configs = DEFAULT_CONFIG,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of objects: check, state, found, remedy.")
    ] = False,
) -> None:
    """Check versions, devices, folders, data, sources, SLURM and locks, and say what to do.

    The exit status is 1 if something is at fault; notes do not count.

        gta doctor --config config/paper.yaml
    """
    from gta.doctor import examine

    findings = []
    for finding in examine(Study.load(config)):
        findings.append(finding)
        if not as_json:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            print(f"{MARKS[finding.state]} {finding.check}: {finding.found}{remedy}", flush=True)
    if as_json:
        print(json.dumps([finding.as_object() for finding in findings], indent=1))
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)
