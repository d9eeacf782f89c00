"""Commands of ``gta`` for a study, as a shell takes them."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable

from gta.project import as_typed
from gta.study import RUN_FIELDS, Run, Study


def command(study: Study, name: str, *arguments: str) -> str:
    """A command of ``gta`` for this study, as a shell takes it."""
    configs = [f"--config {shlex.quote(as_typed(file))}" for file in study.files]
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
