"""Learning rates tried in studies ``<name>-lr-<rate>``, and the choice on held-out images.

python -m docs.make.learning_rates flowers     # prints arguments for `snakemake --config`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from gta.errors import GtaError

# Methods that were not tried on their own take the rate chosen for fine-tuning.
BASE = "finetune"


def tried(study: str, root: Path = Path("results")) -> pd.DataFrame:
    """A row for each method and rate tried: ``method, lr, n, heldout_acc1, heldout_loss, std``.

    Means over seeds, in percent and nats; ``std`` is the sample deviation of the accuracy. No
    test accuracy is read.

    Raises:
        GtaError: if there is no such study.
    """
    parts = []
    for path in sorted(root.glob(f"{study}-lr-*/metrics.parquet")):
        columns = ["method", "seed", "heldout_acc1", "heldout_loss"]
        rate = float(path.parent.name.removeprefix(f"{study}-lr-"))
        parts.append(pd.read_parquet(path, columns=columns).assign(lr=rate))
    if not parts:
        raise GtaError(f"{root}: has no {study}-lr-<rate>/metrics.parquet; run the rates first")
    groups = pd.concat(parts).groupby(["method", "lr"])
    table = groups.agg(
        n=("seed", "count"),
        heldout_acc1=("heldout_acc1", "mean"),
        std=("heldout_acc1", "std"),
        heldout_loss=("heldout_loss", "mean"),
    )
    return table.reset_index()


def choose(table: pd.DataFrame) -> dict[str, float]:
    """The rate of each method: highest held-out accuracy, then lowest held-out loss."""
    order = table.sort_values(["heldout_acc1", "heldout_loss"], ascending=[False, True])
    chosen = order.groupby("method", sort=True)["lr"].first()
    return {str(method): float(lr) for method, lr in chosen.items()}


def keys(chosen: dict[str, float]) -> dict[str, Any]:
    """The choice as keys of the study's config: the base rate, and methods with another."""
    base = chosen[BASE]
    overrides = [
        {"method": [method], "recipe": {"lr": lr}} for method, lr in chosen.items() if lr != base
    ]
    return {"recipe": {"lr": base}, "overrides": overrides}


def config(chosen: dict[str, float]) -> list[str]:
    """The choice as arguments for ``snakemake --config``."""
    content = keys(chosen)
    overrides = ", ".join(
        f"{{method: [{own['method'][0]}], recipe: {{lr: {own['recipe']['lr']:g}}}}}"
        for own in content["overrides"]
    )
    return [f"recipe={{lr: {content['recipe']['lr']:g}}}", f"overrides=[{overrides}]"]


if __name__ == "__main__":
    print("\n".join(config(choose(tried(sys.argv[1])))))
