"""The page in a real browser: quiet, offline, readable without a script, filters work."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.chromium import WANTS_CHROMIUM, open_page
from tests.records import make_record
from tests.test_report_render import full_verdict
from tracer.report.render import render

pytestmark = WANTS_CHROMIUM


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    record, arrays = make_record()
    path.write_text(render(record, full_verdict(), arrays), encoding="utf-8")
    return path.as_uri()


def visible_rows(page: Page) -> list[str | None]:
    rows = page.locator("[data-filtered] [data-kind]")
    return [row.get_attribute("data-kind") for row in rows.all() if row.is_visible()]


def test_filters_work_and_nothing_is_logged_or_fetched(browser: Browser, report: str):
    page = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report)
    assert visible_rows(page) == ["failed", "untested", "held"]
    page.get_by_role("button", name="1 failed").click()
    assert visible_rows(page) == ["failed"]
    assert page.get_by_text("1 of 3 shown").is_visible()
    page.get_by_role("button", name="all 3").press("Enter")
    assert len(visible_rows(page)) == 3
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {report}
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 721, 740, 756, 773, 822, 1240])
def test_the_page_never_scrolls_sideways(browser: Browser, report: str, scheme: str, width: int):
    page = open_page(browser, scheme, width)
    page.goto(report)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(c) for c in colour[4:-1].split(",")) < 200) == (scheme == "dark")
    page.close()


def test_it_reads_fully_without_a_script(browser: Browser, report: str):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report)
    assert page.locator(".filters").is_hidden()
    assert page.locator("#h-expect + p").is_visible()
    assert len(visible_rows(page)) == 3
    assert page.locator("svg.circuit").first.is_visible()
    context.close()
