"""Averages of models' weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gta.errors import GtaError

Weights = Mapping[str, Tensor]


def interpolate(zero: Weights, one: Weights, alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) zero + alpha one, tensor by tensor: WiSE-FT.

    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, equation 1; mlfoundations/
    wise-ft. Either end is returned as it is, bit for bit.

    Args:
        zero: weights at alpha 0: the source's with the head of its linear probe.
        one: the fine-tuned weights.
        alpha: from 0 to 1.

    Raises:
        GtaError: names or shapes differ.
    """
    _require_alike([zero, one])
    if alpha in (0, 1):
        return dict(one if alpha else zero)
    return {name: torch.lerp(zero[name], one[name], alpha) for name in zero}


def soup(members: Sequence[Weights]) -> dict[str, Tensor]:
    """The mean of several models' weights: a uniform soup.

    Wortsman et al., Model soups, ICML 2022. The models must start from one source and one head:
    heads that were drawn apart have no mean that classifies.

    Raises:
        GtaError: names or shapes differ.
    """
    _require_alike(members)
    return {name: torch.stack([m[name] for m in members]).mean(0) for name in members[0]}


def _require_alike(members: Sequence[Weights]) -> None:
    first = members[0]
    for other in members[1:]:
        differ = {
            name
            for name in first.keys() | other.keys()
            if name not in first or name not in other or first[name].shape != other[name].shape
        }
        if differ:
            raise GtaError(f"weights cannot be averaged: they differ in {min(differ)}")
