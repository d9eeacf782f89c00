"""Spatial entropy against the reference's numbers and a statement with scipy's labelling."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor, nn

from gta.methods import Step, create
from gta.methods.readings import Readings
from gta.methods.spatial_entropy import connected_regions, spatial_entropy

NEIGHBOURS = np.ones((3, 3))


def waves(row: float, column: float) -> Tensor:
    """Logits (2, 3, 14, 14) of the reference run: B images, h heads, i patches, row-major."""
    b, h = torch.arange(2.0)[:, None, None], torch.arange(3.0)[None, :, None]
    i = torch.arange(196.0)
    r, c = i // 14, i % 14
    x = torch.sin(row * r + 0.5 * b) * torch.cos(column * c - 0.3 * h)
    x = x + 0.1 * h * torch.sin(1.7 * i)
    return x.unflatten(-1, (14, 14))


def by_scipy(logits: Tensor) -> Tensor:
    """(B, heads) entropies, one row after the other."""
    found = torch.zeros(logits.shape[:2], dtype=logits.dtype)
    for b, h in np.ndindex(*logits.shape[:2]):
        x = logits[b, h]
        excess = (x - x.mean()).clamp_min(0) + 1e-9
        labels, count = ndimage.label((x > x.mean()).numpy(), NEIGHBOURS)
        sums = [excess[torch.from_numpy(labels == n + 1)].sum() for n in range(count)]
        total = sum(sums)
        found[b, h] = -sum(s / total * (s / total).log() for s in sums)
    return found


@pytest.mark.parametrize(
    ("row", "column", "loss", "gradient"),
    [(0.9, 0.7, 0.1185356, 0.0450257), (1.9, 1.3, 0.02721427, 0.0265724)],
)
def test_numbers_of_the_reference(row: float, column: float, loss: float, gradient: float) -> None:
    x = waves(row, column).requires_grad_()
    found = spatial_entropy(x).mean()
    found.backward()
    assert found.item() == pytest.approx(loss, rel=1e-5)  # printed to seven digits
    assert x.grad is not None
    assert x.grad.norm().item() == pytest.approx(gradient, rel=1e-5)


def test_each_row_of_the_reference() -> None:
    expected = torch.tensor([[0, 0.0214409, 0.0378352], [0, 0, 0.6519375]])
    torch.testing.assert_close(spatial_entropy(waves(0.9, 0.7)), expected, atol=1e-6, rtol=1e-5)


def test_value_and_gradient_of_random_logits() -> None:
    x = torch.randn(3, 2, 9, 6, dtype=torch.float64, requires_grad=True)
    found, expected = spatial_entropy(x), by_scipy(x)
    torch.testing.assert_close(found, expected)
    mine, naive = (torch.autograd.grad(y.sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(mine, naive)


def test_two_equal_blobs_one_region_across_a_corner_and_a_constant_row() -> None:
    x = torch.zeros(3, 6, 6, requires_grad=True)
    with torch.no_grad():
        x[0, :2, :2] = x[0, 4:, 4:] = 1
        x[1, 0, 0] = x[1, 1, 1] = 1
    found = spatial_entropy(x)
    torch.testing.assert_close(found, torch.tensor([math.log(2), 0, 0]), atol=1e-6, rtol=0)
    found[2].backward()
    assert not cast(Tensor, x.grad).any()


def snake(rows: int, columns: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """One region that fills a grid by a path of single patches."""
    mask = np.zeros((rows, columns), bool)
    mask[::2] = True
    for turn, row in enumerate(range(1, rows, 2)):
        mask[row, -1 if turn % 2 == 0 else 0] = True
    return mask


@given(st.integers(1, 17), st.integers(1, 17), st.floats(0.2, 0.8), st.integers(0, 2**32 - 1))
def test_regions_are_those_of_scipy(rows: int, columns: int, share: float, seed: int) -> None:
    random = np.random.default_rng(seed).random((4, rows, columns)) < share
    masks = np.concatenate([random, snake(rows, columns)[None]])
    found = connected_regions(torch.from_numpy(masks)).numpy()
    for mask, labels in zip(masks, found, strict=True):
        expected, count = ndimage.label(mask, NEIGHBOURS)
        pairs = set(zip(expected[mask].tolist(), labels[mask].tolist(), strict=True))
        assert len(pairs) == count == len({label for _, label in pairs})


def test_schedule_and_weight() -> None:
    model = cast(nn.Module, SimpleNamespace(patch_embed=SimpleNamespace(grid_size=(14, 14))))
    readings = Readings(cls_logits=waves(0.9, 0.7).flatten(-2)[None])

    def term(progress: float, **settings: Any) -> float:
        step = Step(model, readings, None, {}, progress=progress)
        return create("spatial_entropy", **settings).penalty(step, 2.0)["spatial_entropy"].item()

    whole = 2 * 0.1185356
    assert term(0.5, schedule="constant") == pytest.approx(whole, rel=1e-5)
    assert [term(p, warmup=0.2) for p in (0, 0.1, 0.2, 0.6)] == pytest.approx(
        [0, whole / 2, whole, whole / 2], rel=1e-5
    )
