"""Prepared weights: safetensors files whose metadata name the digest of their tensors.

Read without torch, so that copying or checking a shipped source does not import it.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gta.errors import GtaError

# Names of safetensors' types as torch writes them; `weights_digest` has them in its text.
DTYPES = {
    "F64": "torch.float64",
    "F32": "torch.float32",
    "F16": "torch.float16",
    "BF16": "torch.bfloat16",
    "I64": "torch.int64",
    "I32": "torch.int32",
    "I16": "torch.int16",
    "I8": "torch.int8",
    "U8": "torch.uint8",
    "BOOL": "torch.bool",
}
MOST_HEADER_BYTES = 100_000_000  # safetensors' own bound


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    Attributes:
        metadata: texts by key.
        tensors: of each tensor its dtype, shape and data_offsets.
        start: offset of the first tensor's bytes.
    """

    metadata: dict[str, str]
    tensors: dict[str, dict[str, Any]]
    start: int


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file.

    Raises:
        GtaError: if the file is missing, or is not a complete safetensors file.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe blocks its reader
            raise _damaged(path, "is not a regular file")
        size = found.st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, MOST_HEADER_BYTES):
                raise _damaged(path, "no header of a valid length")
            content = json.loads(file.read(length))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, GtaError):
            raise
        raise _damaged(path, "its header is not JSON") from None
    try:
        metadata = {str(k): str(v) for k, v in (content.pop("__metadata__", None) or {}).items()}
        tensors = {str(name): dict(entry) for name, entry in content.items()}
        end = max((int(t["data_offsets"][1]) for t in tensors.values()), default=0)
        for entry in tensors.values():
            begin, stop = map(int, entry["data_offsets"])
            if not 0 <= begin <= stop or any(int(n) < 0 for n in entry["shape"]):
                raise ValueError
    except (AttributeError, LookupError, TypeError, ValueError):
        raise _damaged(path, "its header does not describe tensors") from None
    if 8 + length + end != size:
        raise _damaged(path, f"{size} bytes in place of {8 + length + end}")
    return Header(metadata, tensors, 8 + length)


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file.

    Raises:
        GtaError: if the file is missing or damaged.
    """
    return read_header(path).metadata


def check_weights(path: Path) -> dict[str, str]:
    """Check a shipped or prepared file against the digest in its metadata; return the metadata.

    Raises:
        GtaError: if the file is missing, damaged or altered.
    """
    header = read_header(path)
    if header.metadata.get("weights_digest") != _weights_digest(path, header):
        what = "its weights are not those its metadata names"
        raise GtaError(what, where=path, remedy="get it again")
    return header.metadata


def _weights_digest(path: Path, header: Header) -> str:
    """As ``gta.models.sources.weights_digest`` of the file's tensors."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for name in sorted(header.tensors):
            entry = header.tensors[name]
            dtype, shape = DTYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"])
            digest.update(f"{name}\t{dtype}\t{shape}\n".encode())
            begin, stop = entry["data_offsets"]
            file.seek(header.start + begin)
            digest.update(file.read(stop - begin))
    return digest.hexdigest()


def trained_side(path: Path) -> int | None:
    """Side in pixels of the images that a file's position embeddings are made for.

    None for a ViT without learned positions, such as one with rotary positions.

    Raises:
        GtaError: if the file is missing or damaged, or is not a ViT.
    """
    header = read_header(path)
    if "pos_embed" not in header.tensors:
        if not any(".attn.qkv." in name for name in header.tensors):
            raise GtaError(f"{path}: is not a ViT, it has no attn.qkv")
        return None
    try:
        patch = int(header.tensors["patch_embed.proj.weight"]["shape"][-1])
    except LookupError:
        raise GtaError(f"{path}: is not a ViT, it has no patch_embed.proj.weight") from None
    # The root of the number of patches drops the few prefix tokens, if there are any.
    return math.isqrt(int(header.tensors["pos_embed"]["shape"][1])) * patch


def _damaged(path: Path, why: str) -> GtaError:
    return GtaError(f"{path}: cannot be read as safetensors: {why}")
