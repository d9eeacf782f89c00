"""Each bad config gives one clear line that names the file and the key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.errors import GtaError
from gta.study import Study
from gta.study.faults import ConfigError

Change = Callable[[dict[str, Any]], object]


def lines_of(content: dict[str, Any], folder: Path) -> list[str]:
    """The errors that a config gives, as the user reads them."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(GtaError) as error:
        Study.load([file])
    faults = error.value.faults if isinstance(error.value, ConfigError) else (error.value,)
    lines = [str(fault).replace(str(folder) + "/", "") for fault in faults]
    assert not [line for line in lines if "\n" in line]
    return lines


def line_of(content: dict[str, Any], folder: Path) -> str:
    """The only error that a config gives."""
    (line,) = lines_of(content, folder)
    return line


def override(content: dict[str, Any], **keys: Any) -> None:
    content["overrides"] = [{"recipe": {"lr": 1e-4}, **keys}]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        # unknown keys
        (lambda c: c.update(dataset=["mini_near"]), "dataset: unknown key"),
        (lambda c: c["recipe"].update(lrr=1), "recipe.lrr: unknown key"),
        (
            lambda c: c["recipe"].update(augment={"flipp": 0.5}),
            "recipe.augment.flipp: unknown key",
        ),
        (lambda c: c.update({5: 1}), "5: unknown key"),
        # what timm would read over or fail on, and a crop with a black border
        *(
            (
                lambda c, n=name: c["recipe"].update(augment={"randaugment": n}),
                "recipe.augment.randaugment: ",
            )
            for name in ("m9", "rand-q3", "rand-foo", "")
        ),
        (
            lambda c: c["recipe"].update(evaluation={"resize": 40}),
            "recipe: evaluation.resize must not be below image_size",
        ),
        (
            lambda c: c.update(variants={"plain": {"of": "tune", "title": "Plain"}}),
            "variants: there is no method 'tune'; did you mean 'finetune'?",
        ),
        (
            lambda c: c.update(variants={"gta": {"of": "finetune", "title": "Plain"}}),
            "variants: 'gta' is a method; choose another name",
        ),
        (
            lambda c: c.update(
                variants={"plain": {"of": "finetune", "title": "Plain", "recipe": {"lrr": 1}}}
            ),
            "variants.plain.recipe.lrr: unknown key",
        ),
        (
            lambda c: c["recipe"].update(mixup_cutmix={"mixup": 0, "cutmix": 0}),
            "recipe.mixup_cutmix: mixup and cutmix are both 0; use base_mix: none",
        ),
        (
            lambda c: c["recipe"].update(base_mix="mixup_cutmix", batch_size=7),
            "recipe.batch_size: Mixup/CutMix pairs images, so it must be even",
        ),
        (
            lambda c: c.update(recipe_sources={"a/b#1": ["augment.flipp"]}),
            "recipe_sources: there is no key of recipe.augment 'flipp'; did you mean 'flip'?",
        ),
        (lambda c: override(c, datasets=["mini_near"]), "overrides.0.datasets: unknown key"),
        (lambda c: override(c, recipe={"lrr": 1}), "overrides.0.recipe.lrr: unknown key"),
        # missing keys
        (lambda c: c.pop("recipe"), "recipe: missing"),
        (lambda c: c["recipe"].pop("lr"), "recipe.lr: missing"),
        # types
        (lambda c: c.update(datasets="mini_near"), 'datasets: "mini_near" should be a list'),
        (lambda c: c.update(sources=["ibot"]), 'sources: ["ibot"] should be keys and values'),
        (lambda c: c.update(rates=["15"]), 'rates.0: "15" should be a valid number'),
        (lambda c: c.update(seeds=[True]), "seeds.0: true should be a valid integer"),
        (lambda c: c.update(seeds=[0.5]), "seeds.0: 0.5 should be a valid integer"),
        (lambda c: c.update(study=7), "study: 7 should be a valid string"),
        (lambda c: c["recipe"].update(lr="fast"), 'recipe.lr: "fast" should be a valid number'),
        (lambda c: c["recipe"].update(betas=[0.9]), "recipe.betas.1: missing"),
        (
            lambda c: c["methods"].update(gta=3),
            "methods.gta: 3 should be keys and values",
        ),
        (
            lambda c: c.update(split={"seed": "runs"}),
            "split.seed: \"runs\" should be 'run' or should be a valid integer",
        ),
        # values
        (lambda c: c.update(rates=[0]), "rates.0: 0 should be greater than 0"),
        (lambda c: c.update(rates=[15, 101]), "rates.1: 101 should be less than or equal to 100"),
        (lambda c: c.update(rates=[-15]), "rates.0: -15 should be greater than 0"),
        (lambda c: c.update(rates=[float("nan")]), "rates.0: NaN should be a finite number"),
        (lambda c: c.update(rates=[]), "rates: [] "),
        (lambda c: c.update(rates=[15, 15.0]), "rates: a value is named twice"),
        (
            lambda c: c.update(rates=[33.3333333]),
            "rates.0: 33.3333333 has more than six significant digits, a path cannot hold it",
        ),
        (lambda c: c.update(seeds=[0, 1, 0]), "seeds: a value is named twice"),
        (lambda c: c.update(seeds=[-1]), "seeds.0: -1 should be greater than or equal to 0"),
        (
            lambda c: c["methods"].update(gta={"grid": [-0.1]}),
            "methods.gta.grid.0: -0.1 should be greater than or equal to 0",
        ),
        (
            lambda c: c["methods"].update(gta={"grid": [float("inf")]}),
            "methods.gta.grid.0: Infinity should be a finite number",
        ),
        (
            lambda c: c["methods"].update(gta={"grid": [1, 1.0]}),
            "methods.gta.grid: a value is named twice",
        ),
        (
            lambda c: c.update(study="../other"),
            'study: "../other" should hold only letters, digits and _ . -',
        ),
        (lambda c: c["recipe"].update(iterations=0), "recipe.iterations: 0 should be greater"),
        (
            lambda c: c["recipe"].update(warmup_iterations=4),
            "recipe: warmup_iterations must be below iterations",
        ),
        (
            lambda c: override(c, recipe={"iterations": 0}),
            "overrides.0.recipe.iterations: 0 should be greater than or equal to 1",
        ),
        # names of nothing
        (
            lambda c: c.update(datasets=["mini"]),
            "datasets: there is no dataset 'mini'; did you mean 'mini_far' or ",
        ),
        (lambda c: c["sources"].update(main="ibott"), "sources: there is no source 'ibott'"),
        (lambda c: c["methods"].update(gtaa=None), "methods: there is no method 'gtaa'"),
        (lambda c: c.update(extra_methods=["probe"]), "extra_methods: there is no method 'probe'"),
        (lambda c: c.update(pack=["lambda"]), "pack: there is no field of a run 'lambda'"),
        (
            lambda c: c["recipe"].update(architecture="vit"),
            "recipe.architecture: there is no architecture",
        ),
        (
            lambda c: c.update(architectures={"mine": "vit_mini_patch8"}),
            "architectures: there is no source of the catalog 'mine'; known: tiny_ibot, ",
        ),
        (
            lambda c: c.update(architectures={"ibot": "vit"}),
            "architectures: there is no architecture 'vit'",
        ),
        (lambda c: override(c, method=["gtaa"]), "overrides: there is no method 'gtaa'"),
        (lambda c: override(c, mix=["cutmix"]), "overrides: there is no mix 'cutmix'"),
        (
            lambda c: c["methods"].update(gta={"reduce": "sum"}),
            "methods.gta.reduce: unknown key; did you mean 'reduction'?; gta has: grid, lr",
        ),
        (
            lambda c: c["methods"].update(bss={"reduction": "sum"}),
            "methods.bss.reduction: unknown key; bss has: grid, lr, k",
        ),
        (
            lambda c: c["methods"].update(gta={"reduction": "avg"}),
            "methods.gta.reduction: \"avg\" should be 'sum' or 'mean'",
        ),
        (
            lambda c: c["methods"].update(l2_sp={"head": -1}),
            "methods.l2_sp.head: -1 should be greater than or equal to 0",
        ),
        (
            lambda c: c["methods"].update(gta={"blocks": "last"}),
            "methods.gta.blocks: \"last\" should be 'all' or 'global' or should be a list",
        ),
        (
            lambda c: c["recipe"].update(augment={"scale": [1, 0.5]}),
            "recipe.augment.scale: 1 to 0.5 is not a range",
        ),
        (
            lambda c: c["methods"].update(finetune={"grid": [1]}),
            "methods.finetune.grid: unknown key; finetune has: lr",
        ),
        # what does not fit together
        (lambda c: c.update(tables=["table9"]), "tables: "),
        (lambda c: c.update(figures=["figure9"]), "figures: "),
        (lambda c: c.update(tables=["figure4"]), "tables: "),
        (lambda c: c.update(tables=["table2", "table2"]), "tables: a value is named twice"),
        (
            lambda c: (c["sources"].pop("other_ssl"), c.update(tables=["tableA1"])),
            "sources: tableA1 needs a source in the role 'other_ssl'; there are: main, supervised",
        ),
        (
            lambda c: c.update(rates=[30], tables=["table3"]),
            "rates: none of them is one of table3's",
        ),
        (
            lambda c: c.update(restrict={"table3": {"rates": [15]}}),
            "restrict: 'table3' is not among the study's tables and figures",
        ),
        (
            lambda c: c.update(restrict={"table2": {"datasets": ["cub"]}}),
            "restrict.table2.datasets: the study has no cub",
        ),
        (
            lambda c: c["recipe"].update(architecture="vit_small_patch16_224"),
            "recipe.architecture: tiny_ibot is a vit_mini_patch8 (for dataset=",
        ),
        (
            lambda c: (c["recipe"].update(batch_size=7), c.update(tables=["table5"])),
            "recipe.batch_size: TransMix pairs images, so it must be even (for dataset=",
        ),
    ],
)
def test_bad_config(change: Change, line: str, tiny_config: dict[str, Any], workdir: Path) -> None:
    change(tiny_config)
    lines = lines_of(tiny_config, workdir)
    assert [one for one in lines if one.startswith(f"study.yaml: {line}")], lines


