"""``Method``, the base class of all fine-tuning methods, and how to write one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from gta.errors import GtaError
from gta.methods.readings import Readings, TapRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

Over = Literal["images", "weights", "features"]
"""Basis of a penalty; it decides how micro-batches add up to the batch's penalty.

``images``: a mean over images. Each micro-batch counts by its share of the batch.
``weights``: the parameters alone. Computed once per batch.
``features``: ``Readings.features`` of all images together, and nothing else. The features of the
    whole batch are computed first, without a graph; each micro-batch then receives its rows of the
    penalty's gradient (GradCache: Gao et al., arXiv 2101.06983).
"""


@dataclass(frozen=True)
class Step:
    """Inputs of a penalty in one training step.

    Attributes:
        model: the target.
        target: readings of the target that ``Method.taps`` requests, on these images.
        source: readings of the frozen source that ``Method.source_taps`` requests, on the same
            images; constants. None if the method requests none.
        source_parameters: the source's weights by name (without the head's); constants.
        images: (b, 3, H, W), normalised and mixed, of this micro-batch; None where the penalty is
            over features.
        progress: share of the training that is done, from 0 to below 1.
        unlabelled: where ``Method.unlabelled``, two views (b, 3, H, W) of as many images that the
            rate leaves out: as in tests, and augmented as in training.
    """

    model: nn.Module
    target: Readings
    source: Readings | None
    source_parameters: Mapping[str, Tensor]
    images: Tensor | None = None
    progress: float = 0.0
    unlabelled: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Method:
    """A fine-tuning method: which parameters train, what is read, and the penalty.

    This class is plain fine-tuning: every parameter trains and there is no penalty. A method is a
    frozen dataclass in a file of its own that overrides what differs::

        from dataclasses import dataclass
        from typing import Annotated, ClassVar

        from pydantic import Field

        from gta.methods import Method, Step, TapRequest


        @dataclass(frozen=True)
        class LastRowKL(Method):
            name: ClassVar[str] = "last_row_kl"
            title: ClassVar[str] = "Last-row KL"
            reference: ClassVar[str] = "A. Author, A Title, arXiv 0000.00000"
            default_lam: ClassVar[float | None] = 1.0
            grid: ClassVar[tuple[float, ...]] = (0.1, 1.0, 10.0)

            temperature: Annotated[float, Field(gt=0)] = 1.0

            @property
            def taps(self):
                return TapRequest(cls_logits=(-1,))

            @property
            def source_taps(self):
                return self.taps

            def penalty(self, step: Step, lam: float):
                target = self.needed(step.target.cls_logits) / self.temperature
                source = self.needed(self.needed(step.source).cls_logits) / self.temperature
                p, log_q = source.softmax(-1), target.log_softmax(-1)
                kl = (p * (p.log() - log_q)).sum(-1).mean()
                return {"last_row_kl": lam * kl}

    **Where it goes.** Inside the package: a file in ``gta/methods/`` is found by itself. Outside:
    any file, named in the config (the path is relative to that config file), and joined to the
    tables of methods::

        own_methods:
          last_row_kl: {file: methods/last_row_kl.py}   # title and grid may be given here too
        extra_methods: [last_row_kl]

    The key is the class's ``name``. The file is part of each run's digest: after an edit, the runs
    of its methods are stale and train again. It is imported when the config is read, so only
    name files that you trust.

    **Settings** are the dataclass fields, with a type and a default. A config gives them under
    ``methods.<name>``; values are checked against the types (``Literal``, ``Annotated`` with
    ``pydantic.Field`` for bounds), and they are part of the run's digest. ``grid`` is reserved for
    lambdas.

    **No torch at the top of the file.** Snakemake and every ``gta`` command read the methods, and
    importing torch takes seconds. Tensors have the operations that most penalties need; else
    import torch inside ``penalty``.

    **The penalty** is added to the cross entropy. Its terms are scalars, weighted by ``lam``, in at
    least float32 (``full_precision``), without host synchronisation (no ``item()``, no branch on a
    tensor's value). Gradients flow through ``step.target`` and ``step.model``'s parameters. A
    method that corrects the weights after each step instead overrides ``updating``.

    Attributes:
        name: key in configs and run names: letters, digits and ``_ . -``.
        title: name in tables and figures.
        reference: where it is published; empty for controls.
        default_lam: weight of the penalty that its authors use; None without a penalty.
        grid: lambdas to try unless the config gives others; empty without a penalty.
        order: position in lists of methods, ties by name; the paper's methods come first.
        over: what the penalty is computed from.
        init_head: method whose trained head a run starts from: that of its run on the same
            dataset, rate, source and seed. None: a random head.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str] = ""
    default_lam: ClassVar[float | None] = None
    grid: ClassVar[tuple[float, ...]] = ()
    order: ClassVar[int] = 100
    over: ClassVar[Over] = "images"
    init_head: ClassVar[str | None] = None

    @property
    def taps(self) -> TapRequest | None:
        """Readings to take of the target, None for none."""
        return None

    @property
    def source_taps(self) -> TapRequest | None:
        """Readings to take of the frozen source; None for no forward pass of the source."""
        return None

    @property
    def needs_cls(self) -> bool:
        """Whether it reads [cls], so that a backbone without one is refused."""
        return any(
            bool(request and (request.cls_logits or request.cls_attention or request.cls_rows))
            for request in (self.taps, self.source_taps)
        )

    @property
    def unlabelled(self) -> bool:
        """Whether it trains on the images that the rate leaves out, without their labels."""
        return False

    @property
    def weight_decay(self) -> bool:
        """Whether the optimiser decays the weights; not where the penalty does."""
        return True

    @property
    def lam_of(self) -> str:
        """Unit shown behind every lambda if a setting decides its scale."""
        return ""

    def prepare(self, model: nn.Module, seed: int) -> None:
        """Change the target before training, for example add parameters; by default nothing.

        The outputs stay those of the source, and what is drawn follows from ``seed`` alone.
        """

    def merge(self, model: nn.Module) -> None:
        """Make the trained target a plain ViT again, with the same outputs; undoes ``prepare``.

        What cannot be merged stays; ``gta.models.parts`` then builds it again from its names.
        """

    def trains(self, parameter: str) -> bool:
        """Whether the parameter of this name (timm's, or added by ``prepare``) is updated."""
        return True

    def decays(self, parameter: str) -> bool:
        """Whether weight decay may act on the parameter of this name.

        Biases, norms, [cls] and position embeddings never decay.
        """
        return True

    def forward(
        self, model: nn.Module, images: Tensor, source: Readings | None, seed: int
    ) -> Tensor | None:
        """A forward pass for training in place of the model's own; None for the model's own.

        Args:
            model: the target.
            images: (b, C, H, W) of a micro-batch, normalised and mixed.
            source: readings of the frozen source that ``source_taps`` requests, on these images.
            seed: of this iteration's draws, the same for all its micro-batches.

        Returns:
            Logits (b, K). Readings of the target show this pass.
        """
        return None

    def penalty(self, step: Step, lam: float) -> dict[str, Tensor]:
        """Named scalar terms, weighted by ``lam``, to add to the cross entropy.

        ``step`` may hold a micro-batch; ``over`` says how its terms add up to the batch's.
        """
        return {}

    def terms(self, lam: float) -> tuple[tuple[Method, float], ...]:
        """The methods whose penalties add up, each with its lambda: this one alone."""
        return ((self, lam),)

    def updating(
        self, model: nn.Module, anchors: Mapping[str, Tensor], lam: float
    ) -> AbstractContextManager[None]:
        """The context of each update of the weights, for methods that correct it.

        Args:
            model: the target. On entry its weights are those before the optimiser's step and its
                gradients those of the batch (float16's are scaled by a positive number); on exit
                the weights are those after the step.
            anchors: the source's weights by name (without the head's); constants.
            lam: the run's lambda.
        """
        return nullcontext()

    def error(self, problem: str) -> GtaError:
        """An error that names the method."""
        return GtaError(f"method {self.name}: {problem}")

    def require_plain(self, model: nn.Module) -> None:
        """Check that a model is timm's plain ViT, whose steps the method takes one by one.

        Raises:
            GtaError: it is another family, such as Swin or EVA.
        """
        from timm.layers import Attention  # seconds to import; loaded already where a model exists
        from timm.models.vision_transformer import VisionTransformer

        blocks = getattr(model, "blocks", ())
        if not isinstance(model, VisionTransformer) or not all(
            isinstance(block.attn, Attention) for block in blocks
        ):
            raise self.error(f"needs a plain ViT, which {type(model).__name__} is not")

    def needed(self, reading: T | None) -> T:
        """``reading``, which the training loop takes because the method's taps request it.

        Raises:
            GtaError: the reading is None.
        """
        if reading is None:
            raise self.error("the step lacks a reading that the method's taps request")
        return reading


def changes_model(method: Method) -> bool:
    """Whether a method, or a part of a combination, changes the model before training."""
    return any(type(part).prepare is not Method.prepare for part, _ in method.terms(0.0))


def is_head(parameter: str) -> bool:
    """Whether a parameter, by timm's name, belongs to the classification head."""
    return parameter.startswith("head.")


def full_precision(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or as it is if it is float64."""
    return tensor if tensor.dtype.itemsize > 4 else tensor.float()
