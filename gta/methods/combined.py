"""Combinations of methods: their penalties add up, each with a lambda of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from gta.errors import GtaError
from gta.methods.base import Method
from gta.methods.readings import Readings, TapRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

SIGN = "+"  # between the parts of a combination's name

# What describes a method, or is not for methods to override.
ABOUT = frozenset(
    {
        *("name", "title", "reference", "default_lam", "grid", "order"),
        *("terms", "error", "needed", "require_plain"),
    }
)
# What a combination passes on to its parts. A part that overrides anything else of ``Method`` is
# refused: whoever adds to ``Method`` says here how parts share it.
SHARED = frozenset(
    {
        *("taps", "source_taps", "needs_cls", "penalty", "over", "lam_of"),
        "unlabelled",
        *("weight_decay", "decays", "merge", "init_head"),
    }
)
# What one part alone may override, and what two that do would disagree on.
SINGLE = {
    "trains": "choose which parameters train",
    "prepare": "change the model before training",
    "updating": "correct the weights after each step",
    "forward": "change the forward pass",
}


@dataclass(frozen=True)
class Combined(Method):
    """Several methods at once.

    Minimises the cross entropy plus the penalties of all parts, so that its gradient is the sum of
    theirs. At most one part chooses which parameters train.

    Attributes:
        parts: the methods, with settings.
        lams: a lambda for each part; None where it is the run's.
    """

    parts: tuple[Method, ...] = ()
    lams: tuple[float | None, ...] = ()

    def terms(self, lam: float) -> tuple[tuple[Method, float], ...]:
        """Each part with its lambda."""
        weights = (lam if own is None else own for own in self.lams)
        return tuple(zip(self.parts, weights, strict=True))

    @property
    def taps(self) -> TapRequest | None:
        """Union of the parts' readings of the target."""
        return _union(part.taps for part in self.parts)

    @property
    def source_taps(self) -> TapRequest | None:
        """Union of the parts' readings of the source."""
        return _union(part.source_taps for part in self.parts)

    @property
    def needs_cls(self) -> bool:
        """Whether any part reads [cls]."""
        return any(part.needs_cls for part in self.parts)

    @property
    def unlabelled(self) -> bool:
        """Whether any part trains on images without labels."""
        return any(part.unlabelled for part in self.parts)

    @property
    def weight_decay(self) -> bool:
        """Off where it is off in one of the parts."""
        return all(part.weight_decay for part in self.parts)

    @property
    def lam_of(self) -> str:
        """Unit of the run's lambda."""
        pairs = zip(self.parts, self.lams, strict=True)
        return next((part.lam_of for part, own in pairs if own is None), "")

    def prepare(self, model: nn.Module, seed: int) -> None:
        """As the part that changes the model does."""
        for part in self.parts:
            part.prepare(model, seed)

    def merge(self, model: nn.Module) -> None:
        """As the part that changes the model does."""
        for part in self.parts:
            part.merge(model)

    def trains(self, parameter: str) -> bool:
        """As the part says that chooses; else every parameter."""
        return all(part.trains(parameter) for part in self.parts)

    def decays(self, parameter: str) -> bool:
        """Whether every part allows it."""
        return all(part.decays(parameter) for part in self.parts)

    def penalty(self, step: Any, lam: float) -> dict[str, Tensor]:
        """The penalties of all parts together; training adds them part by part.

        Raises:
            GtaError: always: ``terms`` has the parts, whose penalties add up differently.
        """
        raise self.error("has a penalty for each part")

    def forward(
        self, model: nn.Module, images: Tensor, source: Readings | None, seed: int
    ) -> Tensor | None:
        """As the part does that changes it; ``source`` holds what all parts request."""
        logits = (part.forward(model, images, source, seed) for part in self.parts)
        return next((one for one in logits if one is not None), None)

    def updating(
        self, model: nn.Module, anchors: Mapping[str, Tensor], lam: float
    ) -> AbstractContextManager[None]:
        """As the part that corrects the weights does."""
        return _together([part.updating(model, anchors, own) for part, own in self.terms(lam)])


@contextmanager
def _together(contexts: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def _union(requests: Any) -> TapRequest | None:
    some = [request for request in requests if request is not None]
    return reduce(or_, some) if some else None


def combine(name: str, methods: Mapping[str, type[Method]]) -> type[Combined]:
    """The class of a combination.

    Args:
        name: the parts' names with ``+`` between them, as ``gta+lora``.
        methods: those that may be parts, by name.

    Raises:
        GtaError: a part is unknown, or the parts cannot be combined.
    """
    names = name.split(SIGN)
    for part in names:
        if part not in methods:
            raise GtaError(f"{name}: there is no method {part!r}; known: {', '.join(methods)}")
    if len(set(names)) != len(names):
        raise GtaError(f"{name}: a method is named twice")
    parts = [methods[part] for part in names]
    if fault := _fault(parts):
        raise GtaError(f"{name}: cannot be combined: {fault}")
    first = next((part for part in parts if part.grid), None)
    attributes = {
        "name": name,
        "title": " + ".join(part.title for part in parts),
        "reference": "; ".join(dict.fromkeys(part.reference for part in parts if part.reference)),
        "default_lam": None if first is None else first.default_lam,
        "grid": () if first is None else first.grid,
        "init_head": next((part.init_head for part in parts if part.init_head), None),
        "__doc__": "\n\n".join(f"{part.title}: {part.__doc__ or ''}".strip() for part in parts),
        "__module__": __name__,
    }
    return type("Combined", (Combined,), attributes)


def _fault(parts: Sequence[type[Method]]) -> str | None:
    """Reason why methods cannot be combined; None if they can."""
    changes = {part: _overridden(part) for part in parts}
    for part, changed in changes.items():
        if not changed:
            return f"{part.name} adds nothing to another method"
        if unknown := changed - SHARED - set(SINGLE):
            return f"{part.name} changes {', '.join(sorted(unknown))}, which parts cannot share"
    for what, words in SINGLE.items():
        who = [part.name for part in parts if what in changes[part]]
        if len(who) > 1:
            return f"{who[0]} and {who[1]} both {words}"
    heads = [part.name for part in parts if part.init_head is not None]
    if len(heads) > 1:
        return f"{heads[0]} and {heads[1]} both set the head"
    adding = [part.name for part in parts if "prepare" in changes[part]]
    reading = [part.name for part in parts if part.over == "weights" or "updating" in changes[part]]
    if adding and reading:
        return f"{reading[0]} needs the source's parameters, which {adding[0]} changes"
    passing = [part.name for part in parts if "forward" in changes[part]]
    tapping = [p.name for p in parts if "taps" in changes[p] and p.name not in passing]
    if passing and tapping:
        return f"{tapping[0]} reads all patches, which {passing[0]} leaves out"
    features = [part.name for part in parts if part.over == "features"]
    if len(features) > 1:
        return f"{features[0]} and {features[1]} both need the features of the whole batch"
    return None


def _overridden(method: type[Method]) -> set[str]:
    """Attributes of ``Method`` that a method overrides, except descriptions."""
    return {
        attribute
        for attribute in vars(Method)
        if not attribute.startswith("_")
        and attribute not in ABOUT
        and getattr(method, attribute) is not getattr(Method, attribute)
    }
