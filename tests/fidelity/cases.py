"""The comparisons, our side: what gta makes of the inputs that the reference code was given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from gta.attention import jaccard, kept_patches
from gta.attention.views import view_of
from gta.catalog import PROTOCOLS
from gta.data import store as stores
from gta.methods import Step, create
from gta.methods.readings import Readings, TapRequest
from gta.models.sources import load_backbone
from gta.models.taps import Taps
from gta.models.vit import create as create_vit
from gta.study import Recipe
from gta.train.mixing import Mixed, TransMix
from tests.fidelity import inputs, recorded
from tests.fidelity.recorded import Array

SMALL: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "depth": 3,
    "num_heads": 3,
}
MASSES = (0.5, 0.6, 0.9)
BOXES = 64
Precision = Literal["float32", "float64"]
Result = tuple[list[Array], dict[str, Array]]  # the inputs, and what came of them by output


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        what: it is about, for the page.
        given: its inputs and their precision, for the page.
        run: our side.
        loose: outputs that are held to another relative error than 1e-5.
        deviates: the definitions differ and are kept; the error is their distance.
    """

    what: str
    given: str
    run: Callable[[], Result]
    loose: Mapping[str, float] = field(default_factory=dict)
    deviates: bool = False


def _l2_sp_vit_s() -> Result:
    return _l2_sp(create_vit("vit_small_patch16_224", 224, num_classes=10), "float32")


def _l2_sp_small() -> Result:
    return _l2_sp(VisionTransformer(num_classes=7, **SMALL), "float64")


def _l2_sp(model: Any, precision: Precision) -> Result:
    dtype = getattr(torch, precision)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    target, source = inputs.weights(shapes, 1, 0), inputs.weights(shapes, 1, 1)
    model.to(dtype)
    _fill(model, target)
    start = {name: torch.from_numpy(array).to(dtype) for name, array in source.items()}
    terms = create("l2_sp", head=0.01).penalty(Step(model, Readings(), None, start), lam=0.01)
    sum(terms.values(), torch.zeros(())).backward()
    return [*target.values(), *source.values()], {
        "backbone": _numbers(terms["l2_sp"]),
        "head": _numbers(terms["l2_head"]),
        "gradient": _gradient(model),
    }


def _bss(batch: int, k: int, precision: Precision, seed: int) -> Result:
    given = inputs.features(batch, 384, 2, seed)
    features = torch.from_numpy(given).to(getattr(torch, precision)).requires_grad_()
    step = Step(nn.Identity(), Readings(features=features), None, {})
    value = create("bss", k=k).penalty(step, lam=0.001)["bss"]
    (gradient,) = torch.autograd.grad(value, features)
    return [given], {"value": _numbers(value), "gradient": _numbers(gradient)}


def _attention_only_vit() -> Result:
    model = create_vit("vit_small_patch16_224", 224, num_classes=10)
    return _trained(np.array(sorted(name for name, _ in model.named_parameters())))


def _attention_only_layer_scale() -> Result:
    return _trained(recorded.values("attention_only, layer scale")["names"][0])


def _trained(names: Array) -> Result:
    method = create("attention_only")
    trained = np.array([method.trains(str(name)) for name in names])
    return [names], {"names": names, "trained": trained}


def _attention(precision: Precision) -> Result:
    model, drawn, images = _small_vit(3, 4, classes=0)
    model, images = model.to(getattr(torch, precision)), images.to(getattr(torch, precision))
    with Taps(model, TapRequest(cls_attention=(-1,))) as taps:
        model(images)
        attention = taps.take().cls_attention
    assert attention is not None
    return _with_cotangent(model, drawn, images, "attention", attention[0])


def _logits() -> Result:
    model, drawn, images = _small_vit(3, 4, classes=0)
    model, images = model.double(), images.double()
    with Taps(model, TapRequest(cls_logits=(-1,))) as taps:
        model(images)
        logits = taps.take().cls_logits
    assert logits is not None
    return _with_cotangent(model, drawn, images, "logits", logits[0])


def _with_cotangent(
    model: nn.Module, drawn: list[Array], images: Tensor, name: str, reading: Tensor
) -> Result:
    """The reading, and the gradient of its product with fixed numbers."""
    cotangent = torch.from_numpy(inputs.uniform(tuple(reading.shape), 3, 2)).to(reading)
    (reading * cotangent).sum().backward()
    given = [*drawn, _numbers(images).astype(np.float64)]
    return given, {name: _numbers(reading), "gradient": _gradient(model)}


def _vit_s_attention() -> Result:
    model: Any = create_vit("vit_small_patch16_224", 224, num_classes=0)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    drawn = inputs.weights(shapes, 4, 0)
    _fill(model, drawn)
    images = inputs.uniform((1, 3, 224, 224), 4, 1) * 2
    with torch.no_grad(), Taps(model, TapRequest(cls_attention=(-1,))) as taps:
        model(torch.from_numpy(images).float())
        attention = taps.take().cls_attention
    assert attention is not None
    return [*drawn.values(), images], {"attention": _numbers(attention[0])}


