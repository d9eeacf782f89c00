"""The ways of mixing the images of a batch, and their titles."""

from __future__ import annotations

from types import MappingProxyType

MIXES: MappingProxyType[str, str] = MappingProxyType(
    {"none": "", "mixup_cutmix": "Mixup/CutMix", "transmix": "TransMix"}
)
