"""Checks of a study that need its config, tables and runs together, before any job starts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gta.catalog import MIXES
from gta.catalog.shapes import Shape, shape_of
from gta.errors import GtaError
from gta.methods.readings import TapRequest
from gta.study.config import Recipe
from gta.study.faults import ConfigError, Faults
from gta.study.load import merge, validate
from gta.study.run import Run, cell_of

if TYPE_CHECKING:
    from gta.study import Study

BLOCK_READINGS = ("cls_logits", "cls_attention", "msa_output", "block_output")
BSS_RATES = (15, 30, 50, 100)  # of the published split lists
OVERRIDE_FIELDS = ("dataset", "rate", "source", "method", "mix")
MASKED_KINDS = ("segmentation", "masks")


def check(study: Study, faults: Faults) -> None:
    """Note all that cannot work, with file and key.

    Args:
        study: expanded.
        faults: where they are noted.
    """
    before = faults.count
    for file, key, recipe in _recipe_parts(study):
        with faults.noted():
            _check_part(study, file, key, recipe)
    if faults.count > before:  # every run would repeat them
        return
    _check_runs(study, faults)
    for check_one in (
        _check_overrides,
        _check_methods,
        _check_tune,
        _check_split,
        _check_titles,
        _check_references,
        _check_masks,
    ):
        for fault in check_one(study):
            faults.add(fault)
    for name, (file, key) in study.places_of_specs.items():
        try:
            study.kind(name).check_study(study, name)
        except ValueError as error:
            faults.add(GtaError(str(error), where=f"{file}: {key}"))


def _fault(study: Study, what: str, *keys: str) -> GtaError:
    return GtaError(what, where=f"{study.file_of(*keys)}: {'.'.join(keys)}")


def _recipe_parts(study: Study) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File, key and content of each set of recipe keys that is laid over the study's."""
    for i, override in enumerate(study.config.overrides):
        yield study.file_of("overrides"), f"overrides.{i}", override.recipe
    for name, variant in study.config.variants.items():
        yield study.file_of("variants", name), f"variants.{name}", variant.recipe
    for name, spec in study.specs.items():
        yield (*study.places_of_specs[name], spec.recipe)


def _check_part(study: Study, file: str, key: str, recipe: dict[str, Any]) -> None:
    """Check recipe keys laid over the study's recipe.

    Raises:
        GtaError: as ``validate``.
    """
    whole = merge(study.config.recipe.model_dump(), recipe)
    validate(Recipe, whole, [Path(file)], under=(*key.split("."), "recipe"))


def _check_runs(study: Study, faults: Faults) -> None:
    """Check one run of each recipe, source, method and mix."""
    firsts: dict[tuple[Any, ...], Run] = {}
    # Runs of a cell, which follow each other, differ in lambda and seed alone.
    for _, runs in groupby(study.runs, cell_of):
        run = next(runs)
        firsts.setdefault((study.recipe_key(run), run.source, run.method, run.mix), run)
    said: set[tuple[str, str]] = set()
    for run in firsts.values():
        try:
            recipe = study.recipe(run)
        except GtaError as error:  # overrides that only together are wrong
            for fault in error.faults if isinstance(error, ConfigError) else (error,):
                if (fault.where, fault.what) not in said:
                    said.add((fault.where, fault.what))
                    faults.add(GtaError(f"{fault.what} (for {run.name})", where=fault.where))
            continue
        for key, what in _faults_of_run(study, run, recipe):
            if (key, what) not in said:
                said.add((key, what))
                faults.add(_fault(study, f"{what} (for {run.name})", *key.split(".")))


