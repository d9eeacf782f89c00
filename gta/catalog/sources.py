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
        architecture: as ``gta.catalog.architectures`` knows it.
        objective: how it was trained, in a few words.
        shipped: file name inside ``gta/models/weights``; None if it must be fetched or placed.
        archive: the official file; None if it is shipped or on the hub only.
        hub: its name on the Hugging Face hub, taken if the file is not available.
        key: which backbone of the file; None if it holds one.
        in_channels: input channels of its patch embedding that are R, G, B.
        heads: its attention heads, where neither the file nor its layout tells.
        licence: of the weights, as their publisher states it.
        note: what [cls] means there, and what is not proved.
    """

    title: str
    architecture: str
    objective: str = ""
    shipped: str | None = None
    archive: Archive | None = None
    hub: str | None = None
    key: str | None = None
    in_channels: tuple[int, ...] | None = None
    heads: int | None = None
    licence: str = ""
    note: str = ""


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
