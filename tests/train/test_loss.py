"""The loss and its gradients over micro-batches against those of the whole batch at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from gta import methods
from gta.errors import GtaError
from gta.methods.base import Method
from gta.methods.combined import combine
from gta.methods.readings import Readings, TapRequest
from gta.models.taps import Taps, read_source
from gta.train.loss import Objective, features_of
from gta.train.microbatch import DropPaths, micro_batches
from gta.train.mixing import Mix, NoMix, TransMix

BATCH, CLASSES, SEED = 7 * 2, 5, 3
PLAIN = torch.amp.GradScaler("cpu", enabled=False)
MIXES: dict[str, Mix] = {
    "none": NoMix(),
    "box": TransMix(switch_prob=1.0),
    "blend": TransMix(switch_prob=0.0),
}


def vit(seed: int, **how: Any) -> Any:
    torch.manual_seed(seed)
    model = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=3, num_classes=CLASSES, **how
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double()


class Case:
    """A target with stochastic depth, its source, and a mixed batch, in float64."""

    def __init__(self, method: Method, mix: Mix = MIXES["none"]) -> None:
        self.method, self.source = method, vit(2)
        self.model = vit(1, drop_path_rate=0.5).train()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(method.trains(name))
        self.paths = DropPaths(self.model)
        request = (method.taps or TapRequest()) | (mix.taps or TapRequest())
        self.taps = Taps(self.model, request)
        generator = torch.Generator().manual_seed(SEED)
        images = torch.randn(BATCH, 3, 16, 16, dtype=torch.float64, generator=generator)
        labels = torch.randint(CLASSES, (BATCH,), generator=generator)
        self.mixed = mix(images, labels, generator)
        self.anchors = {name: value.detach() for name, value in self.source.named_parameters()}
        self.objective = Objective(mix, 0.1, method, 0.7)
        self.autocast: Any = nullcontext()

    def forward(self, part: slice) -> tuple[Tensor, Readings]:
        self.paths.choose(part)
        with self.autocast, self.taps:
            return self.model(self.mixed.images[part]), self.taps.take()

    def step(self, target: Readings, source: Readings | None = None) -> methods.Step:
        return methods.Step(self.model, target, source, self.anchors)

    def added(self, most: int, scaler: Any = PLAIN) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The sums of terms and gradients over micro-batches of ``most`` images."""
        self.model.zero_grad()
        self.paths.draw(BATCH, torch.device("cpu"), SEED)
        parts = micro_batches(BATCH, most)
        ahead = None
        if self.objective.needs_features and len(parts) > 1:
            with torch.no_grad():
                features = torch.cat([features_of(self.forward(part)[1]) for part in parts])
            ahead = self.objective.penalty_of_features(features, self.step(Readings()))
        sums: dict[str, Tensor] = {}
        for part in parts:
            source = None
            if self.method.source_taps is not None:
                with self.autocast:
                    source = read_source(
                        self.source, self.mixed.images[part], self.method.source_taps
                    )
            logits, target = self.forward(part)
            step = self.step(target, source)
            loss = self.objective.loss(logits, self.mixed, part, step, ahead)
            scaler.scale(loss.total).backward()
            for name, term in loss.terms.items():
                sums[name] = sums.get(name, torch.zeros(())) + term.detach()
        named = self.model.named_parameters()
        return sums, {name: p.grad.clone() for name, p in named if p.grad is not None}


# masking_consistency reads other images than the batch's: its own test takes them one by one.
LABELLED = [name for name in methods.METHODS if not methods.create(name).unlabelled]


def every_method() -> Iterator[Method]:
    for name in LABELLED:
        yield methods.create(name)
    yield methods.create("gta", reduction="mean", blocks=[1])
    yield methods.create("msa_guide", reduction="mean", tokens="patches")
    yield methods.create("bss", k=3)
    yield combined("gta+l2_sp+bss")


def combined(name: str) -> Method:
    """A combination whose first part takes the run's lambda, the others half of it."""
    first_block = methods.create("gta", blocks=[0])  # which other parts do not read
    parts = tuple(
        first_block if part == "gta1" else methods.create(part) for part in name.split("+")
    )
    name = name.replace("gta1", "gta")
    return combine(name, methods.METHODS)(parts, (None, *[0.35] * (len(parts) - 1)))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("method", list(every_method()), ids=str)
