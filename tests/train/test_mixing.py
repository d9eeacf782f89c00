"""NoMix and TransMix against the formulas written out pixel by pixel and image by image."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from timm.data import mixup as timm_mixup
from torch import Tensor, nn
from torch.nn import functional as F

from gta import catalog
from gta.errors import GtaError
from gta.methods.readings import Readings
from gta.models.taps import Taps
from gta.train.mixing import MIXES, Box, Mixed, MixupCutmix, NoMix, TransMix

SIZE, SIDE, BATCH, CLASSES = 32, 4, 6, 5
ALWAYS_BOX, NEVER_BOX = TransMix(switch_prob=1.0), TransMix(switch_prob=0.0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(BATCH, 3, SIZE, SIZE)


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 4, 0])


def attended(seed: int = 0) -> tuple[Readings, Tensor]:
    """Attention (B, heads, N) of a last block that also looks at [cls], and its readings."""
    torch.manual_seed(seed)
    attention = torch.randn(BATCH, 3, 1 + SIDE**2).mul(2).softmax(-1)[..., 1:].requires_grad_()
    return Readings(cls_attention=torch.stack([torch.rand_like(attention), attention])), attention


def naive_targets(mixed: Mixed, attention: Tensor, smoothing: float = 0.0) -> Tensor:
    """Each image's target: y1 (1 - lam) + y2 lam, lam the mean of area and attention share."""
    off = smoothing / CLASSES
    targets = torch.full((BATCH, CLASSES), 0.0)
    patch = SIZE // SIDE
    for i in range(BATCH):
        lam = mixed.share
        if mixed.box is not None:
            mask = torch.zeros(SIZE, SIZE)
            mask[mixed.box.top : mixed.box.bottom, mixed.box.left : mixed.box.right] = 1
            area = mask.sum().item() / SIZE**2
            small = nn.Upsample(size=SIDE)(mask[None, None])[0, 0]
            inside = outside = 0.0
            for row in range(SIDE):
                for column in range(SIDE):
                    assert small[row, column] == mask[row * patch, column * patch]
                    weight = 0.0
                    for head in range(3):
                        weight += attention[i, head, row * SIDE + column].item() / 3
                    if small[row, column]:
                        inside += weight
                    else:
                        outside += weight
            lam = (area + inside / (inside + outside)) / 2
        for label, weight in ((mixed.labels[i], 1 - lam), (mixed.partners[i], lam)):
            y = torch.full((CLASSES,), off)
            y[label] = 1 - smoothing + off
            targets[i] += weight * y
    return targets


def naive_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(-1)).sum(-1).mean()


@pytest.mark.parametrize("seed", range(5))
def test_a_box_is_pasted_from_the_flipped_batch(images, labels, seed):
    original = images.clone()
    mixed = ALWAYS_BOX(images, labels, seeded(seed))
    assert torch.equal(images, original)
    box = mixed.box
    assert box is not None
    for i in range(BATCH):
        for row in range(SIZE):
            for column in range(SIZE):
                inside = box.top <= row < box.bottom and box.left <= column < box.right
                source = images[BATCH - 1 - i] if inside else images[i]
                assert torch.equal(mixed.images[i, :, row, column], source[:, row, column])
    assert mixed.share == (box.bottom - box.top) * (box.right - box.left) / SIZE**2
    assert mixed.labels.tolist() == [0, 1, 2, 3, 4, 0]
    assert mixed.partners.tolist() == [0, 4, 3, 2, 1, 0]


def test_mixup_blends_with_the_flipped_batch(images, labels):
    mixed = NEVER_BOX(images, labels, seeded(1))
    assert mixed.box is None
    assert 0 < mixed.share < 1
    for i in range(BATCH):
        blend = (1 - mixed.share) * images[i] + mixed.share * images[BATCH - 1 - i]
        torch.testing.assert_close(mixed.images[i], blend)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mix", [ALWAYS_BOX, NEVER_BOX])
@pytest.mark.parametrize("seed", range(4))
def test_targets_and_loss(images, labels, mix, seed, smoothing):
    mixed = mix(images, labels, seeded(seed))
    readings, attention = attended(seed)
    targets = mix.targets(mixed, CLASSES, readings)
    torch.testing.assert_close(targets, naive_targets(mixed, attention))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(BATCH))

    logits = torch.randn(BATCH, CLASSES, requires_grad=True)
    loss = mix.cross_entropy(logits, mixed, readings, label_smoothing=smoothing)
    expected = naive_loss(logits, naive_targets(mixed, attention, smoothing))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits)
    )


