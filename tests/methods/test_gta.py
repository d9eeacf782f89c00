"""GTA against equation 5 written out."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.methods import Step, create
from gta.methods.readings import Readings, TapRequest
from gta.models.taps import read_source
from gta.models.vit import create as create_vit


def equation_5(target, source, *, blocks, divide):
    """Sum over blocks and heads of ||source row - target row||^2, mean over the batch."""
    batch = target.cls_logits.shape[1]
    total, count = torch.zeros((), dtype=torch.float64), 0
    for image in range(batch):
        for block in blocks:
            for head in range(target.cls_logits.shape[2]):
                a = source.cls_logits[block, image, head].detach()
                b = target.cls_logits[block, image, head]
                for n in range(len(a)):
                    total = total + (a[n] - b[n]) ** 2
                    count += 1
    return total / (count if divide else batch)


@pytest.mark.parametrize("lam", [0.1, 10.0])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_equation_5(case, reduction, lam):
    naive = equation_5(*case.everything(), blocks=(0, 1), divide=reduction == "mean")
    case.check(create("gta", reduction=reduction), lam, {"gta": lam * naive})


def test_lambda_of_a_sum_is_that_of_a_mean_over_14112_logits():
    """ViT-S/16 at 224 pixels, on which config/paper.yaml and paper-sum.yaml build."""
    source, target = (create_vit("vit_small_patch16_224", 224, 2).eval() for _ in range(2))
    images = torch.zeros(1, 3, 224, 224)
    mean, total = create("gta", reduction="mean"), create("gta", reduction="sum")
    request = TapRequest(cls_logits="all")
    of_target, of_source = (read_source(model, images, request) for model in (target, source))
    assert of_target.cls_logits is not None
    assert of_target.cls_logits.numel() == 12 * 6 * 196 == 14112
    step = Step(target, of_target, of_source, {})
    weak, strong = mean.penalty(step, 14112.0)["gta"], total.penalty(step, 1.0)["gta"]
    assert weak.item() == pytest.approx(strong.item(), rel=1e-5)
    assert (mean.lam_of, total.lam_of, create("bss").lam_of) == ("mean", "sum", "")


def test_the_sum_over_all_blocks_is_the_default(case):
    naive = equation_5(*case.everything(), blocks=(0, 1), divide=False)
    case.check(create("gta"), 1.0, {"gta": naive})


def test_chosen_blocks_as_a_config_gives_them(case):
    naive = equation_5(*case.everything(), blocks=(1,), divide=False)
    case.check(create("gta", blocks=[-1]), 1.0, {"gta": naive})


def test_everything_trains_and_both_are_read(case, trained):
    method = create("gta")
    assert trained(method) == {name for name, _ in case.target.named_parameters()}
    assert method.taps == method.source_taps
    assert method.weight_decay


def test_is_zero_where_the_target_is_the_source(case):
    case.target.load_state_dict(case.source.state_dict())
    penalty = create("gta").penalty(case.step(create("gta")), 1.0)["gta"]
    assert abs(penalty.item()) < 1e-24


def test_half_precision_readings_are_compared_in_float32(case):
    target = torch.randn(2, 4, 3, 9).bfloat16()
    source = torch.randn(2, 4, 3, 9).bfloat16()
    step = Step(case.target, Readings(target), Readings(source), {})
    with torch.autocast("cpu", torch.bfloat16):
        penalty = create("gta").penalty(step, 1.0)["gta"]
    assert penalty.dtype == torch.float32
    torch.testing.assert_close(penalty, (target.float() - source.float()).square().sum() / 4)


def test_a_step_without_the_readings_is_an_error(case):
    for step in (
        Step(case.target, Readings(), Readings(), {}),
        Step(case.target, Readings(torch.zeros(1, 1, 1, 1)), None, {}),
    ):
        with pytest.raises(GtaError, match="method gta: the step lacks a reading"):
            create("gta").penalty(step, 1.0)
