"""Writes docs/methods.md: formulas, references and settings of the methods, from their classes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from docs.make import stamp
from docs.make.page import DOCS
from gta.methods import METHODS

PAGE, COMMAND = DOCS / "methods.md", "python -m docs.make methods"
SOURCES = [Path(__file__)]
VERSIONS: dict[str, int] = {}  # it is made of no results

HEAD = """\
# Methods

A method says which parameters train, what it reads of source and model, and its penalty. Each is
one file in `gta/methods`; this page is written from their classes. `methods:` of a config sets
grids and settings; a method of your own: [Extending](extend.md).

## Combinations
Names with `+` between them run several methods at once: the loss is the cross entropy plus the
penalties of all parts, so its gradient is the sum of theirs.

```yaml
methods:
  gta+lora: {gta: {grid: [0.1, 1]}, lora: {r: 4}, lr: [0.001, 0.01]}
  gta+spatial_entropy: {gta: {grid: [1]}, spatial_entropy: {grid: [0.01, 0.1]}}
```

Each part has its settings and its λ under its own name; what is tried is the product of all grids.
The first part with a penalty gives the run's λ; the others' stand behind it in names
(`lam=1:spatial_entropy=0.01`), in tables (λ 1, spatial_entropy 0.01) and in the column `tuned`. At
most one part says which parameters train, changes the model, corrects the weights after a step,
sets the head, or needs the features of a whole batch; methods that need the source's parameters
(`l2_sp`, `spd`) do not combine with those that change the model (`lora`, `spatial_prior`). What
does not fit is refused before any job starts.

## Learning rates
`lr: [0.001, 0.01]` under a method, or beside the parts of a combination, tries each in place of
`recipe.lr`; the rate is chosen together with λ by the same two rules and shown beside it
(`lam=0:lr=0.001` in names). Without the key, names, digests and results are as they were. Figures
of accuracy over λ (figure 4) take each λ at the best of what is tuned beside it.

## The head
`lp_ft` starts from the trained head of the `linear_probe` of the same dataset, rate, source and
seed; so do combinations with it, as `gta+lp_ft`. The study trains the probe's run first, in the
same job or an earlier one, and keeps its weights; its settings are part of the digest of what
starts from it. A method of your own does the same by `init_head = "linear_probe"`.
"""


def text() -> str:
    """The page."""
    parts = [stamp.head(COMMAND, SOURCES, VERSIONS), HEAD]
    for name, method in METHODS.items():
        docstring = inspect.cleandoc(method.__doc__ or "")
        words, _, settings = docstring.partition("Attributes:")
        lines = [f"## {method.title}", "", f"`{name}`. {words.strip()}", ""]
        if method.reference:
            lines += [f"**Reference.** {method.reference}", ""]
        if method.grid:
            grid = ", ".join(f"{lam:g}" for lam in method.grid)
            lines += [f"**λ.** Tried by default: {grid}.", ""]
        if settings.strip():
            entries = re.split(r"\n(?=\S)", inspect.cleandoc("\n" + settings))
            lines += ["**Settings.**", ""]
            lines += [
                "- " + " ".join(entry.split()).replace(":", "`:", 1).join(["`", ""])
                for entry in entries
                if ":" in entry
            ]
            lines.append("")
        parts.append("\n".join(lines))
    return "\n".join(parts).rstrip() + "\n"


def write() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")
