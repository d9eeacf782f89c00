"""The model card: data, recipe, accuracy, how λ was chosen, and how to load the model."""

from __future__ import annotations

import json
from math import sqrt

import yaml

from gta.interface import RunResults, StudyResults
from gta.study.run import POINT
from gta.tables.render import point_text

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution

TEMPLATE = """\
---
{front}---
# {title}

{method} of a {source} ({architecture}) on {rate:g} % of the training images of {dataset}
({train:,} images, {classes} classes), with [gta](https://arxiv.org/abs/2401.02656).

| | |
|---|---|
| top-1 accuracy on the test set | {accuracy} |
| over seeds, at this λ | {over_seeds} |
| λ | {lam} |
| image size | {size} x {size} pixels |
| trained | {finished}, {iterations:,} iterations of {batch} images, {device}, {precision} |
| run | `{run}` |
| command | `{command}` |
| versions | {versions} |

## Use
```python
import timm

model = timm.create_model("local-dir:THIS_FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
logits = model(transform(image).unsqueeze(0))  # image: a PIL image in RGB
```
Names of the classes, in the order of the outputs: `label_names` in `config.json`.
`gta predict THIS_FOLDER IMAGES…` does the same from the command line, with the study's own view of
test images.

## Read with care
- The interval is over test images alone; the one over seeds says how much another seed changes.
- The test images are of the dataset that the model was trained on; other photographs may give less.
- Weights are derived from the source's: its licence ({licence}) holds for them too, and the
  dataset's terms hold for what was learned from it.

## Recipe
```json
{recipe}
```
"""


def model_card(study: StudyResults, run: RunResults, command: str) -> str:
    """The README of an exported model, in Markdown with a YAML head as the hub reads it."""
    row, config = run.metrics, study.config
    low, high = wilson(row["acc1"] / 100, row["n_test"])
    front = {
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "tags": list(dict.fromkeys(["image-classification", "timm", "gta", run.method])),
        "license": "other",
        "license_name": "see-source-and-dataset",
    }
    return TEMPLATE.format(
        front=yaml.safe_dump(front, sort_keys=False),
        title=f"{study.methods[run.method]}, {run.dataset}, {run.rate:g} %",
        method=study.methods[run.method],
        source=run.source,
        architecture=run.recipe.architecture,
        rate=run.rate,
        dataset=run.dataset,
        train=row["n_train"],
        classes=len(run.classes),
        accuracy=(
            f"{row['acc1']:.2f} % of {row['n_test']:,} images (95 % interval {100 * low:.2f} to "
            f"{100 * high:.2f}, Wilson)"
        ),
        over_seeds=_over_seeds(study, run),
        lam=_how_chosen(study, run),
        size=run.recipe.image_size,
        finished=f"{row['finished_at']:%Y-%m-%d}",
        iterations=row["iterations"],
        batch=run.recipe.batch_size,
        device=row["device"],
        precision=row["precision"],
        run=run.name,
        command=command,
        versions=_versions(row["versions"], row["git_commit"]),
        licence=_licence(study, run.source),
        recipe=json.dumps(
            {
                "recipe": run.recipe.model_dump(mode="json"),
                "method": config["methods"].get(run.method),
            },
            indent=1,
        ),
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of ``n`` (Wilson 1927)."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return middle - half, middle + half


def _over_seeds(study: StudyResults, run: RunResults) -> str:
    fields = ("dataset", "rate", "source", "method", "mix", *POINT)
    metrics = study.metrics
    for field in fields:
        metrics = metrics[metrics[field] == getattr(run.run, field)]
    accuracies = metrics["acc1"]
    if len(accuracies) < 2:
        return "one seed"
    return f"{accuracies.mean():.2f} ± {accuracies.std():.2f} % ({len(accuracies)} seeds)"


def _how_chosen(study: StudyResults, run: RunResults) -> str:
    point = run.run.lam, run.run.tuned
    runs = [one.run for one in study.runs(method=run.method)]
    tried = list(dict.fromkeys((one.lam, one.tuned) for one in runs))
    if len(tried) < 2:
        return f"{run.lam:g}, the only one tried" if run.lam else "none: the method has no penalty"
    where = {"dataset": run.dataset, "rate": run.rate, "source": run.source, "mix": run.mix}
    grid, text = "; ".join(map(_point, tried)), _point(point)
    if not any(tuned for _, tuned in tried):
        grid = grid.replace("; ", ", ")
    for rule, words in (
        ("heldout", "chosen on held-out images, without a look at the test set"),
        ("test", "chosen on the test set, which flatters the accuracy above"),
    ):
        best = study.best(rule, method=run.method, **where)  # type: ignore[arg-type]
        if point in set(best[POINT].itertuples(index=False, name=None)):
            return f"{text} of {grid}, {words}"
    return f"{text} of {grid}; neither rule chose it"


def _point(point: tuple[float, str]) -> str:
    return point_text(*point)


def _versions(versions: str, commit: str) -> str:
    found = ", ".join(f"{name} {number}" for name, number in json.loads(versions).items())
    return f"{found}; commit {commit[:12]}"


def _licence(study: StudyResults, source: str) -> str:
    return str(getattr(study.source_info(source), "licence", "") or "not recorded; ask its authors")
