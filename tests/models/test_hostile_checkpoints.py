"""Crafted and mutated checkpoints: one line each, no code run, bounded memory and time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gta.data.fetch.archives import Checked
from gta.errors import GtaError
from gta.models.prepared import check_weights
from gta.models.sources import convert, read_prepared
from gta.models.vit import create

ANCHOR = "patch_embed.proj.weight"
NORM = "blocks.0.norm1.weight"


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return create("vit_mini_patch8", 224, 0).state_dict()


def converted(content: Any, folder: Path) -> None:
    file = folder / "checkpoint.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    convert(Checked(file, 0, "", "x", "unverified"), "vit_mini_patch8", folder / "out.safetensors")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.to(torch.int8), "of type int8, not floating point"),
        (lambda t: t > 0, "of type bool, not floating point"),
        (lambda t: t.to(torch.complex64), "of type complex64, not floating point"),
        (lambda t: t.to(torch.float8_e4m3fn), "of type float8_e4m3fn, not floating point"),
        (lambda t: t.to_sparse(), "a tensor of layout sparse_coo"),
        (lambda t: t.to("meta"), "on the device meta, without values"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "quantised"),
        (lambda t: t[:1].clone().expand(2**20, 2**20), "expanded: 1,099,511,627,776 values"),
        (lambda t: t / 0, "has values that are not finite"),
    ],
)
def test_tensors_that_are_no_plain_weights_are_refused(weights, change, said, tmp_path):
    with pytest.raises(GtaError, match=said) as raised:
        converted(weights | {NORM: change(weights[NORM])}, tmp_path)
    assert NORM in str(raised.value)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "content",
    [
        {1: torch.ones(2), ANCHOR: torch.ones(2)},
        {("a", "b"): torch.ones(2)},
        {None: {ANCHOR: torch.ones(2)}},
        {b"model": {ANCHOR: torch.ones(2)}},
        {"model": {1: {2: torch.ones(1)}}},
        {"state_dict": [torch.ones(2)]},
        {"model": {ANCHOR: torch.ones(())}},
        {"args": {"num_heads": float("nan")}, ANCHOR: torch.ones(2)},
    ],
    ids=str,
)
def test_mappings_that_are_no_checkpoints_are_refused(content, tmp_path):
    with pytest.raises(GtaError) as raised:
        converted(content, tmp_path)
    assert "\n" not in str(raised.value)


def test_a_compressed_file_that_claims_far_more_is_refused(weights, tmp_path):
    buffer, packed = io.BytesIO(), io.BytesIO()
    torch.save({**weights, "zeros": torch.zeros(2**24)}, buffer)
    with (
        zipfile.ZipFile(buffer) as given_file,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for member in given_file.infolist():
            made.writestr(member.filename, given_file.read(member))
    with pytest.raises(GtaError, match=r"claims to hold [0-9,]+ bytes and has [0-9,]+; refused"):
        converted(packed.getvalue(), tmp_path)


def saved(kind: str) -> bytes:
    content = create("vit_mini_patch8", 32, 0).state_dict()
    if kind == "safetensors":
        return safetensors.torch.save(content, {"weights_digest": "0"})
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


FILES = {kind: saved(kind) for kind in ("zip", "legacy", "safetensors")}


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A checkpoint with bytes changed, cut out or put in; mostly where its structure stands."""
    content = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 4))):
        ends = st.integers(0, 2000) | st.integers(len(content) - 2000, len(content) - 1)
        at = draw(ends | st.integers(0, len(content) - 1))
        how = draw(st.sampled_from(("change", "cut", "put", "end")))
        piece = draw(st.binary(min_size=1, max_size=8))
        if how == "change":
            content[at : at + len(piece)] = piece
        elif how == "cut":
            del content[at : at + len(piece)]
        elif how == "put":
            content[at:at] = piece
        else:
            del content[at:]
        if len(content) < 4100:
            break
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=mutated())
def test_mutated_files_are_read_or_refused_in_one_line(content, tmp_path):
    def attempt(act: Callable[[], Any]) -> None:
        said = ""
        try:
            act()
        except GtaError as error:
            said = str(error)
        assert "\n" not in said

    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    attempt(lambda: converted(content, tmp_path))
    attempt(lambda: read_prepared(path))
    attempt(lambda: check_weights(path))