@pytest.mark.parametrize(
    ("box", "share"),
    [
        (Box(0, 0, 0, 0), 0.0),  # no patch, no area
        (Box(0, SIZE, 0, SIZE), 1.0),
        (Box(0, SIZE, 0, SIZE // 2), 0.5),
        (Box(1, 8, 1, 8), 49 / SIZE**2 / 2),  # no patch begins in it: attention share 0
    ],
)
def test_share_of_chosen_boxes_under_even_attention(images, labels, box, share):
    area = (box.bottom - box.top) * (box.right - box.left) / SIZE**2
    mixed = Mixed(images, labels, labels.flip(0), area, box)
    even = Readings(cls_attention=torch.full((1, BATCH, 3, SIDE**2), 1 / (1 + SIDE**2)))
    targets = TransMix().targets(mixed, CLASSES, even)
    assert targets[1, 4].item() == pytest.approx(share)
    assert targets[1, 1].item() == pytest.approx(1 - share)


def test_labels_are_constants(images, labels):
    mixed = ALWAYS_BOX(images, labels, seeded(0))
    readings, _ = attended()
    assert readings.cls_attention is not None
    assert readings.cls_attention.requires_grad
    assert not ALWAYS_BOX.targets(mixed, CLASSES, readings).requires_grad


def test_attention_is_read_from_the_models_own_pass_on_the_mixed_images(images, labels):
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    model: Any = VisionTransformer(
        img_size=SIZE, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=CLASSES
    )
    nn.init.normal_(model.blocks[1].attn.qkv.weight)
    mixed = ALWAYS_BOX(images, labels, seeded(3))
    assert TransMix.taps is not None
    with Taps(model, TransMix.taps) as taps:
        logits = model(mixed.images)
        loss = ALWAYS_BOX.cross_entropy(logits, mixed, taps.take())

    last, seen = model.blocks[1].attn, []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(mixed.images)
    q, k, _ = last.qkv(seen[0]).reshape(BATCH, SIDE**2 + 1, 3, 3, 4).permute(2, 0, 3, 1, 4)
    attention = (q @ k.transpose(-2, -1) / 2).softmax(-1)[:, :, 0, 1:]
    torch.testing.assert_close(loss, naive_loss(logits, naive_targets(mixed, attention)))


def test_draws_depend_on_the_generator_alone(images, labels):
    mix = TransMix()
    generator = seeded(7)
    mix(images, labels, generator)
    state = generator.get_state()
    torch.manual_seed(1)
    there = [mix(images, labels, generator) for _ in range(8)]
    generator.set_state(state)
    torch.manual_seed(2)
    again = [mix(images, labels, generator) for _ in range(8)]
    for a, b in zip(there, again, strict=True):
        assert a.share == b.share
        assert a.box == b.box
        assert torch.equal(a.images, b.images)
    assert len({a.share for a in there}) == 8


def test_draws_follow_their_distributions(labels):
    batch, generator = torch.zeros(2, 1, 100, 100), seeded(0)
    drawn = [TransMix()(batch, labels[:2], generator) for _ in range(2000)]
    boxed = [mixed.box for mixed in drawn if mixed.box is not None]
    assert 0.46 < len(boxed) / len(drawn) < 0.54
    blends = torch.tensor([mixed.share for mixed in drawn if mixed.box is None])
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 * 2.6).
    assert blends.mean().item() == pytest.approx(0.5, abs=0.04)
    assert blends.var().item() == pytest.approx(1 / 10.4, abs=0.01)
    assert all(0 <= b.top <= b.bottom <= 100 and 0 <= b.left <= b.right <= 100 for b in boxed)
    # Where a box is cut off at the border its area shrinks; a whole one has the area drawn.
    whole = [b for b in boxed if b.bottom - b.top == b.right - b.left]
    assert len(whole) > 100
    assert {b.bottom - b.top for b in boxed} >= set(range(10, 61, 2))
    centres = torch.tensor([[b.top + b.bottom, b.left + b.right] for b in boxed]) / 200
    assert ((centres.mean(dim=0) - 0.5).abs() < 0.03).all()


def test_no_mixing_is_plain_cross_entropy(images, labels):
    mix, generator = NoMix(), seeded(0)
    state = generator.get_state()
    mixed = mix(images, labels, generator)
    assert torch.equal(generator.get_state(), state)
    assert mixed.images is images
    assert mix.taps is None
    logits = torch.randn(BATCH, CLASSES)
    for smoothing in (0.0, 0.1):
        y = F.one_hot(labels, CLASSES) * (1 - smoothing) + smoothing / CLASSES
        loss = mix.cross_entropy(logits, mixed, label_smoothing=smoothing)
        torch.testing.assert_close(loss, naive_loss(logits, y))


@pytest.mark.parametrize("mix", [NoMix(), ALWAYS_BOX, NEVER_BOX])
def test_loss_of_half_precision_logits_is_float32(images, labels, mix):
    readings, _ = attended()
    logits = torch.randn(BATCH, CLASSES).bfloat16()
    mixed = mix(images, labels, seeded(0))
    loss = mix.cross_entropy(logits, mixed, readings)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, mix.cross_entropy(logits.float(), mixed, readings))


