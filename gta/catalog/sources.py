"""The pre-trained sources."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from gta.catalog.archives import Archive


@dataclass(frozen=True)
class SourceInfo:
    """A pre-trained source.

    Attributes:
        title: name in tables and figures.
        architecture: key of ``ARCHITECTURES``.
        objective: how it was trained, in a few words.
        shipped: file name inside ``gta/models/weights``; None where it must be fetched or placed.
        archive: the official file; None where it is shipped or comes from the hub alone.
        hub: timm's name of it on the Hugging Face hub, taken where the file cannot be had.
    """

    title: str
    architecture: str
    objective: str = ""
    shipped: str | None = None
    archive: Archive | None = None
    hub: str | None = None


_FACEBOOK = "https://dl.fbaipublicfiles.com"

SOURCES: MappingProxyType[str, SourceInfo] = MappingProxyType(
    {
        "tiny_ibot": SourceInfo(
            "Tiny contrastive (for iBOT)",
            "vit_mini_patch8",
            "contrast of two views, rendered images, no labels",
            shipped="tiny_ibot.safetensors",
        ),
        "tiny_dino": SourceInfo(
            "Tiny momentum contrast (for DINO)",
            "vit_mini_patch8",
            "momentum contrast, rendered images, no labels",
            shipped="tiny_dino.safetensors",
        ),
        "tiny_supervised": SourceInfo(
            "Tiny supervised",
            "vit_mini_patch8",
            "attributes of the object, rendered images, with labels",
            shipped="tiny_supervised.safetensors",
        ),
        "ibot": SourceInfo(
            "iBOT",
            "vit_small_patch16_224",
            "self-distillation with masked patches, ImageNet-1k",
            archive=Archive(
                "ibot_vits_16_checkpoint_teacher.pth",
                (
                    "https://lf3-nlp-opensource.bytetos.com/obj/nlp-opensource/archive/2022/ibot/"
                    "vits_16/checkpoint_teacher.pth",
                ),
                other_names=("checkpoint_teacher.pth",),
            ),
        ),
        "dino": SourceInfo(
            "DINO",
            "vit_small_patch16_224",
            "self-distillation, ImageNet-1k",
            archive=Archive(
                "dino_deitsmall16_pretrain.pth",
                (f"{_FACEBOOK}/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",),
            ),
            hub="vit_small_patch16_224.dino",
        ),
        "supervised": SourceInfo(
            "SL",
            "vit_small_patch16_224",
            "supervised (DeiT-S), ImageNet-1k",
            archive=Archive(
                "deit_small_patch16_224-cd65a155.pth",
                (f"{_FACEBOOK}/deit/deit_small_patch16_224-cd65a155.pth",),
                sha256="cd65a155",  # as torch.hub writes it into the file's name
            ),
            hub="deit_small_patch16_224.fb_in1k",
        ),
        "dinov2": SourceInfo(
            "DINOv2",
            "vit_small_patch14_dinov2",
            "self-distillation with masked patches, LVD-142M (not in the paper)",
            archive=Archive(
                "dinov2_vits14_pretrain.pth",
                (f"{_FACEBOOK}/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",),
                other_names=("dinov2_vits14.fp16.safetensors",),
            ),
            hub="vit_small_patch14_dinov2.lvd142m",
        ),
    }
)
