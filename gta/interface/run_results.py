"""Results of one training run: its numbers and its model."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gta import results
from gta.errors import GtaError
from gta.study import Recipe, Run, RunFiles, Study

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


class RunResults:
    """A run of a study, by its identity, and what it left on disk.

    Attributes:
        run: the identity: dataset, rate, source, method, mix, lam, seed, tuned.

    Examples:
        >>> run = gta.open("mini").runs(method="gta", rate=15, lam=0.1, seed=0)[0]
        >>> run.name
        'dataset=mini_near/rate=15/source=tiny_ibot/method=gta/mix=none/lam=0.1/seed=0'
        >>> sorted(run.metrics)[:3]
        ['acc1', 'attention_mass', 'data_digest']
        >>> run.history.columns.tolist()[:4]
        ['iteration', 'lr', 'cross_entropy', 'penalty']
    """

    def __init__(self, study: Study, run: Run) -> None:
        """Refer to a run; nothing is read yet."""
        self.run = run
        self._study = study

    def __repr__(self) -> str:
        return f"<run {self.name} of study {self._study.name}: {self.state}>"

    @property
    def name(self) -> str:
        """The run's name, a path below the study's folders."""
        return self.run.name

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.run.dataset

    @property
    def rate(self) -> float:
        """Share of the training images, in percent."""
        return self.run.rate

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.run.source

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.run.method

    @property
    def mix(self) -> str:
        """Mixing of training images; ``none`` if they are not mixed."""
        return self.run.mix

    @property
    def lam(self) -> float:
        """λ, the weight of the penalty; 0 where the method has none."""
        return self.run.lam

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.run.seed

    @property
    def state(self) -> str:
        """``done``, ``missing``, ``stale``, ``damaged`` or ``failed``."""
        return results.state_of(self._files).state

    @property
    def _files(self) -> RunFiles:
        return self._study.run_files(self.run)

    @property
    def recipe(self) -> Recipe:
        """Every setting that the run was trained with."""
        return self._study.recipe(self.run)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The run's row of metrics; the results schema lists the columns."""
        row: dict[str, Any] = results.read_part(self._files, "metrics").to_pylist()[0]
        return row

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row an iteration: learning rate, losses, accuracies."""
        return results.read_part(self._files, "history").to_pandas()

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row an image of the test and held-out splits: label, prediction, confidence."""
        return results.read_part(self._files, "predictions").to_pandas()

    @property
    def has_model(self) -> bool:
        """Whether the run's trained weights are here."""
        return self._files.weights.is_file()

    @property
    def weights(self) -> Path:
        """The file of the trained weights.

        Raises:
            GtaError: if the run's weights were not kept.
        """
        path = self._files.weights
        if not path.is_file():
            raise GtaError(
                f"{path}: missing; the config's keep_weights is "
                f"{self._study.config.keep_weights!r}: set it to all and train the run again"
            )
        return path

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the model's outputs."""
        from gta.data.store import Store

        return Store(self._study.store(self.run.dataset)).classes

    def model(self) -> VisionTransformer:
        """The trained model: a timm ViT in evaluation mode, on the CPU.

        ``model.pretrained_cfg`` holds the preprocessing of the test images, so that
        ``timm.data.resolve_model_data_config(model)`` gives it.

        Raises:
            GtaError: if the weights were not kept, are damaged, or are another run's.

        Examples:
            >>> run = gta.open("mini").runs(method="gta", seed=0)[0]
            >>> model = run.model()
            >>> model.num_classes, model.training
            (14, False)
        """
        from gta.models.trained import load_trained

        return load_trained(self.weights, self.recipe, self.name)
