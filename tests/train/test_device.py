"""The device that trains."""

from __future__ import annotations

import pytest
import torch

from gta.errors import GtaError
from gta.train import pick_device
from tests.train.runs import CPU


def test_automatic_device_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises(GtaError) as raised:
        pick_device(name)
    assert str(raised.value).startswith(f"device {name!r} cannot be used: ")
    assert str(raised.value).endswith("; try `auto`")
    assert "\n" not in str(raised.value)
