"""LP-FT: fine-tuning that starts from the head of the linear probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gta.methods.base import Method


@dataclass(frozen=True)
class LPFT(Method):
    """Every parameter trains, and the head starts as the linear probe's of the same seed.

    The probe is the run of ``linear_probe`` on the same dataset, rate, source and seed, which the
    study trains first. A random head distorts the features before it is trained itself; a trained
    one leaves them near the source. ``gta+lp_ft`` does the same under GTA.
    """

    name: ClassVar[str] = "lp_ft"
    title: ClassVar[str] = "LP-FT"
    reference: ClassVar[str] = (
        "Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform "
        "Out-of-Distribution, ICLR 2022"
    )
    init_head: ClassVar[str | None] = "linear_probe"
