"""The [cls] row and its gradients against the product written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gta.models.cls_row import cls_row

SCALE = 0.25


def plain(query: Tensor, keys: Tensor) -> Tensor:
    return torch.einsum("bhqd,bhtd->bht", query * SCALE, keys)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_row_and_gradients(dtype: torch.dtype, autocast: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, 1, 8, generator=generator).to(dtype).requires_grad_()
    keys = torch.randn(2, 3, 5, 8, generator=generator).to(dtype).requires_grad_()
    weights = torch.randn(2, 3, 5, generator=generator)
    wide = torch.promote_types(dtype, torch.float32)
    expected = plain(query.to(wide), keys.to(wide))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        row = cls_row(query, keys, SCALE)
    assert row.dtype == wide
    torch.testing.assert_close(row, expected)
    wanted = torch.autograd.grad((expected * weights).sum(), (query, keys))
    found = torch.autograd.grad((row * weights).sum(), (query, keys))
    # the same sums, rounded to the inputs' type once
    torch.testing.assert_close(found, wanted)


def test_nothing_in_float32_is_kept_for_the_gradient() -> None:
    query = torch.randn(2, 3, 1, 8).bfloat16().requires_grad_()
    keys = torch.randn(2, 3, 5, 8).bfloat16().requires_grad_()
    kept: list[torch.dtype] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.dtype)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        cls_row(query, keys, SCALE)
    assert set(kept) == {torch.bfloat16}
