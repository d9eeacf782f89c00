"""The training jobs of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from gta.errors import GtaError
from gta.study.packs import Pack, PackGroup, PackKey, groups_of, pack_key, pack_name, packs_of
from gta.study.run import RUN_FIELDS, Run


class Jobs:
    """Packs of runs, and for runs that may follow from a choice of lambda a job each.

    Attributes:
        packed: the packed fields.
        later: the jobs of runs that may follow from a choice (``tune``).
    """

    def __init__(self, runs: Sequence[Run], later: Iterable[Run], packed: Sequence[str]) -> None:
        """Divide runs into jobs, when these are first asked for.

        Args:
            runs: all that the study may come to need.
            later: those of them that may follow from a choice.
            packed: the packed fields.
        """
        self.packed = packed
        self.later = {pack.runs[0]: pack for pack in packs_of(later, []).values()}
        self._runs = runs

    @cached_property
    def packs(self) -> dict[PackKey, Pack]:
        """The jobs but for those of ``later``, by their key."""
        return packs_of((run for run in self._runs if run not in self.later), self.packed)

    def needed(self, runs: Iterable[Run]) -> tuple[Pack, ...]:
        """The jobs of a study that needs these runs now."""
        return *self.packs.values(), *(self.later[run] for run in runs if run in self.later)

    @property
    def possible(self) -> tuple[Pack, ...]:
        """The jobs, also those that may follow from a choice that is not made yet."""
        return *self.packs.values(), *self.later.values()

    @cached_property
    def groups(self) -> list[PackGroup]:
        """The training rules that the jobs need, also those that may follow from a choice."""
        packs, later = tuple(self.packs.values()), tuple(self.later.values())
        return [*groups_of(packs, self.packed, self.later), *groups_of(later, [])]

    def find(self, wildcards: Mapping[str, str]) -> Pack:
        """The job with these values of the unpacked fields.

        Raises:
            GtaError: there is none.
        """
        if self.later and wildcards.keys() >= set(RUN_FIELDS):
            name = "/".join(f"{field}={wildcards[field]}" for field in RUN_FIELDS)
            if (run := Run.parse(name)) in self.later:
                return self.later[run]
        fields = [field for field in RUN_FIELDS if field not in self.packed]
        if not wildcards.keys() >= set(fields):
            raise GtaError(f"a job is named by {', '.join(fields)}")
        key = tuple((field, wildcards[field]) for field in fields)
        if key not in self.packs:
            raise GtaError(f"there is no job for {pack_name(key)}")
        return self.packs[key]

    def name_of(self, run: Run) -> str:
        """Name of the job of a run."""
        return run.name if run in self.later else pack_name(pack_key(run, self.packed))
