"""gta against values that the reference code gave on the same inputs (docs/fidelity.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from docs.make.fidelity import COMMAND, row
from tests.fidelity import recorded
from tests.fidelity.cases import CASES, measure
from tests.fidelity.inputs import integers, uniform

TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_reference(name: str) -> None:
    case = CASES[name]
    errors = measure(name)
    if case.deviates:
        assert max(errors.values()) > TOLERANCE
        return
    for output, error in errors.items():
        assert error <= case.loose.get(output, TOLERANCE), output
        if recorded.values(name)[output][0].dtype.kind in "biU":
            assert error == 0, output


def test_bss_in_float32_is_as_near_to_float64_as_the_reference() -> None:
    """Why the gradient of that case is held to less."""
    exact, theirs = recorded.values("bss"), recorded.values("bss, float32")
    _, ours = CASES["bss, float32"].run()
    for output, array in ours.items():
        error = recorded.relative_error(recorded.condensed(array), exact[output])
        assert error <= max(TOLERANCE, 2 * recorded.relative_error(theirs[output], exact[output]))


def test_every_recorded_case_is_compared() -> None:
    assert list(recorded.origins()) == list(CASES)


def test_inputs_are_spread_over_their_range() -> None:
    drawn = uniform((100, 100), 0)
    assert (drawn >= -1).all()
    assert (drawn < 1).all()
    assert abs(drawn.mean()) < 0.02
    assert drawn.std() == pytest.approx(3**-0.5, rel=0.02)
    assert np.unique(integers((1000,), 2, 5, 0)).tolist() == [2, 3, 4]
    assert not np.array_equal(uniform((4,), 1, 0), uniform((4,), 0, 1))


def test_relative_error_is_seen() -> None:
    reference = np.linspace(1, 2, 5000)
    for ours, error in ((reference, 0.0), (reference * 1.001, 1e-3)):
        found = recorded.relative_error(recorded.condensed(ours), recorded.condensed(reference))
        assert found == pytest.approx(error, rel=1e-3)
    moved = reference.copy()
    moved[2::5] *= 1.1  # most are outside the sample: the norm shows them
    assert recorded.relative_error(recorded.condensed(moved), recorded.condensed(reference)) > 1e-2
    flags = np.array([True, False, True, True])
    assert recorded.relative_error((~flags,), (flags,)) == 1.0


def test_the_page_has_a_row_for_every_case(root: Path) -> None:
    page = (root / "docs" / "fidelity.md").read_text(encoding="utf-8")
    part = page.partition(f"<!-- `{COMMAND}`")[2].partition(f"<!-- end of {COMMAND} -->")[0]
    lines = part.strip().splitlines()[3:]
    expected = [row(name, {}) for name in CASES]
    assert [line.split(" | ")[:3] for line in lines] == [line.split(" | ")[:3] for line in expected]
