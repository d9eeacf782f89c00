"""The corruptions of test images, by name, with their titles."""

from __future__ import annotations

from types import MappingProxyType

# In the order of Hendrycks and Dietterich, ICLR 2019; frost is left out (it needs photographs).
CORRUPTIONS: MappingProxyType[str, str] = MappingProxyType(
    {
        "gaussian_noise": "Gaussian noise",
        "shot_noise": "Shot noise",
        "impulse_noise": "Impulse noise",
        "defocus_blur": "Defocus blur",
        "glass_blur": "Glass blur",
        "motion_blur": "Motion blur",
        "zoom_blur": "Zoom blur",
        "snow": "Snow",
        "fog": "Fog",
        "brightness": "Brightness",
        "contrast": "Contrast",
        "elastic_transform": "Elastic transform",
        "pixelate": "Pixelate",
        "jpeg_compression": "JPEG compression",
    }
)
