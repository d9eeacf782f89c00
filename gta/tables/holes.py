"""What stands in place of a number that is not there: why, and the command that makes it."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping

from gta.results import State
from gta.study import RUN_FIELDS, Run, Study

UNCOLLECTED = State("missing", "done, but not collected yet")
UNMEASURED = State("missing", "attention not measured")

COMMANDS = {UNCOLLECTED: "collect", UNMEASURED: "segmentation"}


def describe(study: Study, runs: Iterable[Run], states: Mapping[Run, State]) -> str:
    """Runs of one cell that are not there: state, reason, and what to run, by state.

    Args:
        study: the study.
        runs: runs that differ in lambda and seed alone.
        states: where they stand, where that is known.

    Returns:
        One line, commands in backquotes; empty where there are no runs.
    """
    groups: dict[State, list[Run]] = defaultdict(list)
    for run in runs:
        groups[states.get(run, State("missing"))].append(run)
    return "; ".join(_line(study, state, members) for state, members in groups.items())


def _line(study: Study, state: State, runs: list[Run]) -> str:
    said = ": ".join(filter(None, (state.state, state.reason)))
    if state in COMMANDS:
        return f"{said}: {', '.join(patterns(runs))}: `{command(study, COMMANDS[state])}`"
    return f"{said}: `{command(study, 'train', *patterns(runs))}`"


def command(study: Study, name: str, *arguments: str) -> str:
    """A command of ``gta`` for this study, as a shell takes it."""
    configs = [f"--config {shlex.quote(str(file))}" for file in study.files]
    return " ".join(["gta", name, *configs, *arguments])


def patterns(runs: Iterable[Run]) -> list[str]:
    """Names of a cell's runs, lambdas with the same seeds in one: bash and zsh expand its braces.

    ``dataset=cub/…/lam={1,10}/seed={0,1,2}`` names six runs.
    """
    seeds: dict[float, list[Run]] = defaultdict(list)
    for run in sorted(runs):
        seeds[run.lam].append(run)
    alike: dict[tuple[int, ...], list[Run]] = defaultdict(list)
    for members in seeds.values():
        alike[tuple(run.seed for run in members)] += members
    return [
        "/".join(f"{field}={_either(field, group)}" for field in RUN_FIELDS)
        for group in alike.values()
    ]


def _either(field: str, runs: Iterable[Run]) -> str:
    values = list(dict.fromkeys(run.text(field) for run in runs))
    return values[0] if len(values) == 1 else f"{{{','.join(values)}}}"
