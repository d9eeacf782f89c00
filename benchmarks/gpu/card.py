"""The card's own ceilings, measured, and the speed of what is no training job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.scale import Scale, content, noise
from gta.attention import View, grid_of, measure_masks, objects_of
from gta.catalog import PROTOCOLS
from gta.models.vit import create
from gta.study import Study


def wait(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str, repeats: int) -> float:
    """Mean seconds of ``work``, after three times that are not counted."""
    for _ in range(3):
        work()
    wait(device)
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    wait(device)
    return (time.perf_counter() - begin) / repeats


def peaks(scale: Scale, device: str) -> dict[str, float]:
    """TFLOP/s of a product of random bfloat16 matrices, TB/s of a copy (read and written)."""
    side = scale.product
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    product = seconds_of(lambda: a @ b, device, 20)
    source = torch.empty(side * side * 16, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = seconds_of(lambda: target.copy_(source), device, 20)
    return {
        "bfloat16_product_tflops": 2 * side**3 / product / 1e12,
        "copy_tb_per_second": 2 * source.numel() / copy / 1e12,
    }


def measure_segmentation(scale: Scale, device: str) -> dict[str, Any]:
    """Time masks from attention, with two protocols, of images that are cut to size already."""
    recipe = Study(content(scale, "masks")).config.recipe
    model = create(recipe.architecture, recipe.image_size, num_classes=0).to(device).eval()
    grid, count = grid_of(model), scale.mask_views
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.random((count, scale.side, scale.side)) < 0.3)
    view = View(noise(scale, count), objects_of(masks, grid))
    protocols = [PROTOCOLS["sar"], PROTOCOLS["ipvit"]]

    def work() -> None:
        measure_masks(model, view.batches(recipe, min(256, count), torch.device(device)), protocols)

    work()
    wait(device)
    begin = time.perf_counter()
    work()
    wait(device)
    return {"images_per_second": count / (time.perf_counter() - begin)}