def _faults_of_run(study: Study, run: Run, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Key and fault of what cannot work in a run."""
    expected = study.source_info(run.source).architecture
    if recipe.architecture != expected:
        yield "recipe.architecture", f"{run.source} is a {expected}"
        return
    shape = shape_of(recipe.architecture) or Shape()
    if recipe.image_size % shape.patch_size:
        below = recipe.image_size // shape.patch_size * shape.patch_size
        near = " or ".join(str(side) for side in (below, below + shape.patch_size) if side)
        patch = f"{recipe.architecture}'s patch, {shape.patch_size}"
        yield "recipe.image_size", f"{recipe.image_size} is not a multiple of {patch}; use {near}"
    mixing, _ = recipe.mixing(run.mix)
    if mixing != "none" and recipe.batch_size % 2:
        yield "recipe.batch_size", f"{MIXES[mixing]} pairs images, so it must be even"
    method = study.methods.create(run.method, run.tuned)
    if not shape.class_token:
        without = f"{recipe.architecture} has no [cls] token"
        if method.needs_cls:
            yield f"methods.{run.method}", f"reads [cls], and {without}"
        if mixing == "transmix":
            yield "recipe.architecture", f"{MIXES[mixing]} mixes by [cls], and {without}"
    if shape.windows and (method.taps or TapRequest()).queries_keys:
        what = f"rows: all is not for {recipe.architecture}, whose rows lie in windows"
        yield f"methods.{run.method}", what
    for request in (method.taps, method.source_taps):
        if (block := _absent_block(request, shape.depth)) is not None:
            has = f"{recipe.architecture} has blocks 0 to {shape.depth - 1}, or -1 for the last"
            yield f"methods.{run.method}.blocks", f"there is no block {block}; {has}"
            break
    for part, _ in method.terms(run.lam):
        k, most = getattr(part, "k", None), min(recipe.batch_size, shape.embed_dim)
        if part.over == "features" and isinstance(k, int) and k > most:
            has = f"features of a batch have {most} singular values"
            key = "k" if part is method else f"{part.name}.k"
            yield f"methods.{run.method}.{key}", f"{k} is too many; {has}"


def _absent_block(request: TapRequest | None, depth: int) -> int | None:
    """A block that a request names and a model of this depth lacks."""
    if request is None:
        return None
    for reading in BLOCK_READINGS:
        blocks = getattr(request, reading)
        for block in () if isinstance(blocks, str) else blocks:
            if not -depth <= block < depth:
                return int(block)
    return None


def _check_overrides(study: Study) -> Iterator[GtaError]:
    for i, override in enumerate(study.config.overrides):
        absent = False
        for field in OVERRIDE_FIELDS:
            there = {getattr(run, field) for run in study.runs}
            for value in getattr(override, field) or ():
                if value not in there:
                    absent = True
                    has = ", ".join(sorted(map(_text, there)))
                    what = f"no run has the {field} {_text(value)}; there are: {has}"
                    yield _fault(study, what, "overrides", str(i), field)
        if not absent and not any(override.matches(run) for run in study.runs):
            yield _fault(study, "no run matches all of its fields", "overrides", str(i))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_methods(study: Study) -> Iterator[GtaError]:
    """Methods that the config names and no table runs."""
    if not study.files or not study.runs:
        return
    run = {run.method for run in study.runs} | {
        study.methods.origin(run.method) for run in study.runs
    }
    for name in study.config.methods:
        if name not in run and name != "finetune":
            what = (
                "no table or figure of the study runs it; leave it out, or select methods by "
                f"`methods: [{', '.join(sorted(run))}]`"
            )
            yield _fault(study, what, "methods", name)


def _check_tune(study: Study) -> Iterator[GtaError]:
    """Methods that tune more than lambda, where it is chosen on some of the seeds."""
    if study.config.tune is None:
        return
    for method in dict.fromkeys(run.method for run in study.runs):
        if beside := study.methods.tuned_grids(method):
            what = (
                f"{method} tunes {', '.join(beside)} too, and tune chooses λ alone; leave one out"
            )
            yield _fault(study, what, "tune")


def _check_split(study: Study) -> Iterator[GtaError]:
    if study.config.split.kind != "bss":
        return
    for dataset in study.config.datasets:
        if study.dataset_info(dataset).bss is None:
            what = f"there are no published lists of {dataset}; use split: {{kind: random}}"
            yield _fault(study, what, "split", "kind")
    for rate in study.config.rates:
        if rate not in BSS_RATES:
            rates = ", ".join(map(str, BSS_RATES))
            yield _fault(study, f"lists are published at {rates} %, not {rate:g}", "split", "kind")


def _check_titles(study: Study) -> Iterator[GtaError]:
    """Titles that tables and figures could not tell apart."""
    datasets = [*study.config.datasets]
    sources = list(dict.fromkeys(study.config.sources.values()))
    methods = list(dict.fromkeys(run.method for run in study.runs))
    for section, names, title_of in (
        ("own_datasets", datasets, lambda name: study.dataset_info(name).title),
        ("own_sources", sources, lambda name: study.source_info(name).title),
        ("own_methods", methods, lambda name: study.methods[name].title),
    ):
        seen: dict[str, str] = {}
        what_kind = section.removeprefix("own_")
        for name in names:
            other = seen.setdefault(title_of(name), name)
            if other != name:
                title = f"both titled {title_of(name)!r}; change one title"
                what = f"the {what_kind} {other} and {name} are {title}"
                own = getattr(study.config, section)
                key = name if name in own or other not in own else other
                yield _fault(study, what, section, key, "title")


def _check_references(study: Study) -> Iterator[GtaError]:
    for name, spec in study.specs.items():
        if spec.reference is None or (path := study.reference_file(spec.reference)).is_file():
            continue
        found = {file.stem for folder in study.reference_folders for file in folder.glob("*.csv")}
        file, key = study.places_of_specs[name]
        what = f"there is no {path}; there are: {', '.join(sorted(found)) or 'none'}"
        yield GtaError(what, where=f"{file}: {key}.reference")


def _check_masks(study: Study) -> Iterator[GtaError]:
    if study.config.segmentation.dataset is not None:
        return
    for name, (file, key) in study.places_of_specs.items():
        if study.specs[name].kind not in MASKED_KINDS:
            continue
        datasets = sorted({run.dataset for run in study.runs_of(name)})
        if datasets and not any(may_have_masks(study, dataset) for dataset in datasets):
            what = (
                f"needs object masks, and none of {', '.join(datasets)} has any; set "
                "segmentation.dataset: voc12, add masks (docs/data.md), or leave it out"
            )
            yield GtaError(what, where=f"{file}: {key}")


def may_have_masks(study: Study, dataset: str) -> bool:
    """Whether a dataset has object masks, as far as it can be told without reading its images."""
    info = study.dataset_info(dataset)
    if dataset not in study.config.own_datasets:
        return info.masks
    place = study.placed_folder(dataset)
    try:
        if place.is_file():
            with place.open(encoding="utf-8-sig", newline="") as file:
                return "mask" in next(csv.reader(file), [])
        if place.is_dir():
            return any(path.is_dir() for path in (place / "masks", *place.glob("*/masks")))
    except (OSError, UnicodeDecodeError, csv.Error):
        pass
    return True  # not on this machine; preparing it will tell
