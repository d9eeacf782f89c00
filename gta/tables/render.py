"""A laid-out table as Markdown, LaTeX (booktabs) and a page of HTML that needs no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from html import escape
from math import isnan
from typing import Any

import pandas as pd
from jinja2 import Environment, Template

from gta.tables.layout import Cell, Page

HOLE = "-"
WIDE = 5  # columns that fill a page of LaTeX; more are scaled to it

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ page.title }}</title>
<style>
:root { color-scheme: light dark; --text: #1b1f24; --faint: #59636e; --line: #d1d9e0;
  --page: #fff; --head: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --faint: #9aa4af;
  --line: #3d444d; --page: #0d1117; --head: #161b22; } }
body { margin: 2rem auto; max-width: 112rem; padding: 0 1rem; background: var(--page);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin-bottom: .25rem; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { max-width: 60rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-block: 2px solid var(--text);
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; white-space: nowrap; }
td { text-align: right; padding-right: 1.2rem; }
thead th { background: var(--head); text-align: center; white-space: normal; }
thead tr:last-child th { border-bottom: 1px solid var(--text); }
tbody th { text-align: left; font-weight: normal; vertical-align: top; }
tbody tr:has(> th[rowspan]) > * { border-top: 1px solid var(--line); }
td i { display: inline-block; width: 0; text-indent: .2em; font-style: normal; }
sup { font-size: .7em; line-height: 0; }
small, .notes { color: var(--faint); }
.notes { font-size: .85rem; max-width: 60rem; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>{{ page.title }}</h1>
<p>{{ page.caption }}</p>
{% for title, table in tables %}
{% if title %}<h2>{{ title }}</h2>{% endif %}
<div class="wide" tabindex="0" role="region" aria-label="{{ title or page.title }}">
{{ table | safe }}
</div>
{% endfor %}
<div class="notes">
{% if notes %}
<ol>
{% for note in notes %}
<li>{{ note | safe }}</li>
{% endfor %}
</ol>
{% endif %}
{% for remark in remarks %}
<p>{{ remark | safe }}</p>
{% endfor %}
</div>
</body>
</html>
"""

LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "λ": r"$\lambda$",
    "Δ": r"$\Delta$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≉": r"$\not\approx$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "•": r"$\bullet$",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "`": r"\textasciigrave{}",
    "--": "-{}-{}",  # no dash
    # behind the end of a row these would be its options
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
IN_LATEX = re.compile("|".join(map(re.escape, LATEX)))
COMMAND = re.compile("`([^`]*)`")
IN_MARKDOWN = re.compile(r"[\\`*\[\]|<>&]|(?<![^\W_])_|_(?![^\W_])")


def to_html(page: Page) -> str:
    """A self-contained page, light or dark as the reader's system is."""

    def text(cell: Cell) -> str:
        number, lam, notes = parts(cell)
        number = f"<b>{number}</b>" if cell.best else number
        tail = cell.mark + (f"<sup>{notes}</sup>" if notes else "")
        number += f"<i>{tail}</i>" if tail else ""
        number = f'<span title="{escape(cell.about)}">{number}</span>' if cell.about else number
        lam = lam.replace("λ ", "λ&nbsp;")
        return f"<small>{lam}</small> {number}" if lam else number

    tables = [
        (title, _texts(cells, text, escape).to_html(escape=False, border=0))
        for title, cells in page.blocks
    ]
    notes, remarks = (list(map(code_in_html, texts)) for texts in (page.notes, page.remarks))
    return _template().render(page=page, tables=tables, notes=notes, remarks=remarks)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE)


def to_markdown(page: Page) -> str:
    """GitHub's Markdown."""

    def text(cell: Cell) -> str:
        number, lam, notes = parts(cell)
        number = f"**{number}**" if cell.best else number
        number += f" {cell.mark}" if cell.mark else ""
        return number + (f" ({lam})" if lam else "") + (f" [{notes}]" if notes else "")

    lines = [f"# {escape_markdown(page.title)}", "", _code_in_markdown(page.caption), ""]
    for title, cells in page.blocks:
        if title:
            lines += [f"## {escape_markdown(title)}", ""]
        table = _texts(cells, text, escape_markdown)
        down = table.index.nlevels
        heads = [", ".join(filter(None, _levels(column))) for column in table.columns]
        rows = [[*map(str, table.index.names), *heads]]
        rows.append(["---"] * down + ["---:"] * len(table.columns))
        rows += [
            [*_levels(index), *values]
            for index, values in zip(table.index, table.to_numpy().tolist(), strict=True)
        ]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    notes = map(_code_in_markdown, page.notes)
    lines += [f"[{number}] {note}  " for number, note in enumerate(notes, start=1)]
    lines += [""] if page.notes else []
    lines += [part for remark in page.remarks for part in (_code_in_markdown(remark), "")]
    return "\n".join(lines).rstrip() + "\n"


def to_latex(page: Page) -> str:
    r"""A ``table*`` for a document that uses ``booktabs`` and ``graphicx``."""

    def text(cell: Cell) -> str:
        number, lam, notes = parts(cell)
        number = escape_latex(number).replace("-", "$-$")
        number = rf"\textbf{{{number}}}" if cell.best else number
        number += f"~{escape_latex(cell.mark)}" if cell.mark else ""
        lam = rf"{{\scriptsize {escape_latex(lam)}}} " if lam else ""
        return lam + number + (rf"\textsuperscript{{{notes}}}" if notes else "")

    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape_latex(f'{page.title}. {page.caption}')}}}",
        rf"\label{{tab:{page.name}}}",
    ]
    for title, cells in page.blocks:
        table = _texts(cells, text, escape_latex)
        columns = "l" * table.index.nlevels + "r" * len(table.columns)
        tabular = table.to_latex(
            escape=False, column_format=columns, multicolumn_format="c", multirow=False
        )
        lines += [rf"\par\medskip {escape_latex(title)}\par\smallskip"] if title else []
        tabular = _spaced(tabular.rstrip(), cells.index)
        wide = len(columns) > WIDE
        lines += [f"\\resizebox{{\\textwidth}}{{!}}{{%\n{tabular}}}" if wide else tabular]
    notes = [
        rf"\textsuperscript{{{number}}}~{_commands_in_latex(note)}"
        for number, note in enumerate(page.notes, start=1)
    ]
    lines += [r"\par\smallskip\footnotesize\raggedright"]
    lines += [rf"{line}\par" for line in [*notes, *map(_commands_in_latex, page.remarks)]]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _spaced(tabular: str, index: pd.Index[Any]) -> str:
    """Part the groups of rows, which the first level of several names."""
    if index.nlevels == 1:
        return tabular
    head, body = tabular.split("\\midrule\n")
    groups = index.get_level_values(0)
    rows = body.splitlines()
    for position in range(len(groups) - 1, 0, -1):
        if groups[position] != groups[position - 1]:
            rows.insert(position, r"\addlinespace")
    return "\n".join([head + r"\midrule", *rows])


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    return IN_LATEX.sub(lambda match: LATEX[match[0]], text)


