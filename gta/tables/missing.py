"""Explanation and fix-it command for an empty table cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from gta.results import State
from gta.study import Run, Study
from gta.study.commands import command, patterns

UNCOLLECTED = State("missing", "done, but not collected yet")
UNMEASURED = State("missing", "attention not measured")
UNTESTED = State("missing", "not tested on corrupted images")
UNATTACKED = State("missing", "not tested with the trigger")
UNCHOSEN = State("missing", "λ is not chosen yet, or to be chosen again")

COMMANDS = {
    UNCHOSEN: "choose",
    UNCOLLECTED: "collect",
    UNMEASURED: "segmentation",
    UNTESTED: "robustness",
    UNATTACKED: "backdoor",
}


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
