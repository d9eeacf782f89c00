"""Saliency, SM-ViT's row and saliency-guided tokens against statements written out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from gta.errors import GtaError
from gta.methods import Readings, create
from gta.methods._saliency import boost, patch_saliency, spectral_residual
from gta.methods.saliency_tokens import guided_logits
from gta.models.parts import parts_of
from gta.models.sources import load_backbone
from tests.methods.conftest import PREFIX, small_vit


def by_scipy(grey: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The five lines of Hou and Zhang's paper."""
    spectrum = np.fft.fft2(grey)
    logarithm = np.log(np.abs(spectrum).clip(1e-12))
    residual = logarithm - ndimage.uniform_filter(logarithm, 3, mode="wrap")
    energy = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    energy = ndimage.gaussian_filter(energy, 8.0, radius=2, mode="mirror")
    return (energy - energy.min()) / (energy.max() - energy.min())


def test_the_spectral_residual_as_published():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = np.stack([by_scipy(image.mean(0).double().numpy()) for image in images])
    torch.testing.assert_close(
        spectral_residual(images), torch.from_numpy(expected).float(), atol=1e-4, rtol=0
    )


def test_a_disc_pops_out_of_stripes():
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (y - 20) ** 2 + (x - 40) ** 2 <= 36
    stripes = 0.5 + 0.5 * (math.pi * x / 4).sin()
    image = torch.where(disc, 1.0, stripes)[None, None].expand(1, 3, 64, 64)
    found = spectral_residual(image)[0]
    assert found.min() == 0
    assert found.max() == 1
    assert disc.flatten()[found.argmax()]
    assert found[disc].mean() > 10 * found.mean()
    larger = torch.nn.functional.interpolate(image, 192, mode="nearest")
    by_patch = patch_saliency(larger, (8, 8))[0]
    assert by_patch.argmax().item() in {8 * row + column for row in (1, 2, 3) for column in (4, 5)}
    assert not spectral_residual(torch.full((2, 3, 48, 48), 0.3)).any()


def test_row_of_the_reference():
    row, salient = torch.tensor([1.0, 2, -1, 4]), torch.tensor([True, False, True, False])
    assert boost(row, salient, 0.25).tolist() == [2, 2, 0, 4]
    assert boost(-row - 1, salient, 0.25).tolist() == [-2, -3, 0, -5]  # a largest of zero
    assert boost(-row - 2, salient, 1.0).tolist() == [-4, -4, -2, -6]  # a negative one lowers


def plain_attention(attention: Any, x: Tensor, salient: Tensor | None, share: float) -> Tensor:
    """The module's output with the whole matrix of logits."""
    query, key, value = attention.qkv(x).unflatten(-1, (3, 3, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    logits = attention.q_norm(query) @ attention.k_norm(key).transpose(-2, -1) * attention.scale
    if salient is not None:
        for image, head in torch.cartesian_prod(*map(torch.arange, logits.shape[:2])).tolist():
            row = logits[image, head, 0].clone()
            logits[image, head, 0, salient[image]] += share * row.max()
    return attention.proj((logits.softmax(-1) @ value).transpose(1, 2).flatten(2))


def test_the_cls_row_of_every_block_favours_salient_patches(case):
    model = case.target
    create("salient_cls", share=0.4).prepare(model, 0)
    saliency = patch_saliency(case.images, (2, 2))
    salient = torch.zeros(len(case.images), PREFIX + 4, dtype=torch.bool)
    salient[:, 0] = True
    salient[:, PREFIX:] = saliency > saliency.mean(1, keepdim=True)
    model(case.images)
    x = torch.randn(len(case.images), PREFIX + 4, 12, dtype=torch.float64)
    for block in model.blocks:
        expected = plain_attention(block.attn, x, salient, 0.4)
        torch.testing.assert_close(block.attn(x), expected)
    copy = small_vit(2)
    load_backbone(copy, model.state_dict(), Path("w"))
    assert parts_of(copy) == ["attention to salient patches"]
    copy.load_state_dict(model.state_dict())
    torch.testing.assert_close(copy.double()(case.images), model(case.images))


@pytest.mark.parametrize("name", ["salient_cls", "spatial_prior"])
def test_other_families_are_refused(name):
    model, method = nn.Linear(1, 1), create(name)
    with pytest.raises(GtaError, match=f"{name}: needs a plain ViT, which Linear is not"):
        method.prepare(model, 0)


def test_a_share_of_zero_is_fine_tuning(case):
    before = case.target(case.images)
    create("salient_cls", share=0.0).prepare(case.target, 0)
    torch.testing.assert_close(case.target(case.images), before)


def test_kept_patches_are_added_to_their_embeddings(case):
    model, images = case.target, case.images
    kept = torch.tensor([[2, 0], [1, 3], [0, 1], [3, 2]])
    embedded = model._pos_embed(model.patch_embed(images))
    expected = []
    for x, chosen in zip(embedded, kept.tolist(), strict=True):
        tokens = [*range(PREFIX), *(PREFIX + patch for patch in chosen)]
        seen = model.blocks[0](x[None, tokens])[0]
        last = x.clone()
        last[:PREFIX] = seen[:PREFIX]
        for token, row in zip(tokens[PREFIX:], seen[PREFIX:], strict=True):
            last[token] = x[token] + row
        expected.append(model.forward_head(model.norm(model.blocks[1](last[None]))))
    torch.testing.assert_close(guided_logits(model, images, kept), torch.cat(expected))


@pytest.mark.parametrize("saliency", ["source", "spectral"])
def test_the_most_salient_patches_are_kept_in_a_share_of_the_batches(case, saliency):
    method = create("saliency_tokens", keep=0.5, prob=0.25, saliency=saliency)
    step = case.step(method)
    if saliency == "source":
        map_ = step.source.cls_attention[0].mean(1)
    else:
        assert step.source is None
        map_ = patch_saliency(case.images, (2, 2))
    expected = guided_logits(case.target, case.images, map_.argsort(1, descending=True)[:, :2])
    source = step.source or Readings()
    passes = [method.forward(case.target, case.images, source, seed) for seed in range(80)]
    there = [logits for logits in passes if logits is not None]
    assert 8 <= len(there) <= 32
    torch.testing.assert_close(there[0], expected)
    again = method.forward(case.target, case.images, source, 3)
    assert (again is None) == (passes[3] is None)
