"""BSS against the formula of thuml/Transfer-Learning-Library, written out."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.methods import Step, create
from gta.methods.readings import Readings
from tests.methods.conftest import BATCH


def naive(features, k):
    """Squares of the last k singular values, as full SVDs order them."""
    _, values, _ = torch.linalg.svd(features.T, full_matrices=False)
    total = torch.zeros((), dtype=features.dtype)
    for i in range(k):
        total = total + values[len(values) - 1 - i] ** 2
    return total


@pytest.mark.parametrize("k", [1, 3, BATCH])
def test_smallest_singular_values(case, k):
    target, _ = case.everything()
    expected = 0.001 * naive(target.features, k)
    case.check(create("bss", k=k), 0.001, {"bss": expected})


def test_one_singular_value_is_the_default(case):
    target, _ = case.everything()
    case.check(create("bss"), 1.0, {"bss": naive(target.features, 1)})


def test_gradient_is_finite_where_features_are_rank_deficient(case):
    features = torch.randn(6, 8).repeat(2, 1).requires_grad_()
    terms = create("bss", k=8).penalty(
        Step(case.target, Readings(features=features), None, {}), 1.0
    )
    torch.testing.assert_close(terms["bss"], features.square().sum().detach())
    terms["bss"].backward()
    torch.testing.assert_close(features.grad, 2 * features.detach())


def test_the_smallest_value_is_found_beside_large_ones_in_float32(case):
    rotation, _ = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))
    values = torch.tensor([1000.0, 300, 200, 100, 50, 20, 10, 0.5], dtype=torch.float64)
    features = (torch.diag(values) @ rotation).float()
    terms = create("bss").penalty(Step(case.target, Readings(features=features), None, {}), 1.0)
    assert terms["bss"].item() == pytest.approx(0.25, rel=1e-2)


def test_half_precision_features_are_decomposed_in_float32(case):
    features = torch.randn(6, 8).bfloat16()
    step = Step(case.target, Readings(features=features), None, {})
    with torch.autocast("cpu", torch.bfloat16):
        penalty = create("bss").penalty(step, 1.0)["bss"]
    torch.testing.assert_close(penalty, naive(features.float(), 1))


def test_everything_trains_and_the_source_is_not_read(case, trained):
    method = create("bss")
    assert trained(method) == {name for name, _ in case.target.named_parameters()}
    assert method.source_taps is None
    assert method.weight_decay


def test_more_values_than_the_features_have_is_an_error(case):
    method = create("bss", k=BATCH + 1)
    with pytest.raises(GtaError, match="bss: k is 5, but the features have 4 singular values"):
        method.penalty(case.step(method), 1.0)
