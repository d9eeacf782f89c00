"""Generated pages: written by what is here now, and a page older than its makers is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.make import stamp
from docs.make.__main__ import PAGES, main, writer
from docs.make.page import fill_section
from gta.errors import GtaError

# Pages from before they were stamped, whose results are of long runs: made anew with those.
UNSTAMPED = {
    "flowers": "hours of `snakemake --configfile config/flowers.yaml`",
    "grocery": "8 hours of `snakemake --configfile config/grocery.yaml`",
    "grocery_mean": "nine runs of config/grocery-mean.yaml",
    "store": "the trained models of the grocery study",
    "performance": "`make bench` on a quiet machine",
}


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_older_than_what_writes_it(name: str) -> None:
    page = writer(name)
    found = stamp.stamped(page.PAGE, page.COMMAND) if page.PAGE.exists() else None
    if found in (None, "0" * 16):
        assert name in UNSTAMPED, f"{page.PAGE.name} has no stamp; {page.COMMAND} writes it"
        return
    today = stamp.digest(page.SOURCES, getattr(page, "VERSIONS", None))
    assert found == today, f"{page.PAGE.name} is older than what writes it: {page.COMMAND}"
    if hasattr(page, "text"):  # made of code alone
        same = page.PAGE.read_text(encoding="utf-8") == page.text()
        assert same, f"{page.PAGE.name} is older than the code: {page.COMMAND}"


def test_a_stamp_knows_code_words_settings_and_versions_but_not_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, config, words = tmp_path / "a.py", tmp_path / "a.yaml", tmp_path / "a.md"
    code.write_text("x = 1\n")
    config.write_text("a: 1\n")
    words.write_text("one\n")
    sources = [code, config, words]
    first = stamp.digest(sources)
    code.write_text("# why\nx  =  1\n")
    config.write_text("# expected: 5 minutes\na: 1\n")
    assert stamp.digest(sources) == first
    for path, text in ((code, "x = 2\n"), (config, "a: 2\n"), (words, "two\n")):
        before = path.read_text()
        path.write_text(text)
        assert stamp.digest(sources) != first
        path.write_text(before)
    with monkeypatch.context() as patch:
        patch.setitem(stamp.VERSIONS, "recipe", stamp.VERSIONS["recipe"] + 1)
        assert stamp.digest(sources) != first
    head = stamp.head("python -m docs.make a", sources)
    words.write_text(f"{head}\n# Title\n")
    assert stamp.stamped(words, "python -m docs.make a") == first
    assert stamp.stamped(words, "python -m docs.make b") is None


def test_a_part_of_a_page_is_replaced(tmp_path: Path) -> None:
    page, command = tmp_path / "page.md", "python -m docs.make part"
    page.write_text(f"before\n<!-- `{command}` -->\nold\n<!-- end of {command} -->\nafter\n")
    for text in ("first", "second"):
        fill_section(page, command, [page.with_name("page.py")][:0], text)
        lines = page.read_text().splitlines()
        assert (lines[0], lines[2], lines[-1]) == ("before", text, "after")
        assert len(lines) == 5
    with pytest.raises(GtaError, match="has no part that"):
        fill_section(page, "another", [], "text")


def test_named_pages_fail_and_others_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> None:
        raise GtaError("results/mini: missing")

    monkeypatch.setattr("docs.make.__main__.PAGES", ("mini",))
    monkeypatch.setattr(writer("mini"), "write", nothing)
    assert main([]) == 0
    assert main(["mini"]) == 1
    assert main(["nothing"]) == 1
    said = capsys.readouterr().err
    assert said.count("mini: not written: results/mini: missing") == 2
    assert "there is no page 'nothing': mini" in said
