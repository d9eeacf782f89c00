"""Stanzas that add the user's own datasets, sources, methods, variants and kinds."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from gta.catalog import (
    Archive,
    DatasetInfo,
    Drawn,
    SourceInfo,
)
from gta.study.recipe import known_architecture
from gta.study.values import (
    NOTHING,
    RUNS,
    SHOWS,
    Lam,
    Name,
    Seed,
    Strict,
    Title,
    as_written,
    distinct,
)

# owner/model, timm's own model, or owner/model/file; a revision behind it
HUB = r"^(hf[-_]hub:)?([\w.-]+|[\w.-]+/[\w.-]+(/[\w.-]+)*)(@[\w./-]+)?$"
SHA256 = r"^[0-9a-fA-F]{8,64}$"  # whole, or its first digits
Sha256 = Annotated[str, Field(pattern=SHA256), AfterValidator(str.lower)]


class OwnSplit(Strict):
    """Test and held-out images drawn from a dataset without splits: percent of each class.

    Attributes:
        test: percent of each class's images to test on.
        heldout: percent of each class's images to hold out.
        seed: of the draw.
    """

    test: Annotated[float, Field(gt=0, lt=100)]
    heldout: Annotated[float, Field(ge=0, lt=100)] = 0.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _some_train(self) -> OwnSplit:
        if self.test + self.heldout >= 100:
            raise ValueError("test and heldout leave no images to train on")
        return self


class OwnDataset(Strict):
    """A dataset of the user's own: a folder ``train/class/image`` or a CSV path, label, split.

    Attributes:
        title: name in tables and figures.
        path: of the folder or the CSV file, relative to the project.
        domain: whether the sources' pre-training data look like it; ``gta data list`` shows it.
        mask_void: value of mask pixels that count as neither object nor background.
        split: how test images are drawn; ``null``: the files have splits.
        duplicates: whether equal files in several splits or classes are an error, or kept.
    """

    title: Annotated[Title, SHOWS]
    path: str
    domain: Annotated[Literal["near", "far"], NOTHING] = "near"
    mask_void: Annotated[int, Field(ge=1, le=255)] | None = None
    split: OwnSplit | None = None
    duplicates: Annotated[Literal["stop", "keep"], NOTHING] = "stop"

    @property
    def info(self) -> DatasetInfo:
        """The dataset as a catalog entry."""
        return DatasetInfo(
            self.title,
            "images",
            self.domain,
            reader="folder",
            folder=self.path,
            mask_void=self.mask_void,
            drawn=None if self.split is None else Drawn(**self.split.model_dump()),
            keeps_duplicates=self.duplicates == "keep",
        )


class OwnSource(Strict):
    """A source of the user's: a file, an address, or a name that timm has on the hub.

    Attributes:
        title: name in tables and figures.
        architecture: the ViT: a name of the catalog, or timm's.
        file: of the checkpoint: a bare name lies in the weights folder, else a path relative to
            the project. One of ``file``, ``url`` and ``hub`` is given.
        url: from which the checkpoint is fetched.
        hub: owner/model, or a model of timm's; ``@revision`` may follow.
        sha256: digest of the file, whole or its first digits.
        key: of the weights in the file, where it holds several sets.
        in_channels: channels of the file's patch embedding that are red, green and blue.
        heads: attention heads, where the file was trained with another number than the
            architecture's.
    """

    title: Annotated[Title, SHOWS]
    architecture: str
    file: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^?#]+/[^/?#]+(\?[^#]*)?$")] | None = None
    hub: Annotated[str, Field(pattern=HUB)] | None = None
    sha256: Sha256 | None = None
    key: str | None = None
    in_channels: tuple[Annotated[int, Field(ge=0, le=1023)], ...] | None = None
    heads: Annotated[int, Field(ge=1, le=1024)] | None = None

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, value: str) -> str:
        return known_architecture(value)

    @model_validator(mode="after")
    def _one_origin(self) -> OwnSource:
        if sum(origin is not None for origin in (self.file, self.url, self.hub)) != 1:
            raise ValueError("give one of file, url, hub")
        if self.hub is not None and self.sha256 is not None:
            raise ValueError("sha256: the hub names the digest itself")
        return self

    @property
    def info(self) -> SourceInfo:
        """Description in the catalog's form."""
        archive = None
        if self.file is not None:
            archive = Archive(self.file, sha256=self.sha256, own=True)
        elif self.url is not None:
            archive = Archive(_file_name(self.url), (self.url,), sha256=self.sha256, own=True)
        return SourceInfo(
            self.title,
            self.architecture,
            "the user's own",
            archive=archive,
            hub=self.hub,
            key=self.key,
            in_channels=self.in_channels,
            heads=self.heads,
        )


def _file_name(url: str) -> str:
    """The file's name in an address, which may end in a query such as ``?download=true``."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


Grid = Annotated[list[Lam], Field(min_length=1), AfterValidator(distinct)]


LearningRates = Annotated[
    list[Annotated[float, Field(gt=0, le=100), AfterValidator(as_written)]],
    Field(min_length=1),
    AfterValidator(distinct),
]


class MethodSettings(Strict):
    """Grid of a method; its own settings are added from its class's fields.

    Attributes:
        grid: λ to try; left out: the method's own grid.
        lr: learning rates to try, in place of the recipe's; chosen with λ by the same rules.
    """

    grid: Annotated[Grid | None, RUNS] = None
    lr: Annotated[LearningRates | None, RUNS] = None


class OwnMethod(Strict):
    """A method of the user's: a Python file; ``gta.methods.Method`` says how to write one.

    ``title`` and ``grid`` override those of the class.

    Attributes:
        file: relative to this config.
        title: name in tables and figures; left out: the class's.
        grid: λ to try; left out: the class's.
    """

    file: str
    title: Annotated[Title | None, SHOWS] = None
    grid: Annotated[Grid | None, RUNS] = None


class OwnKind(Strict):
    """A kind of table or figure of the user's: a Python file.

    ``gta.tables.kinds.TableKind`` and ``gta.figures.kinds.FigureKind`` say how to write one.

    Attributes:
        file: relative to this config.
    """

    file: str


class Variant(Strict):
    """A method under another name, with recipe keys of its own.

    Attributes:
        of: the method, one of the package's or of ``own_methods``.
        title: name in tables and figures.
        recipe: keys laid over the study's recipe and its overrides.
    """

    of: Name
    title: Annotated[Title, SHOWS]
    recipe: dict[str, Any] = {}
