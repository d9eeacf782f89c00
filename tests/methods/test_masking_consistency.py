"""Masking consistency: the reference's views, masked passes, and the penalty image by image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from gta.errors import GtaError
from gta.methods import TapRequest, create
from gta.methods.masking_consistency import cls_attention, masked_logits, masked_views
from gta.models.taps import read_source


def test_views_of_the_reference():
    attention = torch.sin(1.7 * torch.arange(16.0))[None]
    found = [view[0].tolist() for view in masked_views(attention, 2, 0.25)]
    assert found == [[12, 8, 4, 15], [1, 5, 9, 0]]


@pytest.mark.parametrize("views", [1, 2, 3, 4])
def test_views_are_disjoint(views):
    attention = torch.rand(3, 29)
    for patches in torch.cat(masked_views(attention, views, 0.25), 1):
        assert len({*patches.tolist()}) == 7 * views


def test_all_patches_in_any_order_are_the_plain_pass(case):
    kept = torch.stack([torch.randperm(4) for _ in case.images])
    torch.testing.assert_close(
        masked_logits(case.target, case.images, kept), case.target(case.images)
    )
    readings = read_source(case.target, case.images, TapRequest(cls_attention=(-1,)))
    assert readings.cls_attention is not None
    found = cls_attention(case.target, case.images)
    torch.testing.assert_close(found, readings.cls_attention[0].mean(1))


@pytest.mark.parametrize("confidence", [0.0, 0.3, 1.0])
def test_the_penalty_image_by_image(case, confidence):
    method = create("masking_consistency", confidence=confidence, start=0.5)
    model, plain = case.target, torch.randn(16, 3, 16, 16, dtype=torch.float64)
    augmented = plain + 0.5 * torch.randn_like(plain)
    step = replace(case.step(method), unlabelled=(plain, augmented), progress=0.5)
    views = masked_views(cls_attention(model, augmented), 2, 0.25)
    total, counts = torch.zeros((), dtype=torch.float64), [0, 0]
    for i in range(len(plain)):
        softmax = model(plain[i : i + 1]).softmax(1)[0]
        wanted = int(softmax.argmax())
        logits = [masked_logits(model, augmented[i : i + 1], v[i : i + 1])[0] for v in views]
        right = [z for z in logits if int(z.argmax()) == wanted]
        sure = softmax.max().item() > confidence
        if len(right) == 2 or (right and sure):
            smooth = torch.full((5,), 0.1 / 5, dtype=torch.float64)
            smooth[wanted] += 0.9
            total = total - (smooth * right[-1].log_softmax(0)).sum()
            counts[0] += 1
        counts[1] += bool(right) or sure
    assert 0 < counts[0] <= counts[1] <= len(plain)
    expected = 0.7 * total / len(plain)
    found = method.penalty(step, 0.7)["masking_consistency"]
    torch.testing.assert_close(found, expected)
    parameters: list[Any] = list(model.parameters())
    mine, naive = (torch.autograd.grad(y, parameters, allow_unused=True) for y in (found, expected))
    for actual, reference in zip(mine, naive, strict=True):
        torch.testing.assert_close(actual, reference)
    early = method.penalty(replace(step, progress=0.4), 0.7)["masking_consistency"]
    assert early.item() == 0


def test_views_that_overlap_are_refused():
    with pytest.raises(GtaError, match=r"5 views of 0\.25 of the patches overlap"):
        create("masking_consistency", views=5)
