"""Generated pages are not older than what writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.make import stamp
from docs.make.__main__ import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_new_as_its_generator(name: str) -> None:
    module = PAGES[name]
    if not module.PAGE.exists():
        pytest.skip(f"{module.PAGE.name} has not been written yet")
    versions = getattr(module, "VERSIONS", None)
    made_by, today = stamp.stamped(module.PAGE), stamp.digest(module.SOURCES, versions)
    assert made_by == today, f"{module.PAGE} is older than its generator: `{module.COMMAND}`"


def test_the_stamp_follows_the_generator_and_the_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, page = tmp_path / "generator.py", tmp_path / "page.md"
    generator.write_text("1", encoding="utf-8")
    page.write_text(f"{stamp.head('make it', [generator])}\n# Title\n", encoding="utf-8")
    assert stamp.stamped(page) == stamp.digest([generator])
    generator.write_text("2", encoding="utf-8")
    assert stamp.stamped(page) != stamp.digest([generator])
    generator.write_text("1", encoding="utf-8")
    monkeypatch.setitem(stamp.VERSIONS, "recipe", stamp.VERSIONS["recipe"] + 1)
    assert stamp.stamped(page) != stamp.digest([generator])
    page.write_text("# No stamp\n", encoding="utf-8")
    assert stamp.stamped(page) is None
