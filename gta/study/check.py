"""Checks of a study that need its config, tables and runs together, before any job starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gta.catalog import BSS_LISTS, DATASETS, MIXES, SOURCES
from gta.catalog.shapes import Shape, shape_of
from gta.errors import GtaError
from gta.methods.readings import TapRequest
from gta.study.check_tables import check_tables
from gta.study.faults import ConfigError, Faults, listed, nearest
from gta.study.load import merge, validate
from gta.study.recipe import Recipe
from gta.study.run import Run, cell_of

if TYPE_CHECKING:
    from gta.study import Study

BLOCK_READINGS = ("cls_logits", "cls_attention", "msa_output", "block_output")
BSS_RATES = (15, 30, 50, 100)  # of the published split lists
OVERRIDE_FIELDS = ("dataset", "rate", "source", "method", "mix")


def check(study: Study, faults: Faults) -> None:
    """Note all that cannot work, with file and key.

    Args:
        study: expanded.
        faults: where they are noted.
    """
    settled = not faults.count  # else runs are missing, and more would be said of them
    before = faults.count
    for file, key, recipe in _recipe_parts(study):
        with faults.noted():
            _check_part(study, file, key, recipe)
    if faults.count > before:  # every run would repeat them
        return
    _check_runs(study, faults)
    checks = [_check_split, _check_titles, _check_digests]
    if settled:
        checks += [_check_overrides, _check_methods]
    for check_one in checks:
        for fault in check_one(study):
            faults.add(fault)
    check_tables(study, faults)


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
    files = [Path(file)] if Path(file).is_file() else []  # none if the config has no file
    validate(Recipe, whole, files, under=(*key.split("."), "recipe"))


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
    if method.unlabelled and run.rate >= 100:
        yield f"methods.{run.method}", f"rate {run.rate:g} leaves no image without label"
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
        place = f"methods.{run.method}" if part is method else f"methods.{run.method}.{part.name}"
        rank, k = getattr(part, "r", None), getattr(part, "k", None)
        if isinstance(rank, int) and rank > shape.embed_dim:
            yield f"{place}.r", f"{rank} is above the model's width, {shape.embed_dim}"
        most = min(recipe.batch_size, shape.embed_dim)
        if part.over == "features" and isinstance(k, int) and k > most:
            has = f"features of a batch have {most} singular values"
            yield f"{place}.k", f"{k} is too many; {has}"


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
    matching = {study.recipe_key(run)[0] for run in study.runs}
    keys = [set(_leaves(override.recipe)) for override in study.config.overrides]
    for i in range(len(keys)):
        together = [[j for j in some if j > i] for some in matching if i in some]
        if together and all(keys[i] <= set().union(*(keys[j] for j in js)) for js in together):
            what = "later overrides set all of its keys for all of its runs"
            yield _fault(study, what if keys[i] else "sets no key", "overrides", str(i), "recipe")


def _leaves(recipe: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys that a recipe sets, each with those above it."""
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)


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


def _check_digests(study: Study) -> Iterator[GtaError]:
    """``digests`` of files that no dataset, no source and no published split list has."""
    forms = (form for info in DATASETS.values() for form in info.forms)
    archives = [archive for form in forms for archive in (*form.archives, *form.optional)]
    archives += [info.archive for info in SOURCES.values() if info.archive is not None]
    archives += BSS_LISTS.values()
    known = list(dict.fromkeys(archive.file for archive in archives))
    for file in study.config.digests:
        if file not in known:
            parts = (
                "no dataset, source or split list of the catalog has this file",
                nearest(file, known),
                f"known: {listed(known)}",
            )
            yield _fault(study, "; ".join(filter(None, parts)), "digests", file)
