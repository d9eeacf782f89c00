"""The results page in headless Chromium, light and dark, by mouse and by keyboard, offline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from gta import page as results_page
from tests.page.conftest import REASON, invent

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"
PATIENCE = 60  # seconds, on a busy machine

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs a browser: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page of the invented study."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        for name in ("GTA_ARCHIVES", "GTA_STORE", "GTA_WEIGHTS"):
            patch.delenv(name, raising=False)
        yield folder / results_page.write(invent(Path()))


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    # --no-sandbox: as root it would not start; it opens nothing but the page.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", OFFLINE):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The open page, and what a reader does with it."""

    def __init__(self, driver: webdriver.Chrome, theme: str) -> None:
        self.driver, self.theme = driver, theme

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[Any], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE).until(condition)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, element: WebElement) -> None:
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def column(self, table: str, heading: str) -> list[str]:
        """Texts of the first column under such a heading, of the rows and columns shown."""
        texts: list[str] = self.run(
            """
            const table = document.querySelector(`#${arguments[0]} table`);
            const heads = [...table.tHead.rows].at(-1);
            const names = table.tBodies[0].rows[0].querySelectorAll("th").length;
            const all = [...table.querySelectorAll("thead th")].map((h) => h.textContent.trim());
            const low = [...heads.cells].map((head) => head.textContent.trim());
            const at = low.includes(arguments[1]) && heads !== table.tHead.rows[0]
              ? names + low.indexOf(arguments[1]) : all.indexOf(arguments[1]);
            return [...table.tBodies[0].rows].map((row) => row.cells[at].textContent.trim());
            """,
            table,
            heading,
        )
        return texts

    def heading(self, table: str, text: str) -> WebElement:
        """What sorts a column, by its heading."""
        found: WebElement = self.run(
            "return [...document.querySelectorAll(`#${arguments[0]} table thead th`)]"
            ".find((head) => head.textContent.trim() === arguments[1])",
            table,
            text,
        )
        return found

    def sorted_column(self, table: str, heading: str, order: str | None) -> list[str]:
        """``column``, once its heading says that order; tables sort after the event."""
        self.wait(lambda _: self.heading(table, heading).get_attribute("aria-sort") == order)
        return self.column(table, heading)

    def cell(self, table: str, *names: str) -> WebElement:
        """The first cell that opens, of the row with these names."""
        found: WebElement = self.run(
            """
            const rows = [...document.querySelectorAll(`#${arguments[0]} tbody tr`)];
            const names = (row) => [...row.querySelectorAll("th")].map((th) => th.textContent);
            const row = rows.find((row) => names(row).join() === arguments[1]);
            return row.querySelector("td[data-opens]");
            """,
            table,
            ",".join(names),
        )
        return found

    def narrow(self, field: str, title: str) -> None:
        """Tick a value of a filter, whose list is open meanwhile."""
        shows = self.one(f"#filters [data-shows={field}]")
        summary = shows.find_element(By.XPATH, "..")
        self.click(summary)
        label = f"//details[summary/span[@data-shows='{field}']]//label[span='{title}']"
        self.driver.find_element(By.XPATH, label).click()
        summary.click()

    def detail(self) -> str:
        """The text of the details, once their curves are drawn."""
        drawn = "return document.querySelector('#detail-curves').childNodes.length"
        self.wait(lambda _: self.run(drawn))
        return self.one("#detail[open]").text

    def lines(self) -> list[str]:
        """The colour of every curve, once they are drawn."""
        script = (
            "return [...document.querySelectorAll('#detail-curves .scatterlayer path.js-line')]"
        )
        script += ".map((line) => line.style.stroke)"
        colours: list[str] = self.wait(lambda _: self.run(script))
        return colours


@pytest.fixture(params=["light", "dark"])
def page(browser: webdriver.Chrome, file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page as it opens; at the end, it has said no error and asked for nothing elsewhere."""
    theme = [{"name": "prefers-color-scheme", "value": request.param}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of the test before
    browser.get(file.as_uri())
    opened = Page(browser, request.param)
    opened.wait(lambda _: opened.run("return 'ready' in document.documentElement.dataset"))
    yield opened
    assert browser.get_log("browser") == []
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {one["request"]["url"].split(":")[0] for one in sent} <= {"file", "blob", "data"}


def test_sorts_by_mouse_and_by_keyboard(page: Page) -> None:
    before = page.column("table2", "ours")
    numbers = sorted(float(text.split()[-3]) for text in before if "±" in text)
    page.click(page.heading("table2", "ours"))
    up = page.sorted_column("table2", "ours", "ascending")
    assert [float(text.split()[-3]) for text in up if "±" in text] == numbers
    assert "±" not in up[0]  # the hole
    button = page.heading("table2", "ours").find_element(By.CSS_SELECTOR, "[role=button]")
    page.run("arguments[0].focus()", button)
    page.press(Keys.ENTER)
    assert page.sorted_column("table2", "ours", "descending") == up[::-1]
    page.press(Keys.ENTER)
    assert page.sorted_column("table2", "ours", None) == before


def test_filters_rows_and_columns(page: Page) -> None:
    assert page.column("table2", "Dataset") == ["CUB"] * 6 + ["Pet"] * 6
    page.narrow("dataset", "Pet")
    page.narrow("method", "GTA")
    page.narrow("method", "Fine-tuning")
    assert page.column("table2", "Dataset") == ["Pet", "Pet"]
    assert page.column("table2", "Method") == ["Fine-tuning", "GTA"]
    assert page.one("#filters [data-shows=dataset]").text == "Pet"
    rates = "return [...document.querySelector('#table2 thead tr').cells].map(c => c.textContent)"
    assert page.run(rates)[2:] == ["15 %", "100 %"]
    page.narrow("rate", "100 %")
    assert page.run(rates)[2:] == ["100 %"]
    blocks = "return [...document.querySelectorAll('#table2 .block')].map((b) => !b.hidden)"
    assert page.run(blocks) == [True, True]
    page.narrow("selection", "λ by held-out accuracy")
    assert page.run(blocks) == [False, True]
    page.one("#filters [name=text]").send_keys("no such thing")
    nothing = page.one("#table2 .nothing")
    page.wait(lambda _: nothing.is_displayed())
    page.one("#filters [type=reset]").click()
    page.wait(lambda _: not nothing.is_displayed())
    assert page.run(blocks) == [True, True]
    assert len(page.column("table2", "Dataset")) == 12


def test_a_click_opens_runs_curves_and_command(page: Page) -> None:
    cell = page.cell("table2", "CUB", "GTA")
    page.click(cell)
    colours = page.lines()
    assert len(colours) == 2 * 2 * 5  # lambdas, seeds, panels
    assert len(set(colours)) == 2  # one a lambda
    text = page.detail()
    assert text.startswith("CUB · iBOT · GTA · 15 %")
    assert "gta rerun table2 --config invented.yaml --dataset cub --method gta --rate 15" in text
    runs = page.one("#detail-runs tbody").text.splitlines()
    assert [row.split() for row in runs] == [
        ["1", "held-out", "65.00", "65.20", "65.10", "49.00", "49.20", "49.10", *["90", "s"] * 2],
        ["10", "test", "66.00", "66.20", "66.10", "40.00", "40.20", "40.10", *["90", "s"] * 2],
    ]
    page.one("#detail-command button").click()
    page.wait(lambda _: page.one("#copied").text)
    page.one("#close").click()
    page.wait(lambda _: not page.driver.find_elements(By.CSS_SELECTOR, "#detail[open]"))
    assert page.focused == cell.find_element(By.TAG_NAME, "button")


@pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE], ids=["enter", "space"])
def test_the_keyboard_opens_a_cell_and_comes_back(page: Page, key: str) -> None:
    tabbable = page.run(
        "return document.querySelectorAll('#table2 td button[tabindex=\"0\"]').length"
    )
    assert tabbable == 2  # one for each block
    page.run("document.querySelector('#table2 td button').focus()")
    for step in (Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_UP):
        page.press(step)
    button = page.focused
    outline = "return getComputedStyle(arguments[0]).outlineStyle"
    assert page.run(outline, button) == "solid"
    page.press(key)
    assert page.detail().startswith("CUB · iBOT · L2-SP · 100 %")
    assert page.run("return document.querySelector('#detail').contains(document.activeElement)")
    page.press(Keys.ESCAPE)
    page.wait(lambda _: not page.driver.find_elements(By.CSS_SELECTOR, "#detail[open]"))
    assert page.focused == button


def test_a_link_to_a_cell_opens_it(page: Page, file: Path) -> None:
    page.driver.get(f"{file.as_uri()}#table2/cub/ibot/gta/none/15")
    page.driver.refresh()
    assert page.detail().startswith("CUB · iBOT · GTA · 15 %")
    page.press(Keys.ESCAPE)
    page.wait(lambda _: not page.driver.find_elements(By.CSS_SELECTOR, "#detail[open]"))
    assert "#" not in page.driver.current_url
    page.click(page.cell("table2", "CUB", "L2-SP"))
    page.detail()
    assert page.driver.current_url.endswith("#table2/cub/ibot/l2_sp/none/15")
    page.run("location.hash = '#table2/pet/ibot/gta/none/100'")
    page.wait(lambda _: page.one("#detail-title").text.startswith("Pet · iBOT · GTA · 100 %"))


def test_a_lambda_can_be_hidden(page: Page) -> None:
    page.click(page.cell("table2", "CUB", "GTA"))
    assert len(set(page.lines())) == 2
    button = page.one("#detail-legend button")
    page.click(button)
    page.wait(lambda _: len(set(page.lines())) == 1)
    assert button.get_attribute("aria-pressed") == "false"


def test_a_hole_says_why_in_plain_text(page: Page) -> None:
    page.click(page.cell("table2", "Pet", "GTA"))
    text = page.detail()
    assert f"failed: {REASON}" in text
    assert "gta train --config invented.yaml dataset=pet/" in text
    assert f"λ 10, seed 1: failed: {REASON}" in text
    assert len(page.lines()) == 3 * 5  # of the runs that are there


# WCAG 2: relative luminance and contrast ratio.
CONTRAST = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const luminance = (text) => {
  const [r, g, b] = rgb(text).slice(0, 3).map((part) => linear(part / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  const colour = getComputedStyle(element).backgroundColor;
  return rgb(colour)[3] === 0 ? behind(element.parentElement) : colour;
};
return [...document.querySelectorAll("body *")]
  .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .filter((e) => e.checkVisibility())
  .map((element) => {
    const two = [getComputedStyle(element).color, behind(element)].map(luminance);
    return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
  });
"""


def test_all_text_stands_out(page: Page) -> None:
    assert min(page.run(CONTRAST)) >= 4.5
    page.click(page.cell("table2", "Pet", "GTA"))
    page.lines()
    ratios = page.run(CONTRAST)
    assert min(ratios) >= 4.5
    dark = page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    assert dark == (page.theme == "dark")


def test_the_theme_can_be_chosen(page: Page) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    found = {}
    for _ in range(3):
        found[page.one("#theme").text] = page.run(background)
        page.one("#theme").click()
    assert found["Theme: system"] == found[f"Theme: {page.theme}"]
    assert found["Theme: light"] != found["Theme: dark"]


def test_fits_a_narrow_window(page: Page) -> None:
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        width = "return [document.documentElement.scrollWidth, innerWidth]"
        needed, there = page.run(width)
        assert needed <= there
        page.click(page.cell("table2", "CUB", "GTA"))
        page.lines()
        dialog = (
            "const d = document.querySelector('#detail'); return [d.scrollWidth, d.clientWidth]"
        )
        needed, there = page.run(dialog)
        assert needed <= there
        wide = "return [...document.querySelectorAll('#detail .wide')]"
        assert page.run(f"{wide}.filter((e) => e.scrollWidth > e.clientWidth).length") == 0
        # the buttons of the curves stand above them
        box = "return document.querySelector('#detail-{}').getBoundingClientRect()"
        legend, curves = page.run(box.format("legend")), page.run(box.format("curves"))
        assert 0 < legend["bottom"] <= curves["top"]
        assert len(page.run("return [...document.querySelectorAll('#detail-runs tbody tr')]")) == 4
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