def test_names_are_those_of_the_catalog():
    assert set(MIXES) == set(catalog.MIXES)
    assert isinstance(MIXES["none"](), NoMix)
    assert MIXES["transmix"]() == TransMix(mixup=0.8, cutmix=1.0, switch_prob=0.5)


def test_an_odd_batch_is_an_error(images, labels):
    with pytest.raises(GtaError, match="batch of 5 images is odd; choose an even batch_size"):
        TransMix()(images[:5], labels[:5], seeded(0))


def test_what_transmix_cannot_do_is_an_error(images, labels):
    boxed = ALWAYS_BOX(images, labels, seeded(0))
    for readings in (None, Readings()):
        with pytest.raises(GtaError, match="needs the readings"):
            ALWAYS_BOX.targets(boxed, CLASSES, readings)
    wide = ALWAYS_BOX(images[..., :16, :], labels, seeded(0))
    with pytest.raises(GtaError, match="must be square, not 16 x 32"):
        ALWAYS_BOX.targets(wide, CLASSES, attended()[0])
    for values in ({"mixup": 0.0}, {"cutmix": -1.0}, {"switch_prob": 1.5}):
        with pytest.raises(GtaError, match=f"mix transmix: .*{next(iter(values))}"):
            TransMix(**values)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"switch_prob": 1.0},
        {"switch_prob": 0.0},
        {"mixup": 0.0},
        {"cutmix": 0.0},
        {"prob": 0.4},
    ],
)
def test_mixup_and_cutmix_are_those_of_timm(images, labels, settings, smoothing, monkeypatch):
    """With timm's draws taken from our generator: equal images and equal losses."""
    mix = MixupCutmix(**settings)
    timms = timm_mixup.Mixup(
        mixup_alpha=mix.mixup,
        cutmix_alpha=mix.cutmix,
        prob=mix.prob,
        switch_prob=mix.switch_prob,
        label_smoothing=smoothing,
        num_classes=CLASSES,
    )
    seen = set()
    for seed in range(20):
        drawn = np.random.default_rng(int(torch.randint(2**62, (), generator=seeded(seed))))
        random = SimpleNamespace(
            rand=drawn.random,
            beta=drawn.beta,
            randint=lambda low, high, size, draw=drawn: draw.integers(low, high, size=size),
        )
        fake = SimpleNamespace(random=random, sqrt=np.sqrt, clip=np.clip)
        monkeypatch.setattr(timm_mixup, "np", fake)
        expected, targets = timms(images.clone(), labels)
        mixed = mix(images, labels, seeded(seed))
        torch.testing.assert_close(mixed.images, expected)
        logits = torch.randn(BATCH, CLASSES, generator=seeded(seed))
        loss = -(targets * logits.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(mix.cross_entropy(logits, mixed, None, smoothing), loss)
        seen.add("cutmix" if mixed.box else "mixup" if mixed.share else "none")
    off = {"none"} if mix.prob < 1 else set()
    both = mix.switch_prob == 0.5 and mix.mixup and mix.cutmix
    assert seen - {"none"} == {"cutmix", "mixup"} if both else len(seen - {"none"}) == 1
    assert off <= seen


def test_a_part_of_a_mixed_batch_has_its_own_labels(images, labels):
    mix = MixupCutmix(switch_prob=0.0)
    mixed = mix(images, labels, seeded(2))
    logits = torch.randn(BATCH, CLASSES)
    parts = [slice(0, 2), slice(2, 6)]
    losses = [mix.cross_entropy(logits[p], mixed.part(p)) * len(logits[p]) for p in parts]
    torch.testing.assert_close(torch.stack(losses).sum() / BATCH, mix.cross_entropy(logits, mixed))
