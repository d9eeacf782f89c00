"""Assignment of runs to jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from gta.study.run import RUN_FIELDS, Run

PackKey = tuple[tuple[str, str], ...]
"""Name and text of the fields that are not packed."""


@dataclass(frozen=True)
class Pack:
    """Runs that differ only in the packed fields and train in one job.

    Attributes:
        key: see ``PackKey``.
        runs: the runs, sorted.
    """

    key: PackKey
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """A path tail, e.g. ``dataset=mini_near/rate=15/seed=0``."""
        return pack_name(self.key)


@dataclass(frozen=True)
class PackGroup:
    """Packs whose packed fields take the same values, so that one rule serves them all.

    Attributes:
        wildcards: values of each unpacked field over the group.
        outputs: run names in which unpacked fields stand as ``{field}``.
    """

    wildcards: dict[str, tuple[str, ...]]
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Path tail of its packs, with the unpacked fields as ``{field}``."""
        return "/".join(f"{field}={{{field}}}" for field in self.wildcards) or "all"


def pack_key(run: Run, packed: Collection[str]) -> PackKey:
    """The fields of a run that are not packed, as text."""
    return tuple((field, run.text(field)) for field in RUN_FIELDS if field not in packed)


def pack_name(key: PackKey) -> str:
    """A key as a path tail."""
    return "/".join(f"{field}={value}" for field, value in key) or "all"


def packs_of(runs: Iterable[Run], packed: Sequence[str]) -> dict[PackKey, Pack]:
    """Group runs by the fields that are not packed."""
    members: dict[PackKey, list[Run]] = defaultdict(list)
    for run in sorted(runs):
        members[pack_key(run, packed)].append(run)
    return {key: Pack(key, tuple(group)) for key, group in members.items()}


def groups_of(
    packs: Iterable[Pack], packed: Sequence[str], others: Iterable[Run] = ()
) -> list[PackGroup]:
    """Group packs so that the wildcards of one group never match a pack of another.

    A Snakemake rule constrains each wildcard by itself, so a rule matches the product of
    its wildcards' values; where that product would reach into another group, the group is
    divided by the field that leaves the fewest such parts, and the fewest at all.

    Args:
        packs: to be grouped.
        packed: the packed fields.
        others: runs with rules of their own, which no group may match either.
    """
    shapes: dict[tuple[str, ...], list[Pack]] = defaultdict(list)
    for pack in packs:
        shapes[tuple(_pattern(run, packed) for run in pack.runs)].append(pack)
    everything = {pack.key for group in shapes.values() for pack in group}
    everything |= packs_of(others, packed).keys()
    queue = list(shapes.items())
    groups: list[PackGroup] = []
    while queue:
        outputs, members = queue.pop(0)
        if _reaches_others(members, everything):
            parts = (_divided(members, field) for field in range(len(members[0].key)))
            fewest = min(
                (found for found in parts if len(found) > 1),
                key=lambda found: (
                    sum(_reaches_others(part, everything) for part in found),
                    len(found),
                ),
            )
            queue = [(outputs, part) for part in fewest] + queue
        else:
            groups.append(PackGroup(_values(members), outputs))
    return groups


def _values(members: Sequence[Pack]) -> dict[str, tuple[str, ...]]:
    """The values of each unpacked field, in the order of their appearance."""
    return {
        field: tuple(dict.fromkeys(pack.key[position][1] for pack in members))
        for position, (field, _) in enumerate(members[0].key)
    }


def _reaches_others(members: Sequence[Pack], everything: Collection[PackKey]) -> bool:
    """Whether the product of the members' values holds a pack that is none of them."""
    own = {pack.key for pack in members}
    if len(own) == len(everything):
        return False
    values = _values(members)
    reach = (tuple(zip(values, point, strict=True)) for point in product(*values.values()))
    return any(key in everything and key not in own for key in reach)


def _divided(members: Sequence[Pack], position: int) -> list[list[Pack]]:
    """The members by their values of one unpacked field."""
    parts: dict[str, list[Pack]] = defaultdict(list)
    for pack in members:
        parts[pack.key[position][1]].append(pack)
    return list(parts.values())


def _pattern(run: Run, packed: Sequence[str]) -> str:
    return "/".join(
        f"{field}={run.text(field)}" if field in packed else f"{field}={{{field}}}"
        for field in RUN_FIELDS
    )
