"""A run's model as a folder that timm loads: weights, config, class names, model card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from gta import files
from gta.catalog.architectures import find_architecture
from gta.errors import GtaError
from gta.export.card import model_card
from gta.interface import RunResults, StudyResults
from gta.models.parts import parts_of
from gta.models.trained import preprocessing
from gta.study import Recipe

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

CONFIG, WEIGHTS, CARD, ONNX = "config.json", "model.safetensors", "README.md", "model.onnx"
# timm registers no such small model; any plain ViT with all of its sizes given is one.
PLAIN = "vit_tiny_patch16_224"


@dataclass(frozen=True)
class Exported:
    """A model folder, read.

    Attributes:
        model: in evaluation mode, on the CPU.
        classes: names in the order of its outputs.
        recipe: image size, normalisation and view of test images.
        run: the name of the run that it is of.
    """

    model: VisionTransformer
    classes: list[str]
    recipe: Recipe
    run: str


def export_model(
    study: StudyResults, run: RunResults, out: Path, command: str, onnx: bool = False
) -> list[Path]:
    """Write a run's model for use without this package.

    Args:
        study: the study.
        run: one of its runs, whose weights were kept.
        out: the folder; made where missing, and must not hold another model.
        command: that exports it, for the card.
        onnx: write ``model.onnx`` too: images to logits and attention map.

    Returns:
        The files: ``config.json`` and ``model.safetensors`` (``timm.create_model("local-dir:OUT",
        pretrained=True)``), ``README.md``.

    Raises:
        GtaError: if the weights were not kept, the model has parts that timm lacks, ``out`` holds
            another run's model, or a package that ONNX needs is missing.
    """
    _require_own(out, run.name)
    model = run.model()
    if parts := parts_of(model):
        raise GtaError(f"{run.name}: timm cannot load a model with {' and '.join(parts)}")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    config = timm_config(model, run.recipe, run.classes, run.name)
    written = [out / name for name in (WEIGHTS, CONFIG, CARD)]
    with files.atomic_write(out / WEIGHTS) as hidden:
        save_file(weights, hidden, metadata={"format": "pt", "run": run.name})
    files.write_text(out / CONFIG, json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    files.write_text(out / CARD, model_card(study, run, command))
    if onnx:
        from gta.export.onnx import write_onnx

        written.append(write_onnx(model, out / ONNX))
    return written


def timm_config(
    model: VisionTransformer, recipe: Recipe, classes: list[str], run: str
) -> dict[str, Any]:
    """The content of ``config.json`` in timm's form."""
    info = find_architecture(recipe.architecture)
    assert info is not None  # the study was loaded with it
    settings = preprocessing(recipe)
    return {
        "architecture": info.timm_name or PLAIN,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "label_names": classes,
        "model_args": {**info.kwargs, "img_size": recipe.image_size},
        "pretrained_cfg": {
            **settings,
            "num_classes": model.num_classes,
            "label_names": classes,
            "license": "see README.md",
        },
        # what this package reads, so that predictions are those of the study's tests
        "gta": {"run": run, "recipe": recipe.model_dump(mode="json")},
    }


def load_exported(folder: Path) -> Exported:
    """Read a folder that ``export_model`` wrote.

    Raises:
        GtaError: if it is not such a folder or a file is damaged.
    """
    import timm
    from safetensors import SafetensorError

    config = _read_config(folder)
    try:
        model: Any = timm.create_model(f"local-dir:{folder.absolute()}", pretrained=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        fault = " ".join(str(error).split())
        raise GtaError(
            f"cannot be loaded: {fault}", where=folder, remedy="export it again"
        ) from None
    own = config["gta"]
    recipe = Recipe.model_validate_json(json.dumps(own["recipe"]))
    return Exported(model.eval().requires_grad_(False), config["label_names"], recipe, own["run"])


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GtaError(
            f"cannot be read ({error.strerror})",
            where=path,
            remedy="`gta export RUN --out` writes it",
        ) from None
    except ValueError as error:
        raise GtaError(f"is not JSON: {error}", where=path, remedy="export it again") from None
    if not isinstance(config, dict) or not {"gta", "label_names"} <= config.keys():
        raise GtaError("is not a model that `gta export` wrote", where=path)
    return config


def _require_own(out: Path, run: str) -> None:
    if not (out / CONFIG).exists():
        return
    other = _read_config(out)["gta"]["run"]
    if other != run:
        raise GtaError(f"holds the model of {other}", where=out, remedy="name another folder")
