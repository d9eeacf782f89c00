"""``gta source``: the pre-trained models that training starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gta.catalog import SOURCES, SourceInfo
from gta.cli.options import DEFAULT_CONFIG, AsJson, Configs, bars, console, table_of
from gta.study import Recipe, Study

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Name = Annotated[str, typer.Argument(help="A source, e.g. `tiny_ibot`.")]

source = typer.Typer(
    no_args_is_help=True, help="Pre-trained sources: list, prepare, check or train them."
)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(source, name="source")


@source.command("list")
def list_sources(config: Configs = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List all sources that are known: the catalog's and the study's own.

    Of one that is neither prepared nor shipped, the file is named that will be looked for in
    `data/weights` (or what `GTA_WEIGHTS` names) and fetched if it is not there.
    """
    study = Study.load(config)
    headings = ["name", "architecture", "weights", f"role in study {study.name}"]
    table = table_of("Pre-trained sources", headings)
    rows = []
    for name in (*SOURCES, *study.config.own_sources):
        info = study.source_info(name)
        roles = [role for role, chosen in study.config.sources.items() if chosen == name]
        if study.weights(name).exists():
            weights = "prepared"
        elif info.shipped is not None:
            weights = "shipped"
        else:
            weights = info.archive.file if info.archive is not None else f"hub: {info.hub}"
        table.add_row(name, info.architecture, weights, ", ".join(roles))
        row = {"name": name, "architecture": info.architecture, "weights": weights}
        rows.append({**row, "roles": roles, "licence": info.licence})
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        console.print(table)


@source.command("prepare")
def prepare_source(name: Name, config: Configs = DEFAULT_CONFIG) -> None:
    """Check a source's file and put it, as safetensors, where the jobs look for it.

    A file placed by hand in `data/weights` (or what `GTA_WEIGHTS` names) is used; else the
    official one is fetched.

        gta source prepare tiny_ibot
    """
    print(_prepared(Study.load(config), name, afresh=True))


@source.command("check")
def check_source(
    name: Name,
    config: Configs = DEFAULT_CONFIG,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Any image.  [default: a rendered one]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", help="The drawing.  [default: `results/<study>/sources/<source>.png`]"
        ),
    ] = None,
) -> None:
    """Print what a source is and was made of, and draw what it attends to.

    Its weights are checked against their digest. The image size is the study's where the study
    has this architecture, else the one the source was trained at.

        gta source check tiny_ibot --image photo.jpg --out tiny_ibot.png
    """
    from gta.attention.maps import read_image
    from gta.data.rendered import render
    from gta.figures.heads import draw_heads, write_png
    from gta.models.prepared import check_weights, trained_side
    from gta.models.sources import load_source
    from gta.models.vit import side_of

    study = Study.load(config)
    info, path = study.source_info(name), _prepared(study, name)
    metadata, side = check_weights(path), trained_side(path)
    recipe = study.config.recipe
    if recipe.architecture != info.architecture:
        defaults = {key: Recipe.model_fields[key].default for key in ("mean", "std")}
        recipe = recipe.model_copy(
            update={"image_size": side or side_of(info.architecture), **defaults}
        )
    model = load_source(path, info.architecture, recipe.image_size)
    print(f"{info.title}: {info.objective}")
    for heading, text in {**_facts(info, metadata, model, side), "prepared": str(path)}.items():
        print(f"{heading:<16}{text}")  # no table: it would break digests
    pixels = (
        render("mini_near", seed=0, per_class=1, heldout_images=1, test_images=1).images[-1]
        if image is None
        else read_image(image)
    )
    out = out or study.folder / "sources" / f"{name}.png"
    write_png(draw_heads(model, recipe, pixels, info.title), out)
    print(f"{out}: [cls] attention of the last block")


def _prepared(study: Study, name: str, *, afresh: bool = False) -> Path:
    """The prepared file of a source, made where it is missing."""
    from gta.models.originals import is_current, prepare_source

    path = study.weights(name)
    if path.exists() and not afresh and is_current(study, name):
        return path
    with bars() as progress:
        task = progress.add_task(name, total=None)
        return prepare_source(
            study, name, lambda done, total: progress.update(task, completed=done, total=total)
        )


def _facts(
    info: SourceInfo, metadata: Mapping[str, str], model: VisionTransformer, side: int | None
) -> dict[str, str]:
    """Facts that ``gta source check`` prints, by heading."""
    from gta.models.families import blocks_of, grids_of, image_side, is_windowed, width_of

    sizes = {key: value.numel() for key, value in model.state_dict().items()}
    attention = sum(size for key, size in sizes.items() if ".attn." in key)
    ffn = sum(size for key, size in sizes.items() if ".mlp." in key)
    grid, blocks = grids_of(model)[0][0], blocks_of(model)
    patch = image_side(model) // grid
    if side is None:
        kind = "relative within windows" if is_windowed(model) else "rotary"
        positions = f"{kind}, {grid} x {grid} patches of {patch} pixels"
    else:
        positions = f"{side // patch} x {side // patch} patches of {patch} pixels"
        if grid != side // patch:
            positions += f", resampled to {grid} x {grid}"
    heads = blocks[-1].attn.num_heads
    facts = {
        "architecture": f"{info.architecture}: {len(blocks)} blocks of {heads} heads, "
        f"{width_of(model)} wide",
        "parameters": f"{sum(sizes.values()):,}: attention {attention:,}, FFN {ffn:,}",
        "positions": positions,
        "keys": f"{len(sizes)}, all filled",
    }
    if info.shipped is not None:
        return {**facts, "origin": "shipped", "weights' digest": metadata["weights_digest"]}
    published = info.archive.sha256 if info.archive is not None else None
    compared = (
        f"begins with {published}, as published"
        if published and metadata["origin_sha256"].startswith(published)
        else "unverified, none is published"
    )
    return {
        **facts,
        "left out": metadata["dropped"] or "nothing",
        "origin": f"{metadata['origin']} ({metadata['origin_form']})",
        "its sha256": f"{metadata['origin_sha256']} ({compared})",
        "weights' digest": metadata["weights_digest"],
    }


@source.command("train")
def train_source(
    name: Name,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The safetensors file to write.")],
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.  [default: all cores]")
    ] = None,
) -> None:
    """Train one of the embedded study's sources again, from nothing, on rendered images.

    gta source train tiny_ibot --out tiny_ibot.safetensors
    """
    import torch

    from gta.files import require_regular
    from gta.train.pretrain import pretrain

    require_regular(out)
    if threads:
        torch.set_num_threads(threads)
    with bars() as progress:
        task = progress.add_task(name, total=None)
        metadata = pretrain(
            name, out, lambda done, steps: progress.update(task, completed=done, total=steps)
        )
    print(f"{out}: {metadata['attention_mass']} of the [cls] attention on the object")
