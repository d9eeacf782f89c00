"""SM-ViT: in every block [cls] attends more to salient patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from gta.methods.base import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class SalientCls(Method):
    """[cls] logits of salient keys are raised by a share of the row's largest; everything trains.

    s_j + share * max_k s_k for salient j, per head and image, in every block, in training and in
    tests; [cls] itself counts as salient. A negative largest logit lowers them, as in the authors'
    code. There a trained U2-Net finds the salient pixels; here the spectral residual of the image
    does, which needs no weights: patches above their image's mean. Attention maps are read before
    the change. The trained model keeps it; it is not a plain ViT of timm, and does not start with
    the source's outputs.

    Attributes:
        share: see above; the authors take 0.25, for dogs 0.3.
    """

    name: ClassVar[str] = "salient_cls"
    title: ClassVar[str] = "SM-ViT"
    reference: ClassVar[str] = (
        "Demidov et al., Salient Mask-Guided Vision Transformer for Fine-Grained Classification, "
        "VISAPP 2023"
    )

    share: Annotated[float, Field(ge=0, le=1000)] = 0.25

    def prepare(self, model: nn.Module, seed: int) -> None:
        """Change the attention of every block.

        Raises:
            GtaError: the model is not a plain ViT.
        """
        from gta.methods._saliency import favour_salient  # imports torch

        self.require_plain(model)
        favour_salient(model, self.share)
