"""Selective projection decay against its rule written out with numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gta.methods import create

CASES = {
    # w0 = (1, 1), lam = 0.5: w, gradient, w' after the step, expected
    "drifts against its gradient": ([4, 5], [1, 1], [7, 9], [5.5, 7]),  # 5 to 10: half of 1/2
    "gradient leads away": ([4, 5], [-1, -1], [7, 9], [7, 9]),
    "comes nearer": ([7, 9], [1, 1], [4, 5], [4, 5]),
    "starts at the source": ([1, 1], [1, 1], [4, 5], [4, 5]),
    "does not move from it": ([1, 1], [1, 1], [1, 1], [1, 1]),
}


@pytest.mark.parametrize(("before", "gradient", "after", "expected"), CASES.values(), ids=CASES)
def test_the_rule(before, gradient, after, expected):
    model = nn.ParameterDict({"w": torch.tensor(before, dtype=torch.float64)})
    model["w"].grad = torch.tensor(gradient, dtype=torch.float64)
    anchors = {"w": torch.ones(2, dtype=torch.float64)}
    with create("spd").updating(model, anchors, 0.5):
        model["w"].data = torch.tensor(after, dtype=torch.float64)
    assert model["w"].tolist() == expected
