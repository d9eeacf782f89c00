"""A study's results in one file of HTML that loads nothing: tables, figures, runs, curves."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import itables.options
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs

from gta import files, results
from gta.errors import GtaError
from gta.page.answer import answer
from gta.page.curves import points_for
from gta.page.details import cells_of, details
from gta.page.sections import FIELDS, Section, choices, section, unmade
from gta.results import State
from gta.study import Run, Study
from gta.study.commands import command
from gta.tables import make, read_all
from gta.tables.collected import table_kind
from gta.tables.layout import title_of
from gta.tables.render import code_in_html

LARGEST = 1_000_000  # bytes of a figure that is embedded as it is
WIDEST = 1200  # pixels of one that is not
FACTS = ("device", "precision", "versions", "git_commit", "finished_at")  # of the metrics


def write(study: Study) -> Path:
    """Write ``results/<study>/index.html``.

    Raises:
        GtaError: if metrics are missing or damaged, or the file cannot be written.
    """
    path = study.folder / "index.html"
    files.write_text(path, build(study))
    return path


def build(study: Study) -> str:
    """The page; equal results give an equal page.

    A table or figure that is not there yet is named, with what makes it.

    Raises:
        GtaError: if metrics are missing or damaged.
    """
    collected = read_all(study)
    states = collected.states
    numbers = {cell: number for number, cell in enumerate(cells_of(study))}
    sections: list[Section] = []
    agreed: list[str] = []
    said = answer(study, collected)
    for name in study.tables:
        try:
            frame, page = make(study, name, collected)
        except GtaError as error:
            sections.append(unmade(study, name, error))
            continue
        sections.append(section(study, page, numbers))
        agreed += table_kind(study, name).summary(study, name, frame)
    narrowed = choices(study, sections)
    data = {
        "cells": details(study, collected, states),
        "tables": {made.name: made.details for made in sections},
    }
    return _template().render(
        study=study,
        runs=len(study.runs),
        holes=_holes(states),
        status=command(study, "status"),
        snakemake=_snakemake(study),
        facts=_facts(study),
        agreed=agreed,
        answer=said,
        methods={note.title: note for note in said.methods},
        fields=FIELDS,
        choices=narrowed,
        places={
            name: {value: number for number, value in enumerate(values)}
            for name, values in narrowed.items()
        },
        sections=sections,
        figures=[_figure(study, name) for name in study.figures],
        points=points_for(len(study.runs)),
        data=pack(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))),
        **_libraries(),
        style=Markup(_asset("page.css")),
        script=Markup(_asset("page.js")),
    )


def pack(text: str) -> str:
    """Text as base64 of gzip, which the page's script unpacks; no time of day in it."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


@cache
def _libraries() -> dict[str, str]:
    bundle = Path(itables.options.dt_bundle).read_text(encoding="utf-8")
    return {"datatables": pack(bundle), "plotly": pack(get_plotlyjs())}


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("gta", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2")


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _holes(states: Mapping[Run, State]) -> list[tuple[str, str, int]]:
    """State, reason and number of the runs that are not there, most frequent first."""
    counted = Counter((state.state, state.reason) for state in states.values())
    return [(*what, number) for what, number in counted.most_common()]


def _snakemake(study: Study) -> str:
    return " ".join(["snakemake --configfile", *map(str, study.files)])


def _facts(study: Study) -> dict[str, str]:
    """Facts of the study: its parts, software versions and dates."""
    config, metrics = study.config, results.read_collected(study, *FACTS)
    sources = ", ".join(
        f"{title_of(study, 'source', name)} ({role.replace('_', ' ')})"
        for role, name in config.sources.items()
    )
    facts = {
        "Datasets": ", ".join(title_of(study, "dataset", name) for name in config.datasets),
        "Share of the training images": ", ".join(
            title_of(study, "rate", rate) for rate in config.rates
        ),
        "Sources": sources,
        "Seeds": ", ".join(map(str, config.seeds)),
        "Devices": _distinct(metrics["device"]),
        "Precision": _distinct(metrics["precision"]),
        "Versions": "; ".join(
            ", ".join(f"{package} {number}" for package, number in json.loads(text).items())
            for text in sorted(metrics["versions"].dropna().unique())
        ),
        "Commits": _distinct(metrics["git_commit"]),
    }
    ended = metrics["finished_at"].dropna()
    if len(ended):
        first, last = (f"{when:%Y-%m-%d %H:%M}" for when in (ended.min(), ended.max()))
        facts["Runs ended"] = f"{first} to {last} UTC"
    return {name: text for name, text in facts.items() if text}


def _distinct(values: pd.Series[Any]) -> str:
    return ", ".join(sorted(values.dropna().unique()))


def _figure(study: Study, name: str) -> dict[str, Any]:
    spec = study.figures[name]
    path = study.folder / "figures" / f"{name}.png"
    figure: dict[str, Any] = {"name": name, "title": spec.title, "caption": spec.caption}
    figure["fault"] = Markup()
    try:
        figure["image"], figure["shrunk"] = embedded(path)
    except FileNotFoundError:
        text = f"Not drawn yet: `{command(study, f'figure {name}')}`"
        figure["fault"] = Markup(code_in_html(text))
    return figure


def embedded(path: Path) -> tuple[str, bool]:
    """A picture as a data URI, and whether it was shrunk: a large one becomes a small JPEG.

    Raises:
        FileNotFoundError: if there is none.
        GtaError: if it cannot be read.
    """
    content, kind = path.read_bytes(), "png"
    shrunk = len(content) > LARGEST
    if shrunk:
        try:
            with Image.open(path) as picture:
                small = picture.convert("RGB")
        except OSError as error:
            raise GtaError(f"{path}: cannot be read: {error}; draw it again") from None
        if small.width > WIDEST:
            height = round(small.height * WIDEST / small.width)
            small = small.resize((WIDEST, height), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=85, optimize=True)
        content, kind = buffer.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}", shrunk
