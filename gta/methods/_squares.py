"""Squared distances of many tensors at once, with the gradient in closed form (imports torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gta.methods.base import full_precision


def half_squared_distance(weights: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
    """Half the sum of squared differences of tensors; its gradient by ``weights`` is w - w0.

    Args:
        weights: any number of tensors.
        anchors: as many, of the same shapes, constants; none for zeros.

    Returns:
        A scalar in at least float32.
    """
    result: Tensor = _HalfSquaredDistance.apply(len(weights), *weights, *anchors)
    return result


class _HalfSquaredDistance(torch.autograd.Function):
    """A few kernels over all tensors, in place of four nodes of a graph for each of them."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> Tensor:
        weights = [full_precision(tensor.detach()) for tensor in tensors[:count]]
        anchors = [full_precision(tensor.detach()) for tensor in tensors[count:]]
        differences = torch._foreach_sub(weights, anchors) if anchors else weights
        ctx.save_for_backward(*differences)
        ctx.anchors = len(anchors)
        ctx.dtypes = [tensor.dtype for tensor in tensors[:count]]
        return torch.stack([part.square().sum() for part in differences]).sum() / 2

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (output,) = outputs
        gradients = torch._foreach_mul(list(ctx.saved_tensors), output)
        cast = (part.to(dtype) for part, dtype in zip(gradients, ctx.dtypes, strict=True))
        return (None, *cast, *[None] * ctx.anchors)
