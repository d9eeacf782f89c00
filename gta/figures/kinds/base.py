"""``FigureKind``, the base class of all kinds of figures, and how to write one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study.kinds import Kind, Place

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gta.study import Study
    from gta.tables import Collected


class FigureKind(Kind, ABC):
    """A kind of figure: what it is made of, its content, and how it is drawn.

    A kind is a class in a file of its own::

        from gta.figures.kinds import FigureKind


        class Seeds(FigureKind):
            name = "seeds"

            def content(self, study, name, collected):
                runs = collected.metrics
                return runs[runs["rate"] == max(study.config.rates)]

            def draw(self, study, name, content):
                from matplotlib.figure import Figure

                from gta.figures.style import look

                with look():
                    figure = Figure(layout="constrained")
                    panel = figure.subplots()
                    panel.plot(content["seed"], content["acc1"], "o")
                    panel.set(xlabel="seed", ylabel="Top-1 accuracy (%)")
                return figure

            def numbers(self, study, name, content):
                return content[["method", "lam", "seed", "acc1"]]

    **Where it goes.** Inside the package: a file in ``gta/figures/kinds/`` is found by itself.
    Outside: any file, named in the config (the path is relative to that config file), beside the
    stanza of a figure that uses it::

        own_kinds:
          seeds: {file: kinds/seeds.py}
        own_figures:
          seeds:
            kind: seeds
            title: Accuracy by seed
            caption: Top-1 accuracy on the test set (%), one point a run.
            cells: [{source: [main], method: [finetune, gta]}]

    The file is imported when the config is read, so only name files that you trust. After an edit
    the figures of its kinds are drawn again; no run is trained again.

    **No matplotlib, pandas or torch at the top of the file.** Snakemake and every ``gta`` command
    read the kinds; import them inside the methods.

    Content and drawing are apart, so that a drawing can be tested without models and the numbers
    behind a figure can be written as CSV. ``gta.figures.style`` has the look, colours and markers
    of all figures. Text is plain there, so a ``$`` in a title is a dollar; an axis in
    logarithmic scale therefore needs tick labels of its own.

    Attributes:
        name: ``kind:`` in stanzas: letters, digits and ``_ . -``.
        inputs: files it is made of (``gta.study.kinds.Input``); the workflow makes them first. A
            figure of ``metrics`` alone is also drawn of a study that is not complete.
        cells: whether its stanza lists runs (``cells:``).
        weights: whether it needs the trained weights of its runs.
    """

    place: ClassVar[Place] = "figures"

    def settings(self, study: Study, name: str) -> dict[str, Any]:
        """The figure's own ``figure_settings``."""
        return study.config.figure_settings.of(name).model_dump(mode="json")

    @abstractmethod
    def content(self, study: Study, name: str, collected: Collected) -> Any:
        """Gather what is drawn, of any type.

        Args:
            study: the study.
            name: of the figure.
            collected: what the study's runs have left; read when it is asked for.

        Raises:
            GtaError: if a file that it is made of is missing or damaged.
        """

    @abstractmethod
    def draw(self, study: Study, name: str, content: Any) -> Figure:
        """Draw what ``content`` returns."""

    @abstractmethod
    def numbers(self, study: Study, name: str, content: Any) -> pd.DataFrame:
        """Return the drawn numbers as a tidy frame, which is written as CSV beside the figure."""
