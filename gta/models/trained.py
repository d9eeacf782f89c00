"""Trained models of runs, as timm models with their preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gta.errors import GtaError
from gta.models.parts import add_parts
from gta.models.prepared import check_weights, read_metadata
from gta.models.sources import load_source, read_weights
from gta.models.vit import create
from gta.study import Recipe

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def load_trained(path: Path, recipe: Recipe, run: str) -> VisionTransformer:
    """Load a run's trained model with its head, in evaluation mode, on the CPU.

    Args:
        path: of the weights that the run kept.
        recipe: of the run: architecture, image size, mean and standard deviation.
        run: the run's name, which the file's metadata must bear.

    Returns:
        The model, its ``pretrained_cfg`` as ``preprocessing`` gives it.

    Raises:
        GtaError: if the file is missing, damaged, another run's, or of another architecture.
    """
    owner = read_metadata(path).get("run", run)
    if owner != run:
        raise GtaError(f"{path}: holds the weights of another run, {owner}; train the run again")
    if "weights_digest" in read_metadata(path):  # files of early versions have none
        check_weights(path)
    weights = read_weights(path)
    head = weights.get("head.weight", weights.get("head.fc.weight"))
    if head is None:
        raise GtaError(f"{path}: has no head; it is a source, not a trained model")
    model = create(recipe.architecture, recipe.image_size, len(head))
    add_parts(model, weights)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        fault = " ".join(str(error).split())
        raise GtaError(f"{path}: does not fit {recipe.architecture}: {fault}") from None
    with_preprocessing(model, recipe)
    return model.eval().requires_grad_(False)


def load_pretrained(path: Path, recipe: Recipe) -> VisionTransformer:
    """Load a prepared source without a head, with the preprocessing of a recipe.

    Raises:
        GtaError: as ``load_source``.
    """
    model = load_source(path, recipe.architecture, recipe.image_size)
    with_preprocessing(model, recipe)
    return model


def with_preprocessing(model: VisionTransformer, recipe: Recipe) -> None:
    """Set the model's ``pretrained_cfg``, from which timm reads the preprocessing."""
    settings: Any = preprocessing(recipe) | {"num_classes": model.num_classes}
    own: Any = getattr(model, "pretrained_cfg", {})  # a bare VisionTransformer has none
    settings |= {key: own[key] for key in ("first_conv", "classifier") if key in own}
    model.pretrained_cfg = settings


def preprocessing(recipe: Recipe) -> dict[str, Any]:
    """The view of a test image in timm's terms: the keys of ``pretrained_cfg`` that concern it.

    timm resizes the shorter side to floor(size / crop_pct), so ``crop_pct`` is a little below the
    ratio of the two: rounding must not lose a pixel.
    """
    size, resize = recipe.image_size, recipe.evaluation.resize
    return {
        "input_size": (3, size, size),
        "fixed_input_size": True,
        "interpolation": recipe.evaluation.interpolation,
        "crop_pct": 1.0 if resize in (None, size) else size / (resize + 1e-3),
        "crop_mode": "center",
        "mean": tuple(recipe.mean),
        "std": tuple(recipe.std),
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }
