"""``config/paper.yaml`` against the counts that the paper's tables add up to."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from gta.study import Run, Study
from gta.study.load import merge, read_yaml
from gta.study.run import cell_of
from gta.study.sharing import batch_key


@pytest.fixture
def paper(root: Path, workdir: Path) -> Study:
    content = read_yaml(root / "config" / "paper.yaml")
    return Study({**content, "tables_file": str(root / "config" / "tables.yaml")})


def test_paper_has_1470_runs_each_once(paper: Study) -> None:
    assert len(paper.runs) == 1470
    assert len(set(paper.runs)) == 1470
    assert len({run.name for run in paper.runs}) == 1470
    assert list(paper.runs) == sorted(paper.runs)


def test_the_base_recipe_is_the_list_of_dinos_authors(paper: Study, root: Path) -> None:
    recipe = paper.config.recipe
    assert recipe.mixing("none") == (
        "mixup_cutmix",
        {"mixup": 0.8, "cutmix": 1.0, "prob": 1.0, "switch_prob": 0.5},
    )
    assert recipe.mixing("transmix")[0] == "transmix"
    assert (recipe.batch_size, recipe.repeated_augmentation, recipe.drop_path) == (768, 3, 0.1)
    assert (recipe.warmup_lr, recipe.min_lr, recipe.label_smoothing) == (1e-6, 1e-5, 0.1)
    plain = Study(merge(paper.content, read_yaml(root / "config" / "paper-plain.yaml")))
    assert plain.config.recipe.mixing("none") == ("none", {})
    one = paper.runs[0]
    assert paper.digest(one) != plain.digest(one)
    mixed = next(run for run in paper.runs if run.mix == "transmix")
    less = {"recipe": {"repeated_augmentation": 1}}
    assert Study(merge(paper.content, less)).digest(mixed) == plain.digest(mixed)


def test_the_literal_sum_holds_the_trade_off_and_the_ends_of_the_paper(
    paper: Study, root: Path
) -> None:
    literal = Study(merge(paper.content, read_yaml(root / "config" / "paper-sum.yaml")))
    for method in ("gta", "block_guide", "msa_guide"):
        assert paper.methods.lam_of(method) == "mean"
        assert paper.grid(method) == (0.1, 1, 10, 100)
        assert literal.methods.lam_of(method) == "sum"
        assert literal.grid(method) == (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 100)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("table1", 0),
        ("table2", 780),
        ("table3", 390),
        ("table4", 150),
        ("table5", 300),
        ("table6", 300),
        ("tableA1", 300),
        ("figure1", 150),
        ("figure3", 150),
        ("figure4", 240),
    ],
)
def test_runs_of_each_table_and_figure(paper: Study, name: str, count: int) -> None:
    assert len(paper.runs_of(name)) == count
    assert paper.cells_of(name) == tuple(sorted(set(map(cell_of, paper.runs_of(name)))))


def test_runs_stand_in_their_order(paper: Study) -> None:
    assert paper.runs == tuple(sorted(set(paper.runs)))


def test_runs_of_a_data_set_and_seed_by_part(paper: Study) -> None:
    one = [run for run in paper.runs if run.dataset == "cub" and run.seed == 0]

    def part(run: Run) -> str:
        if run.mix == "transmix":
            return "transmix"
        if run.method in ("block_guide", "msa_guide"):
            return "guides"
        return run.source

    assert Counter(map(part, one)) == {
        "ibot": 13 * 4,
        "guides": 8 * 2,
        "transmix": 5 * 2,
        "dino": 5 * 2,
        "supervised": 5 * 2,
    }
    assert Counter(run.dataset for run in paper.runs) == dict.fromkeys(
        ("cub", "cars", "aircraft", "dogs", "pet"), 294
    )
    assert Counter(run.seed for run in paper.runs) == {0: 490, 1: 490, 2: 490}


def test_grids_are_those_of_section_4_5(paper: Study) -> None:
    lams = {
        method: {run.lam for run in paper.runs if run.method == method}
        for method in {run.method for run in paper.runs}
    }
    assert lams == {
        "finetune": {0.0},
        "attention_only": {0.0},
        "ffn_only": {0.0},
        "l2_sp": {0.001, 0.01, 0.1},
        "bss": {0.0001, 0.001, 0.01},
        "gta": {0.1, 1.0, 10.0, 100.0},
        "block_guide": {0.1, 1.0, 10.0, 100.0},
        "msa_guide": {0.1, 1.0, 10.0, 100.0},
    }


def test_linear_probe_is_a_switch_of_60_runs(paper: Study) -> None:
    probed = Study({**paper.content, "extra_methods": ["linear_probe"]})
    added = set(probed.runs) - set(paper.runs)
    assert set(paper.runs) < set(probed.runs)
    assert len(added) == 60
    assert {(run.method, run.source, run.mix) for run in added} == {
        ("linear_probe", "ibot", "none")
    }


def test_every_accuracy_of_the_paper_has_its_runs(paper: Study, root: Path) -> None:
    """The reference's cells and the tables' runs are the same, but for the lambda."""
    with (root / "config" / "reference" / "paper_accuracy.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for table in ("table2", "table3", "table5", "table6", "tableA1"):
        printed = {
            (row["dataset"], float(row["rate"]), row["source"], row["method"], row["mix"])
            for row in rows
            if row["table"] == table
        }
        ours = {
            (run.dataset, run.rate, run.source, run.method, run.mix) for run in paper.runs_of(table)
        }
        assert printed == ours, table


def test_methods_and_lambdas_share_jobs_that_see_the_same_batches(paper: Study) -> None:
    # table 2's and table 3's methods; both but the guides; fine-tuning and GTA
    assert Counter(len(pack.runs) for pack in paper.packs) == {21: 30, 13: 30, 5: 90}
    for pack in paper.packs:
        assert len({batch_key(run, paper.recipe(run)) for run in pack.runs}) == 1
    assert len(paper.jobs.groups) == 4  # as many rules as Snakemake needs
    alone = Study({**paper.content, "pack": []})
    assert len(alone.packs) == 1470
    assert len(alone.jobs.groups) == 1


def test_weights_are_kept_for_table4_and_the_attention_figures(paper: Study) -> None:
    kept = {run for run in paper.runs if paper.keeps_weights(run)}
    assert kept == paper.runs_of("table4") | paper.runs_of("figure1") | paper.runs_of("figure3")
    every = Study({**paper.content, "keep_weights": "all"})
    assert sum(map(every.keeps_weights, every.runs)) == 1470
    plain = {"keep_weights": "none", "tables": ["table2"], "figures": [], "figure_settings": {}}
    none = Study({**paper.content, **plain})
    assert not any(map(none.keeps_weights, none.runs))
