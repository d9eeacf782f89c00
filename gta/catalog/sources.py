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
            licence="Apache-2.0",
            note="Trained on its own loss, by self-distillation. Attention transfer is reported "
            "to fail with it (arXiv 2605.07191).",
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
            licence="Apache-2.0",
            note="Trained on its own loss, by self-distillation.",
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
            licence="Apache-2.0",
            note="Trained on labels.",
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
            licence="Apache-2.0",
            note="Trained on its own loss, by self-distillation. Attention transfer is reported "
            "to fail with it (arXiv 2605.07191).",
        ),
        "dinov2_registers": SourceInfo(
            "DINOv2 with registers",
            "vit_small_patch14_reg4_dinov2",
            "self-distillation with masked patches, LVD-142M (not in the paper)",
            archive=Archive(
                "dinov2_vits14_reg4_pretrain.pth",
                (f"{_FACEBOOK}/dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",),
            ),
            hub="vit_small_patch14_reg4_dinov2.lvd142m",
            licence="Apache-2.0",
            note="As DINOv2's; registers take up what its outlier tokens held.",
        ),
        "dinov3": SourceInfo(
            "DINOv3",
            "vit_small_patch16_dinov3",
            "self-distillation with masked patches, LVD-1689M (not in the paper)",
            hub="vit_small_patch16_dinov3.lvd1689m",
            licence="DINOv3 License, access on request",
            note="Trained on its own loss, by self-distillation. Positions are rotary: rows are "
            "read after rotation.",
        ),
        "clip": SourceInfo(
            "CLIP",
            "vit_base_patch16_clip_quickgelu_224",
            "contrast of images and texts, WebImageText (not in the paper)",
            hub="vit_base_patch16_clip_quickgelu_224.openai",
            licence="MIT",
            note="Trained on the contrast with texts. A control: attention transfer from it is "
            "reported to harm (arXiv 2605.07191).",
        ),
        "swin": SourceInfo(
            "Swin-T",
            "swin_tiny_patch4_window7_224",
            "supervised, ImageNet-1k (not in the paper)",
            hub="swin_tiny_patch4_window7_224.ms_in1k",
            licence="MIT",
            note="Has none; the mean query's row stands in its place.",
        ),
        "moco_v3": SourceInfo(
            "MoCo v3",
            "vit_small_moco_patch16_224",
            "momentum contrast, ImageNet-1k (not in the paper)",
            archive=Archive(
                "vit-s-300ep.pth.tar", (f"{_FACEBOOK}/moco-v3/vit-s-300ep/vit-s-300ep.pth.tar",)
            ),
            key="module.base_encoder",
            licence="CC-BY-NC-4.0",
            note="Trained on the contrast. 12 heads of 32; its momentum encoder is "
            "`key: module.momentum_encoder`.",
        ),
        "mae": SourceInfo(
            "MAE",
            "vit_base_pooled_patch16_224",
            "reconstruction of masked patches, ImageNet-1k (not in the paper)",
            archive=Archive(
                "mae_pretrain_vit_base.pth",
                (f"{_FACEBOOK}/mae/pretrain/mae_pretrain_vit_base.pth",),
            ),
            licence="CC-BY-NC-4.0",
            note="Gets no loss: the decoder drops its output. A control, on which GTA has "
            "nothing to keep.",
        ),
        "mfm": SourceInfo(
            "MFM",
            "vit_base_pooled_patch16_224",
            "reconstruction of masked frequencies, ImageNet-1k (not in the paper)",
            archive=Archive("mfm_pretrain_vit_base.pth"),
            licence="S-Lab 1.0, not commercial",
            note="Gets no loss. A control.",
        ),
        "semmae": SourceInfo(
            "SemMAE",
            "vit_base_pooled_patch16_224",
            "reconstruction of parts, ImageNet-1k (not in the paper)",
            archive=Archive("semmae_pretrain_vit_base.pth"),
            licence="none stated",
            note="Gets no loss. A control.",
        ),
        "dino_mm": SourceInfo(
            "DINO-MM",
            "vit_small_patch8_224",
            "self-distillation, Sentinel-1 and -2 (not in the paper)",
            archive=Archive(
                "B14_vits8_dinomm_ep99.pth",
                (
                    "https://huggingface.co/wangyi111/dino-mm/resolve/main/"
                    "B14_vits8_dinomm_ep99.pth",
                ),
            ),
            in_channels=(3, 2, 1),  # B04, B03, B02 of Sentinel-2
            licence="Apache-2.0",
            note="Trained on its own loss, of satellites' 14 channels; three are kept, scaled by "
            "14/3, which is an assumption.",
        ),
    }
)
