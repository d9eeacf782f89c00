"""A target, its source and a batch for the penalties; small, random, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from gta.methods import Method, Step
from gta.methods.readings import Readings, TapRequest
from gta.models.taps import Taps, read_source

BATCH, DEPTH, HEADS, WIDTH, PREFIX = 4, 2, 3, 12, 3


def small_vit(seed: int) -> Any:
    torch.manual_seed(seed)
    model = VisionTransformer(
        img_size=16,
        patch_size=8,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        num_classes=5,
        qk_norm=True,
        init_values=0.5,
        reg_tokens=PREFIX - 1,
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.double()


@dataclass
class Case:
    """One training step, made twice over: with a method's taps, and in full."""

    target: Any
    source: Any
    images: Tensor

    def step(self, method: Method) -> Step:
        """The step as a training loop makes it."""
        source = (
            read_source(self.source, self.images, method.source_taps)
            if method.source_taps
            else None
        )
        weights = {name: p.detach() for name, p in self.source.named_parameters()}
        return Step(self.target, self._tapped(self.target, method.taps), source, weights)

    def everything(self) -> tuple[Any, Any]:
        """All readings of target and source, both with their graphs."""
        request = TapRequest("all", "all", "all", "all", "all", "all", features=True)
        return self._tapped(self.target, request), self._tapped(self.source, request)

    def _tapped(self, model: Any, request: TapRequest | None) -> Readings:
        with Taps(model, request or TapRequest()) as taps:
            model(self.images)
            return taps.take()

    def check(self, method: Method, lam: float, expected: dict[str, Tensor]) -> None:
        """The method's terms are ``expected`` in value and gradient, and leave the source alone."""
        step = self.step(method)
        terms = method.penalty(step, lam)
        assert terms.keys() == expected.keys()
        parameters = list(self.target.parameters())
        for name, term in terms.items():
            assert term.shape == ()
            assert term > 0
            torch.testing.assert_close(term, expected[name].detach())
            gradient, reference = (
                torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
                for value in (term, expected[name])
            )
            assert any(part is not None and part.any() for part in gradient)
            for actual, wanted, parameter in zip(gradient, reference, parameters, strict=True):
                zero = torch.zeros_like(parameter)
                torch.testing.assert_close(
                    zero if actual is None else actual, zero if wanted is None else wanted
                )
        sum(terms.values(), torch.zeros(())).backward()
        assert all(parameter.grad is None for parameter in self.source.parameters())


@pytest.fixture
def case() -> Case:
    return Case(small_vit(1), small_vit(2), torch.randn(BATCH, 3, 16, 16, dtype=torch.float64))


@pytest.fixture
def trained(case: Case) -> Callable[[Method], set[str]]:
    """Names of the parameters that a method trains."""

    def names(method: Method) -> set[str]:
        return {name for name, _ in case.target.named_parameters() if method.trains(name)}

    return names
