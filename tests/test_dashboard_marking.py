"""Marking rows of the table of runs by the mouse, in headless Chromium: one opens, two compare."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_CHROMIUM
from tests.dashboard_server import opened, serving
from tests.dashboards import put_run
from tests.verdicts import make_verdict

pytestmark = WANTS_CHROMIUM
SLOW = 30_000
HEADER, ROW, MARKER = 35, 35, 15
"""Pixels of the table's header and rows, and from its edge to the middle of its boxes."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The runs `newest`, `middle` and `oldest`, listed in this order."""
    root = tmp_path_factory.mktemp("marking")
    for day, (name, verdict) in enumerate(
        (("oldest", "confirmed"), ("middle", "refuted"), ("newest", "inconclusive")), 1
    ):
        put_run(
            root / "reports",
            name,
            verdict=make_verdict(verdict=verdict, hypothesis=name),
            started=f"2026-01-0{day}T00:00:00Z",
        )
    with serving(root) as url:
        yield url


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The list of runs, quiet to the end."""
    found, heard = opened(browser, address)
    yield found
    assert heard.errors == []
    found.close()


def mark(page: Page, row: int) -> None:
    table = page.get_by_test_id("stDataFrame").first
    table.locator("canvas").first.wait_for(timeout=SLOW)
    table.click(position={"x": MARKER, "y": HEADER + ROW * row + ROW // 2})


def test_a_marked_row_opens_and_a_second_one_offers_to_compare(page: Page):
    link = page.get_by_role("link", name="Compare the two marked runs")
    mark(page, 1)
    expect(page.get_by_role("link", name="Open ✖ middle")).to_be_visible(timeout=SLOW)
    expect(link).to_have_count(0)
    mark(page, 2)
    expect(link).to_be_visible(timeout=SLOW)
    mark(page, 1)
    expect(page.get_by_role("link", name="Open ✖ middle")).to_have_count(0, timeout=SLOW)
    expect(page.get_by_role("link", name="Open ✔ oldest")).to_be_visible(timeout=SLOW)
    expect(link).to_have_count(0)
    mark(page, 0)
    link.click(timeout=SLOW)
    expect(page.get_by_role("heading", name="Compare")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="✔ confirmed")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="? inconclusive")).to_be_visible(timeout=SLOW)
    for side, run in (("A", "oldest"), ("B", "newest")):
        chosen = page.get_by_role("combobox", name=side, exact=True)
        expect(chosen).to_have_value(re.compile(f"{run} · "), timeout=SLOW)


def test_an_opened_run_is_the_one_that_other_pages_go_on_with(page: Page):
    page.get_by_role("link", name="Runs", exact=True).click()
    mark(page, 1)
    page.get_by_role("link", name="Open ✖ middle").click(timeout=SLOW)
    expect(page.get_by_role("heading", name="✖ refuted")).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("/run.*run=middle"), timeout=SLOW)
    page.get_by_role("link", name="Explore its graphs").click()
    expect(page.get_by_role("heading", name="Explore")).to_be_visible(timeout=SLOW)
    chosen = page.get_by_role("combobox", name="Run", exact=True)
    expect(chosen).to_have_value(re.compile("middle · "), timeout=SLOW)
