"""GPUs by name, for estimates of what a study costs: peaks as their makers publish them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class AcceleratorInfo:
    """A GPU.

    Attributes:
        title: name in tables.
        tflops: dense peak by a recipe's precision, TFLOP/s: ``float32`` without tensor cores (as
            PyTorch computes it by default), the halves on tensor cores that accumulate in float32.
            A precision that it lacks is not there.
        tf32: dense peak of float32 products that round to TF32 on tensor cores (a recipe's
            ``tf32``), TFLOP/s; None for a card without them.
        datasheet: where the peaks stand. Where a sheet has them with structured sparsity only,
            these are half of its figures.
    """

    title: str
    tflops: MappingProxyType[str, float]
    datasheet: str
    tf32: float | None = None

    def peak(self, precision: str, tf32: bool = False) -> float:
        """The peak of a precision that it has, TFLOP/s; of TF32 where that is allowed and there."""
        rounded = self.tf32 if tf32 and precision == "float32" else None
        return self.tflops[precision] if rounded is None else rounded


# Share of the peak that training a ViT is taken to reach: an assumption, not a measurement.
# timm's benchmark trains this ViT-S/16 at 1,058 images a second on an RTX 3090 in mixed precision,
# 41 % of its peak (huggingface/pytorch-image-models,
# results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv); faster GPUs wait for memory longer.
UTILISATION = 0.3

_NVIDIA = "https://www.nvidia.com/content/dam/en-zz/Solutions"


def _peaks(float32: float, half: float, bfloat16: bool = True) -> MappingProxyType[str, float]:
    peaks = {"float32": float32, "float16": half}
    return MappingProxyType(peaks | ({"bfloat16": half} if bfloat16 else {}))


ACCELERATORS: MappingProxyType[str, AcceleratorInfo] = MappingProxyType(
    {
        "t4": AcceleratorInfo(
            "T4",
            _peaks(8.1, 65, bfloat16=False),
            f"{_NVIDIA}/Data-Center/tesla-t4/t4-tensor-core-datasheet-951643.pdf",
        ),
        "v100": AcceleratorInfo(
            "V100 SXM2",
            _peaks(15.7, 125, bfloat16=False),
            "https://images.nvidia.com/content/technologies/volta/pdf/"
            "volta-v100-datasheet-update-us-1165301-r5.pdf",
        ),
        "a10": AcceleratorInfo(
            "A10",
            _peaks(31.2, 125),
            f"{_NVIDIA}/Data-Center/a10/pdf/a10-datasheet.pdf",
            tf32=62.5,
        ),
        "rtx3090": AcceleratorInfo(
            "RTX 3090",
            _peaks(35.6, 71),
            "https://www.nvidia.com/content/PDF/"
            "nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.pdf",
            tf32=35.6,
        ),
        "rtx4090": AcceleratorInfo(
            "RTX 4090",
            _peaks(82.6, 165.2),
            "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/"
            "nvidia-ada-gpu-architecture.pdf",
            tf32=82.6,
        ),
        "a100": AcceleratorInfo(
            "A100",
            _peaks(19.5, 312),
            f"{_NVIDIA}/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf",
            tf32=156,
        ),
        "h100": AcceleratorInfo(
            "H100 SXM",
            _peaks(67, 989),
            "https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet",
            tf32=494.5,
        ),
    }
)
