"""Attention KL, GTA over all rows and AttnDistill against loops over heads and rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gta.methods import create
from gta.methods.attention_distill import AttentionDistill


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum()


def softmax(row: Tensor) -> Tensor:
    return (row - row.max()).exp() / (row - row.max()).exp().sum()


def row_of(readings: Any, block: int, image: int, head: int, token: int) -> Tensor:
    """Logits of one query over all keys."""
    queries, keys = readings.queries_keys[block]
    return keys[image, head] @ queries[image, head, token] / queries.shape[-1] ** 0.5


def naive(case: Any, rows: str, distance: str, reduction: str, blocks: tuple[int, ...]) -> Tensor:
    target, source = case.everything()
    batch, heads, tokens, _ = target.queries_keys[0][0].shape
    prefix = target.prefix_tokens
    total, count = torch.zeros((), dtype=torch.float64), 0
    for block in blocks:
        for image in range(batch):
            for head in range(heads):
                for token in range(tokens if rows == "all" else 1):
                    t = row_of(target, block, image, head, token)
                    s = row_of(source, block, image, head, token).detach()
                    if distance == "kl":
                        total = total + kl(softmax(s), softmax(t))
                    else:
                        total = total + (t[prefix:] - s[prefix:]).square().sum()
                        count += tokens - prefix
    if distance == "kl":
        return total / (batch * heads * (tokens if rows == "all" else 1))
    return total / (count if reduction == "mean" else batch)


@pytest.mark.parametrize("rows", ["cls", "all"])
@pytest.mark.parametrize(
    ("method", "distance", "reduction"),
    [("attention_kl", "kl", "sum"), ("gta", "l2_logits", "sum"), ("gta", "l2_logits", "mean")],
)
def test_rows_and_distances(case, method, distance, reduction, rows):
    expected = naive(case, rows, distance, reduction, (0, 1))
    guide = create(method, rows=rows, reduction=reduction)
    case.check(guide, 0.3, {method: 0.3 * expected})


def test_one_family(case):
    """GTA with the divergence is attention KL, term for term."""
    guides = create("gta", distance="kl", blocks=[-1]), create("attention_kl", blocks=[1])
    terms = [guide.penalty(case.step(guide), 1.0) for guide in guides]
    assert terms[0]["gta"] == terms[1]["attention_kl"]


def test_attention_distill(case):
    target, source = case.everything()
    batch, heads = target.cls_rows.shape[1:3]
    loss = torch.zeros((), dtype=torch.float64)
    for image in range(batch):
        merged = []
        for readings in (source, target):
            rows = [softmax(readings.cls_rows[-1, image, head]).log() for head in range(heads)]
            weights = softmax(sum(rows, torch.zeros(())) / 3).clamp(1e-5, 0.996)
            merged.append(weights / weights.sum())
        loss = loss + kl(merged[0].detach(), merged[1]) / batch
    features = (target.features - source.features.detach()).square().mean()
    method = create("attention_distill", temperature=3.0, feature=0.2)
    expected = {"attention_distill": 2 * loss, "feature_distill": 0.4 * features}
    case.check(method, 2.0, expected)


def test_merged_heads_are_clamped():
    rows = torch.zeros(1, 1, 4)
    rows[..., 0] = 1000.0
    found = AttentionDistill(temperature=1.0).merged(rows)[0]
    expected = torch.tensor([0.996, 1e-5, 1e-5, 1e-5]) / (0.996 + 3e-5)
    torch.testing.assert_close(found, expected)
