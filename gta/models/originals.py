"""Files of sources as published or as the user made them: found, fetched, checked, converted."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from gta.catalog import Archive
from gta.data.fetch.archives import Checked, Progress, check, find, mark_used, sha256_of
from gta.errors import GtaError
from gta.files import atomic_write, file_digest, is_writable, path_lock, write_text
from gta.models.prepared import check_weights, read_metadata
from gta.study import Study


def prepare_source(study: Study, name: str, progress: Progress | None = None) -> Path:
    """Put a source's weights where the study's jobs look for them, with timm's names.

    A shipped file is checked and copied; any other is taken from where it was placed by hand, or
    fetched, and converted. The same file gives the same bytes.

    Args:
        study: the study.
        name: of a source of the catalog or of the study's own.
        progress: called with bytes fetched and the total.

    Returns:
        The prepared file.

    Raises:
        GtaError: if the source is unknown, its file is not available, is not the one published,
            or does not fit the source's architecture.
    """
    info, path = study.source_info(name), study.weights(name)
    with path_lock(path):
        if info.shipped is None:
            from gta.models.published import Choice
            from gta.models.sources import convert

            origin = original(study, name, progress)
            note_seen(study, name)
            choice = Choice(info.key, info.in_channels, info.heads)
            convert(origin, info.architecture, path, choice)
            mark_used([origin])
            return path
        with as_file(files("gta.models") / "weights" / info.shipped) as shipped:
            check_weights(Path(shipped))
            with atomic_write(path) as hidden:
                shutil.copyfile(shipped, hidden)
    return path


def original(study: Study, name: str, progress: Progress | None = None) -> Checked:
    """A source's file as its authors publish it: placed by hand, or else fetched.

    Args:
        study: the study; a source that is not shipped.
        name: of the source.
        progress: called with bytes fetched and the total.

    Returns:
        The file, and how far it was checked.

    Raises:
        GtaError: if the file is not available or is not the one published.
    """
    digests, places = study.store_root / "digests", list(_places(study, name))
    for folder, archive in places:
        if (placed := find(archive, folder)) is not None:
            return check(archive, placed, digests)
    from gta.data.fetch.download import fetch  # imports requests

    faults = []
    for folder, archive in places:
        try:
            return check(archive, fetch(archive, folder, digests, progress), digests)
        except GtaError as error:
            faults.append(str(error))
    raise GtaError(f"{name}: {'; or: '.join(faults)}")


def _places(study: Study, name: str) -> Iterable[tuple[Path, Archive]]:
    """Folders and files in which to look for a source, in order."""
    info = study.source_info(name)
    if info.archive is not None:
        place = study.source_place(info.archive.file)
        yield place.parent, replace(info.archive, file=place.name)
    if info.hub is not None:
        for archive in hub_archives(info.hub):
            yield study.weights_root, archive


def hub_archives(name: str) -> list[Archive]:
    """Files of a model on the Hugging Face hub, the preferred first.

    Args:
        name: ``owner/model``, or what timm calls one of its own: ``vit_small_patch16_224.dino``;
            ``hf-hub:`` before it and ``@revision`` behind it may stand; ``owner/model/file`` names
            a file in the repository.
    """
    from huggingface_hub import hf_hub_url

    name, _, revision = name.removeprefix("hf-hub:").removeprefix("hf_hub:").partition("@")
    owner, _, rest = name.rpartition("/") if name.count("/") == 0 else name.partition("/")
    model, _, file = rest.partition("/")
    repository = f"{owner or 'timm'}/{model}"
    local = f"{repository.replace('/', '--')}{f'@{revision}' if revision else ''}"
    files = [file] if file else ["model.safetensors", "pytorch_model.bin"]
    return [
        Archive(
            f"{local}--{one.replace('/', '--')}" if file else f"{local}{Path(one).suffix}",
            (hf_hub_url(repository, one, revision=revision or None),),
            own=True,
        )
        for one in files
    ]


def placed_file(study: Study, name: str) -> Path | None:
    """Path of the file that a source is made from; None if it is shipped or missing."""
    if study.source_info(name).shipped is not None:
        return None
    found = (find(archive, folder) for folder, archive in _places(study, name))
    return next((path for path in found if path is not None), None)


def is_current(study: Study, name: str) -> bool:
    """Whether a source's file is the one that its prepared weights were made from.

    True if there is nothing to compare: a shipped source, or a file that is not here any more.

    Raises:
        GtaError: if a file cannot be read.
    """
    placed = placed_file(study, name)
    if placed is None:
        return True
    recorded = read_metadata(study.weights(name)).get("origin_sha256")
    if recorded is None:  # written by hand
        return True
    try:
        return sha256_of(placed, study.store_root / "digests") == recorded
    except OSError as error:
        raise GtaError(f"{placed}: cannot be read: {error.strerror}") from None


def require_current(study: Study, name: str) -> None:
    """Check ``is_current``.

    Raises:
        GtaError: if the source's file differs from the one that its weights were made from.
    """
    if not is_current(study, name):
        raise GtaError(
            f"{placed_file(study, name)}: has changed since it was prepared; `gta source prepare "
            f"{name}` or `snakemake` prepares it again, and runs from the old one become stale"
        )


def source_digest(study: Study, name: str) -> str | None:
    """Digest of prepared weights; None if not prepared, ``changed`` if their file differs now."""
    path = study.weights(name)
    if not path.exists():
        return None
    return file_digest(path) if is_current(study, name) else "changed"


def note_seen(study: Study, name: str) -> Path | None:
    """Record size and times of a source's file in the file that Snakemake compares.

    Returns:
        The file; None for a source whose file is shipped or not here.
    """
    placed, prepared = placed_file(study, name), study.weights(name)
    seen = prepared.with_name(f"{prepared.stem}.file.txt")
    if placed is not None and is_writable(prepared.parent):
        status = placed.stat()
        state = (str(placed.absolute()), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        text = f"{state}\n"
        if not seen.exists() or seen.read_text(encoding="utf-8") != text:
            write_text(seen, text)
    return seen if seen.exists() else None
