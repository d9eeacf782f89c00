"""The study file of a trial: chosen from the folder and the source, commented, ready to edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gta.catalog import SOURCES
from gta.catalog.architectures import find_architecture
from gta.errors import GtaError
from gta.methods import METHODS
from gta.trial.look import Look

SEEDS = (0, 1, 2)
GRID = (0.1, 1, 10)
RATE = 80  # of the training images; the rest is held out, where the folder has no such split
TEST_MARGIN = 8 / 7  # shorter side of a test image before the centre crop, as 256 for 224


@dataclass(frozen=True)
class Choices:
    """Settings of a trial.

    Attributes:
        name: of the study.
        methods: which.
        source: name of the source in the config.
        origin: ``file`` or ``hub`` and its value, for a source that the catalog lacks.
        architecture: of the source.
        size: side of the model's input, pixels.
        iterations: of each run.
    """

    name: str
    methods: tuple[str, ...]
    source: str
    origin: tuple[str, str] | None
    architecture: str
    size: int
    iterations: int

    @property
    def tiny(self) -> bool:
        """Whether the source is one of the small shipped ones."""
        return self.architecture.startswith("vit_mini_")


def choose_source(source: str, architecture: str | None) -> tuple[str, tuple[str, str] | None, str]:
    """A source by the name of the catalog, a file, or a name of timm or the Hugging Face hub.

    Returns:
        Name in the config, origin (``file`` or ``hub``, and which) where the catalog lacks it,
        and architecture.

    Raises:
        GtaError: if there is no such source or its architecture cannot be told.
    """
    if source in SOURCES:
        return source, None, SOURCES[source].architecture
    path = Path(source).expanduser()
    looks_like_a_file = path.suffix in (".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".tar")
    if path.is_file():
        origin, name = ("file", str(path.resolve())), path.stem
    elif looks_like_a_file:
        raise GtaError("missing", where=source, remedy="name a checkpoint that is there")
    else:
        origin, name = ("hub", source), source.rpartition("/")[2]
    architecture = architecture or _architecture_of(name)
    if architecture is None:
        raise GtaError(
            f"--source {source}: is not a source of the catalog ({', '.join(SOURCES)}), and its "
            "architecture is not known; give --architecture, timm's name of the model, such as "
            "vit_small_patch16_224"
        )
    return _plain(name), origin, architecture


def _architecture_of(name: str) -> str | None:
    """Timm names a model ``<architecture>.<weights>``."""
    architecture = name.partition(".")[0]
    return None if find_architecture(architecture) is None else architecture


def _plain(name: str) -> str:
    """A name that a config admits."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name) or "own"


def name_of(folder: Path) -> str:
    """The study's name for a folder."""
    return _plain(folder.resolve().stem if folder.is_file() else folder.resolve().name).lower()


def check_methods(names: tuple[str, ...]) -> None:
    """Check that the methods are known and that there is a baseline.

    Raises:
        GtaError: otherwise.
    """
    for name in names:
        if name not in METHODS:
            raise GtaError(f"--methods: {name!r} is not one of {', '.join(METHODS)}")
    if "finetune" not in names:
        raise GtaError("--methods: finetune must be among them; gains are over it")


def study_text(look: Look, choices: Choices, command: str) -> str:
    """The YAML of the study, with comments.

    Args:
        look: what the folder holds.
        choices: what to run.
        command: that writes the file, for its first lines.
    """
    train = look.counts["train"]
    rate = 100 if look.has_heldout else RATE
    own: dict[str, Any] = {"title": look.folder.name, "path": str(look.folder.resolve())}
    if look.drawn is not None:
        drawn = look.drawn
        own["split"] = {"test": drawn.test, "heldout": drawn.heldout, "seed": drawn.seed}
    if look.copies:
        own["duplicates"] = "keep"
    lines = [
        f"# Written by `{command}`; edit it and run",
        f"#   snakemake --configfile config/{choices.name}.yaml",
        "# Nothing is trained again but what an edit changes.",
        f"study: {choices.name}",
        f"own_datasets: {_flow({choices.name: own})}",
    ]
    if choices.origin is not None:
        kind, which = choices.origin
        stanza = {"title": choices.source, "architecture": choices.architecture, kind: which}
        lines.append(f"own_sources: {_flow({choices.source: stanza})}")
    lines += [
        f"datasets: [{choices.name}]",
        f"rates: [{rate}]" + _comment_on_rate(look),
        f"seeds: {_flow(list(SEEDS))}",
        f"sources: {{main: {choices.source}}}",
        "methods:                                  # λ: tried, and chosen on held-out images",
        *(f"  {line}" for line in _method_lines(choices)),
        "recipe:",
        *(f"  {key}: {_flow(value)}" for key, value in _recipe(choices, train).items()),
        *_overrides(choices),
        "images: {short_side: 256, damaged: leave_out}",
        "keep_weights: all",
        "pack: [method, lam]                       # runs of one seed share their batches",
        "own_tables:",
        "  trial:",
        "    kind: gains",
        "    title: First look",
        "    caption: Top-1 accuracy on the test set, gain over fine-tuning (%, 95 % intervals).",
        "    baseline: finetune",
        "    groups: [dataset]",
        "    rows: [method]",
        "    columns: [rate]",
        f"    cells: [{{source: [main], method: {_flow(list(choices.methods))}}}]",
        "own_figures:",
        "  maps:",
        "    kind: maps",
        "    title: Attention maps",
        "    caption: Last block's [cls] attention on test images.",
        f"    cells: [{{source: [main], method: {_flow(_drawn(choices))}}}]",
        "tables: [trial]",
        "figures: [maps]",
    ]
    return "\n".join(lines) + "\n"


def _comment_on_rate(look: Look) -> str:
    return "" if look.has_heldout else "   # the other training images are held out, to choose λ"


def _method_lines(choices: Choices) -> list[str]:
    lines = []
    for name in choices.methods:
        if name in ("gta", "block_guide", "msa_guide"):
            lines.append(f"{name}: {{grid: {_flow(list(GRID))}, reduction: mean}}")
        else:
            lines.append(f"{name}: {{}}")
    return lines


def _drawn(choices: Choices) -> list[str]:
    return [name for name in ("finetune", "gta") if name in choices.methods]


def _recipe(choices: Choices, train: int) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "architecture": choices.architecture,
        "image_size": choices.size,
        "batch_size": min(32, train),
        "iterations": choices.iterations,
        "lr": 1e-3 if choices.tiny else 3e-5,
        "head_lr_multiple": 20 if choices.tiny else 10,
        "warmup_iterations": choices.iterations // 10,
        "micro_batch": "auto",
        "augment": {"crop": "random_resized_crop", "scale": [0.4, 1.0], "flip": 0.5},
        "evaluation": {"resize": round(choices.size * TEST_MARGIN), "interpolation": "bicubic"},
    }
    if choices.tiny:
        recipe |= {"mean": [0.5] * 3, "std": [0.25] * 3}
    return recipe


def _overrides(choices: Choices) -> list[str]:
    if choices.tiny or "linear_probe" not in choices.methods:
        return []
    return ["overrides: [{method: [linear_probe], recipe: {lr: 1.0e-3}}]   # its head alone trains"]


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(
        [value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text.strip()[1:-1]