def code_in_html(text: str) -> str:
    """HTML of a text, what stands in backquotes as code."""
    return COMMAND.sub(r"<code>\1</code>", escape(text, quote=False))


def escape_markdown(text: str) -> str:
    """Text as GitHub's Markdown shows it, without markup, HTML or links."""

    def escaped(match: re.Match[str]) -> str:
        return escape(match[0]) if match[0] in "<>&" else f"\\{match[0]}"

    return IN_MARKDOWN.sub(escaped, text)


def _code_in_markdown(text: str) -> str:
    """Markdown of a text, what stands in backquotes as code."""
    parts = COMMAND.split(" ".join(text.split()))
    return "".join(f"`{part}`" if i % 2 else escape_markdown(part) for i, part in enumerate(parts))


def _commands_in_latex(text: str) -> str:
    parts = COMMAND.split(" ".join(text.split()))
    return "".join(
        rf"\texttt{{{escape_latex(part)}}}" if i % 2 else escape_latex(part)
        for i, part in enumerate(parts)
    )


def parts(cell: Cell) -> tuple[str, str, str]:
    """Number, what was chosen and numbers of notes of a cell as text, each empty without."""
    notes = ",".join(map(str, cell.notes))
    if isnan(cell.mean):
        return (HOLE if notes else ""), "", notes
    number = format(cell.mean, cell.form)
    if not isnan(cell.of):
        number += f" / {format(cell.of, cell.form)}"
    if not isnan(cell.std):
        number += f" ± {format(cell.std, cell.form.lstrip('+'))}"
    points = [point_text(cell.lam, cell.tuned), point_text(cell.other_lam, cell.other_tuned)]
    chosen = " → ".join(filter(None, points))
    if chosen[:1].isdigit():
        chosen = f"λ {chosen}"
        chosen += f" {cell.lam_of}" if cell.lam_of else ""
    return number, chosen, notes


def point_text(lam: float, tuned: str) -> str:
    """A point as readers see it, as ``0.1, lr 0.001``; NaN leaves lambda out."""
    beside = tuned.replace("=", " ").split(":") if tuned else []
    return ", ".join([*([] if isnan(lam) else [f"{lam:g}"]), *beside])


def _texts(
    cells: pd.DataFrame, text: Callable[[Cell], str], escaped: Callable[[str], str]
) -> pd.DataFrame:
    """Cells and headings as text of one format."""
    table = cells.map(lambda cell: text(cell) if isinstance(cell, Cell) else "")
    table.index = _escaped(table.index, escaped)
    table.columns = _escaped(table.columns, escaped)
    return table


def _escaped(index: pd.Index[Any], escaped: Callable[[str], str]) -> pd.Index[Any]:
    names = [escaped(str(name or "")) for name in index.names]
    if isinstance(index, pd.MultiIndex):
        return pd.MultiIndex.from_tuples(
            [tuple(map(escaped, levels)) for levels in index], names=names
        )
    return pd.Index([escaped(level) for level in index], name=names[0])


def _levels(key: Any) -> tuple[str, ...]:
    return key if isinstance(key, tuple) else (key,)