def test_undeclared_table_names_the_declared_ones(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    tiny_config["tables"] = ["table9"]
    line = line_of(tiny_config, workdir)
    assert "declares no 'table9'; did you mean 'table6' or 'table5'?; it has: table1, " in line


def test_all_faults_are_told_at_once(tiny_config: dict[str, Any], workdir: Path) -> None:
    tiny_config |= {"rates": [0], "seeds": [-1], "data_sets": ["cub"]}
    tiny_config["recipe"] |= {"image_sise": 48}
    lines = lines_of(tiny_config, workdir)
    assert lines[:2] == [
        "study.yaml: rates.0: 0 should be greater than 0",
        "study.yaml: seeds.0: -1 should be greater than or equal to 0",
    ]
    assert lines[2].startswith(
        "study.yaml: recipe.image_sise: unknown key; did you mean 'image_size'?; known: "
    )
    assert lines[3].startswith(
        "study.yaml: data_sets: unknown key; did you mean 'datasets' or 'own_datasets'?; known: "
    )
    with pytest.raises(ConfigError, match=r"^4 faults in the config:\n  study\.yaml: rates"):
        Study.load(["study.yaml"])


def test_faults_of_different_places_are_told_at_once(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    tiny_config |= {"tables": ["table2", "table9"], "restrict": {"table3": {}}}
    tiny_config["methods"]["gta"]["reduce"] = "sum"
    lines = lines_of(tiny_config, workdir)
    assert [line.split(": ")[1] for line in lines] == ["methods.gta.reduce", "tables", "restrict"]


def test_overrides_that_only_together_are_bad(tiny_config: dict[str, Any], workdir: Path) -> None:
    tiny_config["recipe"]["iterations"] = 100
    tiny_config["overrides"] = [
        {"rate": [15], "recipe": {"iterations": 10}},
        {"dataset": ["mini_far"], "recipe": {"warmup_iterations": 20}},
    ]
    assert line_of(tiny_config, workdir) == (
        "study.yaml: recipe: warmup_iterations must be below iterations (for dataset=mini_far/"
        "rate=15/source=tiny_ibot/method=attention_only/mix=none/lam=0/seed=0)"
    )


# Tables declared wrongly


CELLS = {"source": ["main"], "method": ["finetune"]}
TABLE = {"kind": "accuracy", "title": "A table", "caption": "Numbers.", "cells": [CELLS]}


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        ({"tables": {"table2": {**TABLE, "row": []}}}, "tables.table2.row: unknown key"),
        (
            {"tables": {"table2": {**TABLE, "kind": "pie"}}},
            "tables.table2.kind: there is no kind 'pie'; known: accuracy, ",
        ),
        (
            {"tables": {"table2": {**TABLE, "rows": ["lambda"]}}},
            "tables.table2.rows: 'lambda' is not a field of a cell: dataset, source, ",
        ),
        (
            {"tables": {"table2": {**TABLE, "cells": [{**CELLS, "rate": [0]}]}}},
            "tables.table2.cells.0.rate.0: 0 should be greater than 0",
        ),
        (
            {"tables": {"table2": {**TABLE, "cells": []}}},
            "tables.table2: kind accuracy needs cells",
        ),
        (
            {"tables": {"table2": {**TABLE, "kind": "statistics"}}},
            "tables.table2: kind statistics takes no cells",
        ),
        (
            {"tables": {"table2": {**TABLE, "kind": "maps"}}},
            "tables.table2: kind maps does not belong under tables",
        ),
        (
            {"tables": {"table2": TABLE}, "figures": {"table2": {**TABLE, "kind": "maps"}}},
            "'table2' is declared as a table and as a figure; rename one",
        ),
        (
            {"tables": {"table2": {**TABLE, "cells": [{**CELLS, "method": ["gtaa"]}]}}},
            "tables.table2: there is no method 'gtaa'; did you mean 'gta'?; known: ",
        ),
        (
            {"tables": {"table2": {**TABLE, "cells": [{**CELLS, "mix": ["mixup"]}]}}},
            "tables.table2: there is no mix 'mixup'; known: none, mixup_cutmix, transmix",
        ),
        (
            {"tables": {"table2": {**TABLE, "recipe": {"lr": 0}}}},
            "tables.table2.recipe.lr: 0 should be greater than 0",
        ),
    ],
)
def test_bad_table(
    declared: dict[str, Any], line: str, tiny_config: dict[str, Any], workdir: Path
) -> None:
    Path("tables.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    tiny_config["tables_file"] = "tables.yaml"
    tiny_config["methods"] = {}
    assert line_of(tiny_config, workdir).startswith(f"tables.yaml: {line}")


def test_table_that_names_an_unknown_role_points_at_the_study(
    tiny_config: dict[str, Any], workdir: Path
) -> None:
    declared = {"tables": {"table2": {**TABLE, "cells": [{**CELLS, "source": ["best"]}]}}}
    Path("tables.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    tiny_config |= {"tables_file": "tables.yaml", "methods": {}}
    assert line_of(tiny_config, workdir) == (
        "study.yaml: sources: table2 needs a source in the role 'best'; "
        "there are: main, other_ssl, supervised"
    )


def test_two_tables_that_disagree(tiny_config: dict[str, Any], workdir: Path) -> None:
    declared = {"tables": {"table2": TABLE, "longer": {**TABLE, "recipe": {"iterations": 400}}}}
    Path("tables.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    tiny_config |= {"tables_file": "tables.yaml", "tables": ["table2", "longer"], "methods": {}}
    line = line_of(tiny_config, workdir)
    assert line.startswith("tables.yaml: table2 and longer disagree on the recipe of dataset=")
    assert line.endswith("a run has one recipe: put one of them into a study of its own")

    # each alone is fine, and the table's own recipe is then that of its runs
    study = Study({**tiny_config, "tables": ["longer"]})
    assert {study.recipe(run).iterations for run in study.runs} == {400}


def test_table_declared_twice(tiny_config: dict[str, Any], workdir: Path) -> None:
    one = "  table2: {kind: accuracy, title: t, caption: c, cells: [{source: [main], method: []}]}"
    Path("tables.yaml").write_text(f"tables:\n{one}\n{one}\n", encoding="utf-8")
    tiny_config["tables_file"] = "tables.yaml"
    assert line_of(tiny_config, workdir) == "tables.yaml:3: 'table2' is declared twice; keep one"


def test_missing_tables_file(tiny_config: dict[str, Any], workdir: Path) -> None:
    tiny_config["tables_file"] = "nowhere.yaml"
    line = line_of(tiny_config, workdir)
    assert line == "nowhere.yaml: cannot be read (No such file or directory)"


def test_run_of_another_study(tiny_study: Study) -> None:
    name = "dataset=cub/rate=15/source=ibot/method=gta/mix=none/lam=10/seed=0"
    with pytest.raises(GtaError, match="study tiny has no run dataset=cub/"):
        tiny_study.find(name)
    assert tiny_study.find(tiny_study.runs[3].name) == tiny_study.runs[3]
