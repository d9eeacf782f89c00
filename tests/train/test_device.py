"""The device that trains."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.train import pick_device
from gta.train.claim import claim
from gta.train.device import _GRANTS
from tests.train.runs import CPU


def test_automatic_device_is_the_cpu_where_there_is_no_gpu(monkeypatch, no_gpu):
    assert pick_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in (*_GRANTS, "GTA_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "granted",
    [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "MIG-f8ea2b1c"},
        {"SLURM_JOB_GPUS": "0"},
        {"SLURM_GPUS_ON_NODE": "2"},
    ],
)
@pytest.mark.usefixtures("no_gpu")
def test_a_granted_gpu_that_torch_cannot_use_stops_the_job(monkeypatch, granted):
    for name, value in granted.items():
        monkeypatch.setenv(name, value)
    ((name, value),) = granted.items()
    said = rf"^{name}={value} grants a GPU, and torch .* can use none: .*; .*GTA_DEVICES=cpu"
    with pytest.raises(GtaError, match=said):
        pick_device("auto")
    with pytest.raises(GtaError, match=said), claim():
        pass
    with claim("cpu") as device:
        assert pick_device(device) == CPU
    monkeypatch.setenv("GTA_DEVICES", "cpu")
    with claim() as device:
        assert pick_device(device) == pick_device("auto") == CPU


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
@pytest.mark.usefixtures("no_gpu")
def test_gpus_that_are_hidden_are_not_granted(monkeypatch, hidden):
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert pick_device("auto") == CPU
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("SLURM_JOB_GPUS", "")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "0")
    assert pick_device("auto") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises(GtaError) as raised:
        pick_device(name)
    assert str(raised.value).startswith(f"device {name!r} cannot be used: ")
    assert str(raised.value).endswith("; try `auto`")
    assert "\n" not in str(raised.value)
