"""Compiled forward passes, one for all runs whose passes are of one form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gta.methods import Method, Readings, TapRequest
from gta.models.cls_only import forward_of
from gta.models.taps import Taps
from gta.models.vit import create
from gta.train.microbatch import DropPaths

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


class CompiledForward:
    """The forward pass and the taps of a model without weights: parameters are inputs.

    Compiling takes about a minute for a ViT-S on a GPU; runs that differ in their weights alone
    (lambdas, sources, seeds) share it.
    """

    def __init__(self, skeleton: VisionTransformer, request: TapRequest) -> None:
        """Compile nothing yet.

        Args:
            skeleton: the architecture, in training mode.
            request: readings to take.
        """
        self.paths = DropPaths(skeleton)
        self._taps = Taps(skeleton, request)
        module = _Pass(skeleton, request)

        def forward(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
            logits: Tensor = functional_call(module, parameters, (images,))
            return logits

        # torch keeps compiled code with the function's code object and does not look at hooks, so
        # each form of pass needs a code object of its own. One graph, so that nothing within is
        # kept with timm's code; a batch size that was not seen before is compiled anew.
        code = forward.__code__.replace()
        own = FunctionType(code, forward.__globals__, closure=forward.__closure__)
        self._run = torch.compile(own, fullgraph=True, dynamic=False)

    def __call__(self, parameters: Mapping[str, Tensor], images: Tensor) -> tuple[Tensor, Readings]:
        """Logits (B, K) and readings of images (B, C, H, W); ``paths`` has chosen for them.

        Args:
            parameters: of the model, by name, and its buffers.
            images: normalised, on the parameters' device.
        """
        with self._taps as taps:
            logits = self._run({f"model.{k}": v for k, v in parameters.items()}, images)
            return logits, taps.take()


class _Pass(nn.Module):
    """A model's cheapest forward pass as a module, whose parameters can be replaced."""

    def __init__(self, model: VisionTransformer, request: TapRequest) -> None:
        super().__init__()
        self.model = model
        self._request = request

    def forward(self, images: Tensor) -> Tensor:
        return forward_of(self.model, self._request)(images)


@lru_cache(maxsize=32)
def compiled_forward(
    architecture: str,
    image_size: int,
    classes: int,
    drop_path: float,
    request: TapRequest,
    trained: frozenset[str],
    method: Method | None = None,
) -> CompiledForward:
    """The compiled pass of a form, the same object each time.

    Args:
        architecture: of the model.
        image_size: side of its images, pixels.
        classes: outputs of its head.
        drop_path: its rate of stochastic depth.
        request: readings to take.
        trained: names of the parameters that train; their gradients are part of what is compiled.
        method: that changes the model before training; None for one that does not.
    """
    if method is None:
        with torch.device("meta"):
            skeleton = create(architecture, image_size, classes, drop_path)
    else:
        skeleton = create(architecture, image_size, classes, drop_path)
        method.prepare(skeleton, 0)
        skeleton.to("meta")
    return CompiledForward(skeleton.train(), request)
