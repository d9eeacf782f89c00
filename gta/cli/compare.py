"""``gta compare``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gta.cli.options import console, table_of
from gta.cli.outputs import Selection


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("compare")(compare)


def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A study: name, folder or config.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The study compared with it.")],
    selection: Annotated[Selection, typer.Option(help="How λ is chosen.")] = Selection.heldout,
    fail_below: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            min=0,
            help="Exit with status 1 if B is more than so many points below A in a cell.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an object: cells, recipe, failed.")
    ] = False,
) -> None:
    """Show the cells of two studies side by side, and what their recipes differ in.

    Differences are B less A in points of test accuracy; intervals (95 %) are of paired runs, where
    both studies have the same seeds and test images.

        gta compare results/before results/after --fail-below 1
    """
    import gta
    from gta import compare as comparison
    from gta.tables.render import point_text

    a, b = gta.open(one), gta.open(other)
    cells = comparison.compare(a, b, selection.value)
    recipe = comparison.recipe_differences(a, b)
    failed = cells[cells["difference"] < -(fail_below if fail_below is not None else 101)]
    if as_json:
        report = {
            "a": str(a.folder),
            "b": str(b.folder),
            "cells": json.loads(cells.to_json(orient="records")),
            "recipe": [{"key": key, "a": before, "b": after} for key, before, after in recipe],
            "failed": len(failed),
        }
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        table = table_of(
            f"Test accuracy (%): A {a.folder}, B {b.folder}",
            ["dataset", "source", "method", "mix"],
            ["rate", "λ A", "λ B", "A", "B", "B - A", "95 % interval"],
        )
        for cell in cells.to_dict("records"):
            known = cell["low"] == cell["low"]
            table.add_row(
                cell["dataset"],
                cell["source"],
                cell["method"],
                cell["mix"],
                f"{cell['rate']:g}",
                point_text(cell["lam_a"], cell["tuned_a"]),
                point_text(cell["lam_b"], cell["tuned_b"]),
                f"{cell['acc1_a']:.2f}",
                f"{cell['acc1_b']:.2f}",
                f"{cell['difference']:+.2f}",
                f"{cell['low']:+.2f} to {cell['high']:+.2f}" if known else "",
            )
        console.print(table)
        if not recipe:
            print("recipes: the same")
        for key, before, after in recipe:
            print(f"{key}: {json.dumps(before)} -> {json.dumps(after)}")
    if len(failed):
        if not as_json:
            print(f"{len(failed)} cells of B are more than {fail_below:g} points below A")
        raise typer.Exit(1)
