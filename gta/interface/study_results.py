"""A study's results: frames of metrics, tables and figures, and its models."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from gta import results
from gta.errors import GtaError
from gta.interface.filters import matching
from gta.interface.run_results import RunResults
from gta.study import Run, Study
from gta.study.run import CELL, IDENTITY, POINT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from timm.models.vision_transformer import VisionTransformer

    from gta.catalog import SourceInfo
    from gta.data.store import Store

Rule = Literal["heldout", "test"]
RULES: tuple[Rule, ...] = ("heldout", "test")
FORMATS = ("md", "html", "tex", "csv")


class StudyResults:
    """A study and what its runs left on disk; ``gta.open`` gives one.

    Methods take the fields of a run as filters: ``dataset``, ``rate`` (percent), ``source``,
    ``method``, ``mix``, ``lam`` and ``seed``, each a value or a list of values.

    Examples:
        >>> study = gta.open("results/mini")
        >>> study.datasets, study.rates, study.seeds
        (['mini_near'], [15.0, 100.0], [0, 1])
        >>> study.methods
        {'finetune': 'Fine-tuning', 'gta': 'GTA', 'linear_probe': 'Linear probe'}
    """

    def __init__(self, study: Study) -> None:
        """Wrap a loaded study; results are read when they are asked for."""
        self._study = study

    def __repr__(self) -> str:
        return f"<study {self.name}: {len(self._study.runs):,} runs, {self.folder}>"

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.name

    @property
    def folder(self) -> Path:
        """The folder of its results."""
        return self._study.folder

    @property
    def config(self) -> dict[str, Any]:
        """The config: overlays merged, defaults filled in."""
        return self._study.config.model_dump(mode="json")

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets."""
        return list(self._study.config.datasets)

    @property
    def rates(self) -> list[float]:
        """Sampling rates, in percent of the training images."""
        return list(self._study.config.rates)

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return list(self._study.config.seeds)

    @property
    def sources(self) -> dict[str, str]:
        """The source in each role; ``main`` is the one that most tables use."""
        return dict(self._study.config.sources)

    @property
    def methods(self) -> dict[str, str]:
        """Titles of the methods that the study runs, by name."""
        run = {run.method for run in self._study.runs}
        return {name: m.title for name, m in self._study.methods.items() if name in run}

    def grid(self, method: str) -> list[float]:
        """The λ that a method is run at; ``[0.0]`` without a penalty."""
        return list(self._study.grid(method))

    # Runs and what each left

    def runs(self, **where: Any) -> list[RunResults]:
        """Runs of the study, done or not, that match the filters.

        Raises:
            GtaError: if a filter is not a field of a run, or matches nothing.

        Examples:
            >>> study = gta.open("mini")
            >>> [run.state for run in study.runs(method="gta", rate=15, lam=0.1)]
            ['done', 'done']
            >>> study.runs(method="gtaa")
            Traceback (most recent call last):
            gta.errors.GtaError: study mini has no run with method='gtaa'; ...
        """
        return [RunResults(self._study, run) for run in matching(self._study, where)]

    def run(self, name: str) -> RunResults:
        """The run of this name.

        Raises:
            GtaError: if the study has no such run.

        Examples:
            >>> study = gta.open("mini")
            >>> study.run(study.runs()[0].name).state
            'done'
        """
        return RunResults(self._study, self._study.find(name))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row a run that is done: identity, accuracies (percent), losses (nats), costs.

        From ``metrics.parquet``, which ``pandas.read_parquet`` reads as well; from the runs' own
        files where nothing was collected yet.

        Examples:
            >>> metrics = gta.open("mini").metrics
            >>> metrics.groupby("method").size().to_dict()
            {'finetune': 4, 'gta': 8, 'linear_probe': 4}
        """
        if (self.folder / "metrics.parquet").exists():
            return results.read_collected(self._study)
        files = map(self._study.run_files, self._study.runs)
        done = [one.run for one in files if results.state_of(one).state == "done"]
        return results.read(self._study, "metrics", done).to_pandas()

    def history(self, **where: Any) -> pd.DataFrame:
        """A row an iteration of each matching run that is done.

        Columns: identity, ``iteration``, ``lr``, ``cross_entropy``, ``penalty`` (weighted by λ),
        ``train_acc1`` of the batch, ``heldout_acc1`` where it was looked at.

        Examples:
            >>> history = gta.open("mini").history(method="gta", seed=0)
            >>> int(history["iteration"].max())
            3
        """
        return results.read(self._study, "history", self._done(where)).to_pandas()

    def predictions(
        self, split: Literal["test", "heldout"] | None = None, **where: Any
    ) -> pd.DataFrame:
        """A row an image of each matching run that is done.

        Columns: identity, ``split``, ``index`` (of the image in the dataset), ``label``,
        ``prediction``, ``confidence`` (softmax of the predicted class).

        Args:
            split: ``test`` or ``heldout``; default both.
            where: filters.

        Examples:
            >>> predictions = gta.open("mini").predictions("test", method="gta", rate=15)
            >>> accuracy = (predictions["label"] == predictions["prediction"]).groupby(
            ...     [predictions["lam"], predictions["seed"]]
            ... ).mean()
            >>> len(accuracy)
            4
        """
        frame = results.read(self._study, "predictions", self._done(where)).to_pandas()
        return frame if split is None else frame[frame["split"] == split].reset_index(drop=True)

    # Choices of λ and gains

    def best(self, rule: Rule = "heldout", **where: Any) -> pd.DataFrame:
        """The chosen λ of each cell (dataset, source, method, mix, rate) and its accuracy.

        Args:
            rule: ``heldout`` takes the λ with the highest mean accuracy on held-out images, which
                looks at no test image; ``test`` takes the best on the test set, as the paper does.
            where: filters.

        Returns:
            A row a cell: its fields, ``lam``, ``tuned`` (what is tuned beside λ, as ``lr=0.001``,
            else empty), ``chosen_at`` (the rate at which they were chosen),
            ``n`` seeds done of ``seeds``, ``acc1_mean`` and ``acc1_std`` of the test set (percent,
            ddof 1), and ``missing``: why a cell is empty.

        Examples:
            >>> best = gta.open("mini").best(rule="heldout", method="gta")
            >>> best[["rate", "n", "seeds"]].values.tolist()
            [[15.0, 2.0, 2.0], [100.0, 2.0, 2.0]]
        """
        self._check_rule(rule)
        frame = self._selected
        wanted = matching(self._study, where)
        fields = [field for field in CELL if field in where]
        frame = frame[frame["selection"] == rule].drop(columns="selection")
        for field in fields:
            frame = frame[frame[field].isin({getattr(run, field) for run in wanted})]
        return frame.reset_index(drop=True)

    def chosen(self, rule: Rule = "heldout", **where: Any) -> list[RunResults]:
        """The runs at the λ that ``best`` chose, all seeds.

        Examples:
            >>> chosen = gta.open("mini").chosen("test", method="gta", rate=15)
            >>> len({run.lam for run in chosen}), [run.seed for run in chosen]
            (1, [0, 1])
        """
        columns = [*CELL, *POINT]
        rows = self.best(rule, **where)[columns].itertuples(index=False, name=None)
        cells = set(rows)
        return [run for run in self.runs(**where) if attrgetter(*columns)(run.run) in cells]

    def gain(
        self, method: str, over: str = "finetune", rule: Rule = "heldout", **where: Any
    ) -> pd.DataFrame:
        """Gain of one method over another with its 95 % interval, cell by cell.

        Both methods stand at the λ that the rule chose. The interval is of the two-way model
        with random test images and seeds, paired: runs of one seed share subset, batches and head.

        Args:
            method: the method.
            over: the one that it is compared with.
            rule: as in ``best``.
            where: filters: ``dataset``, ``rate``, ``source``, ``mix``.

        Returns:
            A row for each cell that both methods have done: ``dataset``, ``source``, ``mix``,
            ``rate``, ``lam``, ``tuned``, ``lam_over``, ``tuned_over``, ``seeds``, ``images``, and
            ``gain``, ``low`` and ``high`` in points of top-1 accuracy.

        Examples:
            >>> gain = gta.open("mini").gain("gta", over="finetune")
            >>> gain.columns.tolist()[-3:]
            ['gain', 'low', 'high']
            >>> bool((gain["low"] <= gain["gain"]).all())
            True
        """
        from gta.interface.gains import gain_between

        self._check_rule(rule)
        for name in (method, over):
            if name not in self.methods:
                raise GtaError(
                    f"study {self.name} runs no method {name!r}; it runs: {', '.join(self.methods)}"
                )
        ours, theirs = (
            self.best(rule, method=name, **where).dropna(subset="lam") for name in (method, over)
        )
        return gain_between(self._study, ours, theirs)

    # Tables and figures

    @property
    def tables(self) -> dict[str, str]:
        """Titles of the study's tables, by name."""
        return {name: spec.title for name, spec in self._study.tables.items()}

    @property
    def figures(self) -> dict[str, str]:
        """Titles of the study's figures, by name."""
        return {name: spec.title for name, spec in self._study.figures.items()}

    def table(self, name: str) -> pd.DataFrame:
        """A table as a tidy frame, a row a cell.

        Raises:
            GtaError: if the study has no such table, or what it is made of is missing.

        Examples:
            >>> table = gta.open("mini").table("fresh")
            >>> sorted(set(table["selection"]))
            ['heldout', 'test']
        """
        from gta import tables

        return tables.make(self._study, self._one_of(name, self.tables, "table"))[0]

    def render(self, name: str, form: Literal["md", "html", "tex", "csv"] = "md") -> str:
        """A table as it is shown to readers: Markdown, HTML, LaTeX or CSV.

        Examples:
            >>> gta.open("mini").render("fresh").splitlines()[0].startswith("#")
            True
        """
        from gta import tables

        frame, page = tables.make(self._study, self._one_of(name, self.tables, "table"))
        if form == "csv":
            return frame.to_csv(index=False)
        renderers = {"md": tables.to_markdown, "html": tables.to_html, "tex": tables.to_latex}
        if form not in renderers:
            raise GtaError(f"form: {form!r} is not one of {', '.join(FORMATS)}")
        return renderers[form](page)

    def figure(self, name: str) -> Figure:
        """A figure, drawn from the results.

        Raises:
            GtaError: if the study has no such figure, or what it is made of is missing.

        Examples:
            >>> type(gta.open("mini").figure("figure4")).__name__
            'Figure'
        """
        from gta import figures

        name = self._one_of(name, self.figures, "figure")
        return figures.make(self._study, name, self.metrics)

    # Images and models

    def dataset(self, name: str) -> Store:
        """A prepared dataset: its images, masks, labels, splits and classes, mapped into memory.

        Raises:
            GtaError: if the study has no such dataset, or it is not prepared.

        Examples:
            >>> dataset = gta.open("mini").dataset("mini_near")
            >>> first = dataset.indices("test")[0]
            >>> dataset.image(first).shape, dataset.mask(first).shape
            ((48, 48, 3), (48, 48))
        """
        from gta.data.store import Store

        return Store(self._study.store(self._one_of(name, self.datasets, "dataset")))

    def source(self, name: str | None = None) -> VisionTransformer:
        """A pre-trained source, before fine-tuning: a timm ViT without a head, in evaluation mode.

        Args:
            name: of a source; default the one in the role ``main``.

        Raises:
            GtaError: if the study has no such source, or its weights cannot be had.

        Examples:
            >>> source = gta.open("mini").source("tiny_ibot")
            >>> dataset = gta.open("mini").dataset("mini_near")
            >>> gta.attention(source, dataset.image(0)).shape
            (48, 48)
        """
        from gta.models.originals import prepare_source
        from gta.models.trained import load_pretrained

        names = list(dict.fromkeys(self.sources.values()))
        name = self._one_of(name or self.sources.get("main", names[0]), names, "source")
        path = self._study.weights(name)
        if not path.exists():
            prepare_source(self._study, name)
        recipe = next(self._study.recipe(run) for run in self._study.runs if run.source == name)
        return load_pretrained(path, recipe)

    def source_info(self, name: str) -> SourceInfo:
        """Title, architecture, objective and origin of a source."""
        return self._study.source_info(name)

    # Within

    @cached_property
    def _selected(self) -> pd.DataFrame:
        from gta.tables import select
        from gta.tables.collected import states_of_missing

        states = states_of_missing(self._study, self.metrics)
        return select(self._study, self.metrics, states)

    def _done(self, where: dict[str, Any]) -> list[Run]:
        done = set(self.metrics[IDENTITY].itertuples(index=False, name=None))
        return [
            run
            for run in matching(self._study, where)
            if tuple(getattr(run, field) for field in IDENTITY) in done
        ]

    def _one_of(self, name: str, names: Collection[str], kind: str) -> str:
        if name not in names:
            raise GtaError(
                f"study {self.name} has no {kind} {name!r}; it has: {', '.join(names) or 'none'}"
            )
        return name

    @staticmethod
    def _check_rule(rule: str) -> None:
        if rule not in RULES:
            raise GtaError(f"rule: {rule!r} is not heldout or test")