def _positions(size: int) -> Result:
    model: Any = create_vit("vit_small_patch16_224", size, num_classes=0)
    given = inputs.uniform((1, 197, 384), 5)
    weights = {**model.state_dict(), "pos_embed": torch.from_numpy(given)}
    load_backbone(model, weights, recorded.FOLDER)
    return [given], {"positions": _numbers(model.pos_embed)}


def _masks() -> Result:
    given = inputs.uniform((4, 6, 1025), 6) * 4
    logits = torch.from_numpy(given).float()[..., 1:]
    return [given], {f"mass {mass}": _numbers(kept_patches(logits, mass)) for mass in MASSES}


def _jaccard(protocol: str, side: int, seed: int) -> Result:
    patches = side // 16
    logits = inputs.uniform((8, 6, 1 + patches**2), seed, 0) * 4
    maps = inputs.class_maps(8, side, seed, 1)
    index = jaccard(
        torch.from_numpy(logits).float()[..., 1:], torch.from_numpy(maps), PROTOCOLS[protocol]
    )
    return [logits, maps], {"per image": _numbers(index)}


def _view(protocol: str, seed: int) -> Result:
    pixels = inputs.integers((2, 75, 100, 3), 0, 256, seed, 0).astype(np.uint8)
    maps = inputs.class_maps(2, 100, seed, 1)[:, :75]
    items = [
        stores.Item(str(i), 0, "test", *pair)
        for i, pair in enumerate(zip(pixels, maps, strict=True))
    ]
    recipe = Recipe(
        architecture="vit_small_patch16_224", image_size=224, batch_size=1, iterations=1, lr=1
    )
    size = PROTOCOLS[protocol].size
    assert size is not None
    with tempfile.TemporaryDirectory() as folder:
        stores.write(Path(folder, "store"), "voc12", [str(label) for label in range(1, 21)], items)
        opened = stores.Store(Path(folder, "store"))
        view = view_of(opened, opened.indices("test"), recipe, size, (size // 16, size // 16))
        ((images, objects),) = view.batches(recipe, 2, torch.device("cpu"))
    return [pixels, maps], {
        "images": _numbers(images),
        "classes": _numbers(objects.classes),
        "void": _numbers(objects.void),
    }


def _boxes() -> Result:
    areas, centres = transmix_draws()
    blank, label = torch.zeros(2, 1, 224, 224), torch.zeros(2, dtype=torch.int64)
    found = [_mixed(blank, label, *draw) for draw in zip(areas, centres, strict=True)]
    boxes = [mixed.box for mixed in found if mixed.box is not None]
    return [areas, centres], {
        "box": np.array([(box.top, box.bottom, box.left, box.right) for box in boxes]),
        "area": np.array([mixed.share for mixed in found]),
    }


def transmix_draws() -> tuple[Array, Array]:
    """Areas (BOXES,) in (0, 1) and centres (BOXES, 2) of boxes in an image of 224 x 224."""
    areas = inputs.integers((BOXES,), 1, 1024, 7, 0) / 1024
    return areas, inputs.integers((BOXES, 2), 0, 224, 7, 1)


def _transmix(share: float, centre: tuple[int, int] | None, smoothing: float) -> Result:
    model, drawn, images = _small_vit(8, 6, classes=7)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    mixed = _mixed(images, labels, share, centre)
    mix = TransMix()
    assert mix.taps is not None
    with Taps(model, mix.taps) as taps:
        logits = model(mixed.images)
        readings = taps.take()
    loss = mix.cross_entropy(logits, mixed, readings, label_smoothing=smoothing)
    loss.backward()
    spread = (1 - smoothing) * mix.targets(mixed, 7, readings) + smoothing / 7
    return [*drawn, _numbers(images).astype(np.float64)], {
        "images": _numbers(mixed.images),
        "targets": _numbers(spread),
        "loss": _numbers(loss),
        "gradient": _gradient(model),
    }


def _mixed(images: Tensor, labels: Tensor, share: float, centre: Any) -> Mixed:
    """TransMix with its random numbers given: a box of that area and centre, or mixup."""
    coordinates = iter(() if centre is None else centre)
    drawn = SimpleNamespace(
        random=lambda: 1.0 if centre is None else 0.0,
        beta=lambda a, b: share,
        integers=lambda high: next(coordinates),
    )
    with mock.patch.object(np.random, "default_rng", return_value=drawn):
        return TransMix(switch_prob=0.5)(images, labels, torch.Generator())


def _small_vit(seed: int, images: int, classes: int) -> tuple[Any, list[Array], Tensor]:
    """A small ViT, its drawn parameters, and images for it."""
    model: Any = VisionTransformer(num_classes=classes, **SMALL)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    drawn = inputs.weights(shapes, seed, 0)
    _fill(model, drawn)
    pixels = inputs.uniform((images, 3, 32, 32), seed, 1) * 2
    return model, list(drawn.values()), torch.from_numpy(pixels).float()


def _fill(model: nn.Module, drawn: Mapping[str, Array]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(drawn[name]))


def _gradient(model: nn.Module) -> Array:
    """Of all parameters in the order of their names; zeros where there is none."""
    parts = sorted(model.named_parameters())
    return np.concatenate(
        [_numbers(torch.zeros_like(p) if p.grad is None else p.grad).ravel() for _, p in parts]
    )


def _numbers(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


_SIZE = f"{SMALL['depth']} blocks, width {SMALL['embed_dim']}, {SMALL['img_size']} px"
_VIT = f"a small ViT ({_SIZE})"
CASES: Mapping[str, Case] = MappingProxyType(
    {
        "l2_sp": Case(
            "L2-SP, both terms at 0.01",
            f"two small ViTs ({_SIZE}) with a head, float64",
            _l2_sp_small,
        ),
        "l2_sp, ViT-S/16": Case(
            "L2-SP, both terms at 0.01", "two ViT-S/16 with a head, float32", _l2_sp_vit_s
        ),
        "bss": Case(
            "BSS, k = 1, at 0.001",
            "features (768, 384), float64",
            lambda: _bss(768, 1, "float64", 0),
        ),
        "bss, float32": Case(
            "BSS, k = 1, at 0.001",
            "features (768, 384), float32",
            lambda: _bss(768, 1, "float32", 0),
            loose={"gradient": 2e-4},
        ),
        "bss, small batch": Case(
            "BSS, k = 1, at 0.001",
            "features (64, 384), float64",
            lambda: _bss(64, 1, "float64", 1),
        ),
        "bss, k = 5": Case(
            "BSS, k = 5, at 0.001",
            "features (768, 384), float64",
            lambda: _bss(768, 5, "float64", 2),
        ),
        "attention_only": Case(
            "Attention only: what trains", "parameters of ViT-S/16", _attention_only_vit
        ),
        "attention_only, layer scale": Case(
            "Attention only: what trains",
            "parameters of deit_small_patch16_LS (layer scale)",
            _attention_only_layer_scale,
        ),
        "attention": Case(
            "[cls] attention of the last block",
            f"{_VIT}, 4 images, float32",
            lambda: _attention("float32"),
        ),
        "attention, ViT-S/16": Case(
            "[cls] attention of the last block",
            "ViT-S/16, 1 image of 224 px, float32",
            _vit_s_attention,
        ),
        "logits": Case(
            "[cls] logits of the last block, before the softmax",
            f"{_VIT}, 4 images, float64",
            _logits,
        ),
        "masks": Case(
            "Mask that holds a share of the attention (0.5, 0.6, 0.9)",
            "logits (4, 6, 1025), float32",
            _masks,
        ),
        "jaccard, ipvit": Case(
            "Jaccard index, preset `ipvit`",
            "logits (8, 6, 1025), class maps (8, 512, 512) with void",
            lambda: _jaccard("ipvit", 512, 9),
        ),
        "jaccard, sar": Case(
            "Jaccard index, preset `sar`",
            "logits (8, 6, 901), class maps (8, 480, 480) with void",
            lambda: _jaccard("sar", 480, 10),
        ),
        "view, ipvit": Case(
            "Image and class map as preset `ipvit` shows them",
            "2 of 100 x 75 px, to 512 x 512",
            lambda: _view("ipvit", 11),
        ),
        "view, sar": Case(
            "Image and class map as preset `sar` shows them",
            "2 of 100 x 75 px, to 480 x 480",
            lambda: _view("sar", 12),
        ),
        "positions, 512 px": Case(
            "Position embedding at another size",
            "14 x 14 to 32 x 32, float32",
            lambda: _positions(512),
        ),
        "positions, 480 px": Case(
            "Position embedding at another size",
            "14 x 14 to 30 x 30, float32",
            lambda: _positions(480),
            deviates=True,
        ),
        "transmix, boxes": Case("CutMix's box", f"{BOXES} draws of area and centre", _boxes),
        "transmix, box": Case(
            "TransMix with a box, smoothing 0.1",
            f"{_VIT}, 6 images, float32",
            lambda: _transmix(0.375, (13, 10), 0.1),
        ),
        "transmix, box at the border": Case(
            "TransMix with a box cut off at the border",
            f"{_VIT}, 6 images, float32",
            lambda: _transmix(0.75, (2, 29), 0.0),
        ),
        "transmix, mixup": Case(
            "TransMix's turn of mixup, smoothing 0.1",
            f"{_VIT}, 6 images, float32",
            lambda: _transmix(0.3125, None, 0.1),
        ),
    }
)


def measure(name: str) -> dict[str, float]:
    """Relative errors of a case by output.

    Raises:
        AssertionError: the inputs are not those that the reference was given, or outputs lack.
    """
    given, ours = CASES[name].run()
    assert inputs.digest(given) == recorded.origins()[name].inputs, f"{name}: other inputs"
    reference = recorded.values(name)
    assert ours.keys() == reference.keys()
    return {
        output: recorded.relative_error(recorded.condensed(array), reference[output])
        for output, array in ours.items()
    }
