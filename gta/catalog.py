"""What is known of each method, source, data set and architecture, as data (no torch here)."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal


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


@dataclass(frozen=True)
class ArchitectureInfo:
    """A vision transformer as timm builds it.

    Attributes:
        timm_name: registered model name, or None for a bare ``VisionTransformer``.
        kwargs: keyword arguments for timm.
    """

    timm_name: str | None
    kwargs: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))


ARCHITECTURES: MappingProxyType[str, ArchitectureInfo] = MappingProxyType(
    {
        "vit_mini_patch8": ArchitectureInfo(
            None,
            MappingProxyType({"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2}),
        ),
        "vit_small_patch16_224": ArchitectureInfo("vit_small_patch16_224"),
        "vit_small_patch14_dinov2": ArchitectureInfo("vit_small_patch14_dinov2"),
    }
)


@dataclass(frozen=True)
class SourceInfo:
    """A pre-trained source.

    Attributes:
        title: name in tables and figures.
        architecture: key of ``ARCHITECTURES``.
        shipped: file name inside ``gta/models/weights``; None where it must be fetched or placed.
        urls: where the official file lies.
        objective: how it was trained, in a few words.
    """

    title: str
    architecture: str
    shipped: str | None = None
    urls: tuple[str, ...] = ()
    objective: str = ""


SOURCES: MappingProxyType[str, SourceInfo] = MappingProxyType(
    {
        "tiny_ibot": SourceInfo(
            "Tiny contrastive (for iBOT)",
            "vit_mini_patch8",
            shipped="tiny_ibot.safetensors",
            objective="contrast of two views, rendered images, no labels",
        ),
        "tiny_dino": SourceInfo(
            "Tiny momentum contrast (for DINO)",
            "vit_mini_patch8",
            shipped="tiny_dino.safetensors",
            objective="momentum contrast, rendered images, no labels",
        ),
        "tiny_supervised": SourceInfo(
            "Tiny supervised",
            "vit_mini_patch8",
            shipped="tiny_supervised.safetensors",
            objective="attributes of the object, rendered images, with labels",
        ),
        "ibot": SourceInfo(
            "iBOT",
            "vit_small_patch16_224",
            urls=(
                "https://lf3-nlp-opensource.bytetos.com/obj/nlp-opensource/archive/2022/ibot/"
                "vits_16/checkpoint_teacher.pth",
            ),
            objective="self-distillation with masked patches, ImageNet-1k",
        ),
        "dino": SourceInfo(
            "DINO",
            "vit_small_patch16_224",
            urls=(
                "https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/"
                "dino_deitsmall16_pretrain.pth",
            ),
            objective="self-distillation, ImageNet-1k",
        ),
        "supervised": SourceInfo(
            "SL",
            "vit_small_patch16_224",
            urls=("https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",),
            objective="supervised (DeiT-S), ImageNet-1k",
        ),
    }
)


# Part of the store's name: raise it when `gta.data.procedural` renders other images, so that old
# stores are not used.
RENDERER_VERSION = 1


@dataclass(frozen=True)
class DatasetInfo:
    """A downstream data set.

    Attributes:
        title: name in tables and figures.
        kind: ``procedural`` is rendered here; ``images`` is read from archives.
        domain: whether the sources' pre-training data look like it (``near``) or not (``far``).
        masks: whether each image has an object mask.
    """

    title: str
    kind: Literal["procedural", "images"]
    domain: Literal["near", "far"]
    masks: bool = False


DATASETS: MappingProxyType[str, DatasetInfo] = MappingProxyType(
    {
        "mini_near": DatasetInfo("Mini near", "procedural", "near", masks=True),
        "mini_far": DatasetInfo("Mini far", "procedural", "far", masks=True),
        "cub": DatasetInfo("CUB", "images", "near"),
        "cars": DatasetInfo("Cars", "images", "far"),
        "aircraft": DatasetInfo("Aircraft", "images", "far"),
        "dogs": DatasetInfo("Dogs", "images", "near"),
        "pet": DatasetInfo("Pet", "images", "near"),
    }
)