def test_micro_batches_add_up_to_the_batch(method, mix):
    """Every method and mix, with stochastic depth, in parts that divide the batch and do not."""
    case = Case(method, MIXES[mix])
    whole, expected = case.added(BATCH)
    assert expected.keys() == {
        name for name, _ in case.model.named_parameters() if method.trains(name)
    }
    for most in (5, 7, 1):
        together, found = case.added(most)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(together, whole)


@pytest.mark.parametrize("most", [BATCH, 5])
@pytest.mark.parametrize(
    "name",
    [
        "gta+spatial_entropy",
        "gta+l2_sp",
        "bss+gta",
        "attention_only+gta",
        "gta+lp_ft",
        "gta1+spatial_entropy",
    ],
)
def test_the_gradient_of_a_combination_is_the_sum_of_its_parts(name, most):
    method = combined(name)
    _, found = Case(method).added(most)
    _, plain = Case(methods.create("finetune")).added(BATCH)
    total = {parameter: plain[parameter].clone() for parameter in found}
    for part, lam in method.terms(0.7):
        case = Case(part)
        case.objective = Objective(MIXES["none"], 0.1, part, lam)
        _, own = case.added(BATCH)
        for parameter in total:
            total[parameter] += own.get(parameter, plain[parameter]) - plain[parameter]
    torch.testing.assert_close(found, total)


def test_the_batch_at_once_is_the_plain_loss():
    """Cross entropy and penalty by the parts' own functions, one backward pass, bit for bit."""
    method, mix = methods.create("gta"), MIXES["box"]
    case = Case(method, mix)
    terms, found = case.added(BATCH)
    case.model.zero_grad()
    case.paths.draw(BATCH, torch.device("cpu"), SEED)
    logits, target = case.forward(slice(0, BATCH))
    assert method.source_taps is not None
    source = read_source(case.source, case.mixed.images, method.source_taps)
    cross_entropy = mix.cross_entropy(logits, case.mixed, target, 0.1)
    (penalty,) = method.penalty(methods.Step(case.model, target, source, {}), 0.7).values()
    torch.stack([cross_entropy, penalty]).sum().backward()
    assert torch.equal(terms["cross_entropy"], cross_entropy)
    assert torch.equal(terms["gta"], penalty)
    for name, parameter in case.model.named_parameters():
        assert torch.equal(parameter.grad, found[name]), name


def test_a_scaled_loss_gives_scaled_gradients():
    for name in ("bss", "gta", "l2_sp"):
        case = Case(methods.create(name))
        _, expected = case.added(BATCH)
        _, found = case.added(5, torch.amp.GradScaler("cpu", init_scale=1024.0))
        unscaled = {key: gradient / 1024 for key, gradient in found.items()}
        torch.testing.assert_close(unscaled, expected)


@pytest.mark.parametrize("most", [BATCH, 5])
@pytest.mark.parametrize("method", LABELLED)
def test_terms_are_of_full_precision_under_autocast(method, most):
    case = Case(methods.create(method))
    _, exact = case.added(BATCH)
    case.model.float()
    case.source.float()
    case.mixed = case.mixed.part(slice(None))
    object.__setattr__(case.mixed, "images", case.mixed.images.float())
    case.autocast = torch.autocast("cpu", torch.bfloat16)
    assert case.forward(slice(0, 1))[0].dtype == torch.bfloat16
    terms, found = case.added(most)
    for name, term in terms.items():
        assert term.dtype in (torch.float32, torch.float64), name
    gap, norm = (
        sum(float(value.double().square().sum()) for value in values) ** 0.5
        for values in ([found[n] - exact[n] for n in exact], exact.values())
    )
    assert gap < 0.1 * norm


def test_a_method_over_features_must_read_them():
    case = Case(methods.create("bss"))
    case.taps = Taps(case.model, TapRequest(cls_logits="all"))
    with pytest.raises(GtaError, match="must request them in its method's taps"):
        case.added(5)
