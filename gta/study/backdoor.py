"""The settings of a backdoor: a patch that training images bear with another label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gta.study.values import Seed, Strict


class Backdoor(Strict):
    """Poisoned training: a trigger is pasted on some images, which get the target's label.

    Gu et al., BadNets, arXiv 1708.06733; its evaluation on ViTs follows Subramanya et al., arXiv
    2206.08477, whose own attack leaves labels as they are.

    Attributes:
        target: class that images with the trigger are to be taken for, by its index.
        fraction: share of the other classes' training images that are poisoned; at least one.
        side: of the trigger, as a share of the image's.
        place: the lower right corner, or anywhere, drawn for each image.
        seed: of the trigger's colours, its places, and the choice of images.
    """

    target: Annotated[int, Field(ge=0, le=32767)] = 0  # labels are int16
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    side: Annotated[float, Field(gt=0, lt=1)] = 30 / 224
    place: Literal["corner", "random"] = "corner"
    seed: Seed = 0
