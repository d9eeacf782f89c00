"""Work of runs: images through models, and floating-point operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from gta.methods import Method, TapRequest
from gta.models.flops import Flops, outline, source_flops, training_flops
from gta.plan.sizes import heldout_of, size_of
from gta.study import Recipe, Run, Study
from gta.study.sharing import batch_key, source_key

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


@dataclass(frozen=True)
class Work:
    """Work of some runs; can be added.

    Attributes:
        augmented: training images read and augmented.
        trained: training images through trained models, forward and backward.
        source: training images through frozen sources, forward.
        tested: test and held-out images through trained models, forward.
        training_flops, source_flops, testing_flops: operations of the last three.
    """

    augmented: int = 0
    trained: int = 0
    source: int = 0
    tested: int = 0
    training_flops: int = 0
    source_flops: int = 0
    testing_flops: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Estimator:
    """Work of a study's runs.

    Attributes:
        sizes: of its datasets, and of that whose masks it takes; None where one is not known
            before it is prepared.
    """

    def __init__(self, study: Study) -> None:
        """Look the datasets up.

        Raises:
            GtaError: if a store is damaged.
        """
        self.study = study
        masks = study.config.segmentation.dataset
        datasets = [*study.config.datasets, *([masks] if masks else [])]
        self.sizes = {dataset: size_of(study, dataset) for dataset in datasets}
        # most runs have one of a few models and methods
        self._outline, self._each = cache(outline), cache(_each)

    def model(self, run: Run) -> VisionTransformer:
        """The run's model, shapes alone; with a head for one class where these are not known.

        Raises:
            GtaError: if the recipe's image size does not suit the architecture.
        """
        recipe, size = self.study.recipe(run), self.sizes[run.dataset]
        return self._outline(recipe.architecture, recipe.image_size, size.classes if size else 1)

    def each(self, run: Run) -> tuple[Flops, int]:
        """Operations for a training image: of the run's model, and of its source.

        Raises:
            GtaError: as ``model``, or if a setting of the method is wrong.
        """
        method = self.study.methods.create(run.method, run.tuned)
        return self._each(self.model(run), method)

    def alone(self, run: Run) -> Work:
        """The work of a run that shares nothing.

        Tests of a dataset whose size is not known are left out.

        Raises:
            GtaError: as ``each``.
        """
        recipe = self.study.recipe(run)
        images = recipe.iterations * recipe.batch_size
        each, of_source = self.each(run)
        tested = self._tested(run, recipe)
        return Work(
            augmented=images,
            trained=images,
            source=images if of_source else 0,
            tested=tested,
            training_flops=images * (each.forward + each.backward),
            source_flops=images * of_source,
            testing_flops=tested * each.forward,
        )

    def of(self, runs: Iterable[Run]) -> Work:
        """The work of runs, each job's together.

        Runs of a job that see the same batches augment them once, and read each source once for
        all that mix alike. (A job whose models do not fit in memory together shares less.)

        Raises:
            GtaError: as ``each``.
        """
        return sum(self.jobs(runs), Work())

    def jobs(self, runs: Iterable[Run]) -> list[Work]:
        """The work of each job that trains some of the runs; it adds up to that of all.

        Raises:
            GtaError: as ``each``.
        """
        wanted = frozenset(runs)
        found = []
        for pack in self.study.jobs.possible:
            together: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
            for run in pack.runs:
                if run in wanted:
                    together[batch_key(run, self.study.recipe(run))].append(run)
            if together:
                found.append(sum(map(self._shared, together.values()), Work()))
        return found

    def _shared(self, runs: list[Run]) -> Work:
        """The work of runs that see the same batches."""
        alone = {run: self.alone(run) for run in runs}
        readers: dict[tuple[Any, ...], list[Work]] = defaultdict(list)
        for run, work in alone.items():
            readers[source_key(run, self.study.recipe(run))].append(work)
        read = [max(group, key=lambda work: work.source_flops) for group in readers.values()]
        work = sum(alone.values(), Work())
        return Work(
            augmented=max(one.augmented for one in alone.values()),
            trained=work.trained,
            source=sum(one.source for one in read),
            tested=work.tested,
            training_flops=work.training_flops,
            source_flops=sum(one.source_flops for one in read),
            testing_flops=work.testing_flops,
        )

    def _tested(self, run: Run, recipe: Recipe) -> int:
        size = self.sizes[run.dataset]
        if size is None:
            return 0
        every, heldout = self.study.config.heldout_every, heldout_of(self.study, run, size)
        looks = 1 + (recipe.iterations // every if every else 0)
        return size.test + looks * heldout


def _each(model: VisionTransformer, method: Method) -> tuple[Flops, int]:
    request = method.source_taps
    return (
        training_flops(model, method.trains, method.taps or TapRequest()),
        0 if request is None else source_flops(model, request),
    )
