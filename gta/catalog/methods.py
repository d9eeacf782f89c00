"""The fine-tuning methods and mixes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class MethodInfo:
    """A fine-tuning method.

    Attributes:
        title: name in tables and figures.
        default_lam: weight of the penalty that its authors use; None where it has no penalty.
        grid: lambdas that the paper's section 4.5 tries (0.1, 1 and 10 times the default).
        settings: keys besides ``grid`` that a config may give.
    """

    title: str
    default_lam: float | None = None
    grid: tuple[float, ...] = ()
    settings: tuple[str, ...] = ()


GTA_GRID = (0.1, 1.0, 10.0, 100.0)

METHODS: MappingProxyType[str, MethodInfo] = MappingProxyType(
    {
        "finetune": MethodInfo("Fine-tuning"),
        "l2_sp": MethodInfo("L2-SP", 0.01, (0.001, 0.01, 0.1), ("head",)),
        "bss": MethodInfo("BSS", 0.001, (0.0001, 0.001, 0.01), ("k",)),
        "attention_only": MethodInfo("Attention only"),
        "ffn_only": MethodInfo("FFN only"),
        "gta": MethodInfo("GTA", 1.0, GTA_GRID, ("reduction", "blocks")),
        # The paper gives the guides neither a grid nor a token set: GTA's grid, all tokens.
        "block_guide": MethodInfo("Block guide", 1.0, GTA_GRID, ("reduction", "blocks", "tokens")),
        "msa_guide": MethodInfo("MSA guide", 1.0, GTA_GRID, ("reduction", "blocks", "tokens")),
        "linear_probe": MethodInfo("Linear probe"),
    }
)

MIXES: MappingProxyType[str, str] = MappingProxyType({"none": "", "transmix": "TransMix"})
