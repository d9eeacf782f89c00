"""LoRA: low-rank updates of the weights train, the rest of the backbone is frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from gta.methods.base import Method, is_head

if TYPE_CHECKING:
    from torch import nn

TARGETS = {
    "qkv": ("attn.qkv",),
    "qkv+proj": ("attn.qkv", "attn.proj"),
    "all": ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"),
}


@dataclass(frozen=True)
class LoRA(Method):
    """Each target weight W becomes W + (alpha / r) B A; A, B and the head train.

    A (r, in) starts as ``torch.nn.Linear`` starts its weights, B (out, r) at zero, so that the
    model starts as the source. Queries, keys and values, which timm keeps in one weight, have an
    update each. The updates are added to the weights when training ends. Without the dropout that
    some codes put before A. Train it with a learning rate of its own: full fine-tuning's is too
    low (``overrides``).

    Attributes:
        r: rank.
        alpha: see above.
        targets: which linear layers of each block.
    """

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "LoRA"
    reference: ClassVar[str] = (
        "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022"
    )

    r: Annotated[int, Field(ge=1, le=4096)] = 8
    alpha: Annotated[float, Field(gt=0, le=1e6)] = 8.0
    targets: Literal["qkv", "qkv+proj", "all"] = "qkv"

    def prepare(self, model: nn.Module, seed: int) -> None:
        """Register the updates as parametrizations of the weights.

        Raises:
            GtaError: a target is smaller than the rank, or the model has none.
        """
        import torch
        from torch.nn.utils import parametrize

        linears = self._linears(model)
        if not linears:
            raise self.error(f"{type(model).__name__} has none of the layers {self.targets}")
        generator = torch.Generator().manual_seed(seed)
        for linear, parts in linears:
            rows, columns = linear.weight.shape
            if self.r > min(rows // parts, columns):
                raise self.error(f"rank {self.r} exceeds a weight's {rows // parts} x {columns}")
            bound = 1 / math.sqrt(columns)  # kaiming_uniform_ with a = sqrt(5)
            down = (torch.rand(parts, self.r, columns, generator=generator) * 2 - 1) * bound
            up = torch.zeros(parts, rows // parts, self.r)
            parametrize.register_parametrization(
                linear, "weight", _update(down, up, self.alpha / self.r)
            )

    def merge(self, model: nn.Module) -> None:
        """Add the updates to the weights."""
        from torch.nn.utils import parametrize

        for linear, _ in self._linears(model):
            parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)

    def trains(self, parameter: str) -> bool:
        """The updates and the head."""
        return parameter.endswith((".lora_a", ".lora_b")) or is_head(parameter)

    def _linears(self, model: nn.Module) -> list[tuple[Any, int]]:
        """Target layers, with the number of weights that each holds."""
        return [
            (module, len(module.weight) // module.in_features if name.endswith("qkv") else 1)
            for name, module in model.named_modules()
            if ".blocks." in f".{name}" and name.endswith(tuple(TARGETS[self.targets]))
        ]


def _update(down: Any, up: Any, scale: float) -> nn.Module:
    """A module that adds ``scale * up @ down``, part by part, to a weight."""
    from torch import nn

    class Update(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lora_a, self.lora_b = nn.Parameter(down), nn.Parameter(up)

        def forward(self, weight: Any) -> Any:
            return weight + scale * (self.lora_b @ self.lora_a).flatten(0, 1)

    return Update()
