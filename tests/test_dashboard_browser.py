"""Explore and Intervene as a person uses them, in headless Chromium against the real server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_CHROMIUM
from tests.dashboard_server import opened, serving
from tests.graph_runs import large_graph, put_graph_run
from tests.tiny_file import run_tiny

pytestmark = WANTS_CHROMIUM
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>[x](javascript:alert(3))"
SLOW = 30_000
"""Milliseconds that a step may take where other work runs beside it."""
FIRST_PAINT, ROUND_TRIP = 15.0, 8.0
"""Seconds; an idle machine needs a tenth, but a test is no stopwatch."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over one run whose texts are hostile, with a graph of 120 features."""
    root = tmp_path_factory.mktemp("small")
    put_graph_run(root / "reports", large_graph(120), **{"supernodes.texas.label": HOSTILE})
    with serving(root) as url:
        yield url


def graph(page: Page) -> None:
    page.locator(".gv-node").first.wait_for(state="attached", timeout=SLOW)
    expect(page.get_by_role("heading", name="Nodes as a table")).to_be_visible(timeout=SLOW)


def selected(page: Page, n: int | re.Pattern[str]) -> None:
    """Wait until Python says how many are selected."""
    told = page.get_by_role("heading", name=re.compile(r"^Selected: "))
    expect(told).to_have_text(f"Selected: {n}" if isinstance(n, int) else n, timeout=SLOW)


def drag_box(page: Page, x: float = 60, y: float = 60, width: float = 260) -> None:
    box = page.locator(".gv-svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    page.mouse.move(box["x"] + x + width, box["y"] + y + 150, steps=4)
    page.mouse.up()


def test_click_box_keyboard_and_grouping(browser: Browser, small: str):
    page, heard = opened(browser, f"{small}/explore")
    graph(page)
    page.locator(".gv-node").nth(10).click(force=True)
    selected(page, 1)
    drag_box(page)
    selected(page, re.compile(r"^Selected: \d{2,}$"))
    assert "sel=" in page.url
    page.get_by_role("button", name="Clear", exact=True).click()
    selected(page, 0)
    expect(page.locator(".gv-selected")).to_have_count(0)
    drag_box(page)
    selected(page, re.compile(r"^Selected: \d{2,}$"))
    page.get_by_label("Name of a supernode").fill("mine")
    page.get_by_label("Name of a supernode").press("Enter")
    page.get_by_role("button", name=re.compile("^Group .* selected")).click()
    expect(page.locator(".gv-chips button", has_text="mine")).to_be_visible(timeout=SLOW)
    told = page.get_by_role("heading", name=re.compile(r"^Selected: ")).inner_text()
    n = int(told.removeprefix("Selected: "))
    expect(page.locator(".gv-selected")).to_have_count(n)
    page.locator(".gv-node[tabindex='0'], .gv-node").first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    selected(page, 1)
    page.keyboard.press("Escape")
    selected(page, 0)
    assert heard.errors == []
    assert heard.hosts == {small.removeprefix("http://")}
    page.close()


def test_what_was_cleared_can_be_selected_again(browser: Browser, small: str):
    page, _ = opened(browser, f"{small}/explore")
    graph(page)
    for _ in range(2):
        page.locator(".gv-node").nth(10).click(force=True)
        selected(page, 1)
        page.get_by_role("button", name="Clear", exact=True).click()
        selected(page, 0)
    page.close()


def test_an_address_restores_selection_and_threshold(browser: Browser, small: str):
    page, _ = opened(browser, f"{small}/explore")
    graph(page)
    drag_box(page, width=120)
    selected(page, re.compile(r"^Selected: [1-9]"))
    told = page.get_by_role("heading", name=re.compile(r"^Selected: ")).inner_text()
    n = int(told.removeprefix("Selected: "))
    page.get_by_role("slider", name="Share of influence shown").fill("40")
    page.wait_for_url(re.compile(r"t=0\.4"), timeout=SLOW)
    address = page.url
    page.close()
    page, heard = opened(browser, address.replace("sel=", "sel=%2Fetc%2Fpasswd.%3Cb%3E."))
    graph(page)
    selected(page, min(n, 18))
    expect(page.locator(".gv-selected")).to_have_count(min(n, 18))
    expect(page.locator(".gv-tools output")).to_contain_text("40 %")
    assert heard.errors == []
    page.close()


@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.library)])
def test_large_graphs_are_shown_and_answer(browser: Browser, tmp_path: Path, n: int):
    put_graph_run(tmp_path / "reports", large_graph(n, 10 if n == 2_000 else 4))
    with serving(tmp_path) as url:
        page, heard = opened(browser, f"{url}/explore")
        graph(page)
        start = time.monotonic()
        page.goto(f"{url}/explore")
        page.locator(".gv-node").first.wait_for(state="attached", timeout=SLOW)
        first_paint = time.monotonic() - start
        expect(page.get_by_text("Shown: the 2,000 most influential")).to_be_visible(timeout=SLOW)
        selected(page, 0)
        start = time.monotonic()
        drag_box(page, width=80)
        selected(page, re.compile(r"^Selected: [1-9]"))
        round_trip = time.monotonic() - start
        assert heard.errors == []
        page.close()
    assert first_paint < FIRST_PAINT
    assert round_trip < ROUND_TRIP


def test_a_supernode_made_here_is_clamped_there(browser: Browser, tmp_path: Path):
    graph_ = large_graph(60)
    put_graph_run(tmp_path / "reports", graph_, stamp="20260101T000000.000Z-0123ab")
    put_graph_run(tmp_path / "reports", graph_, stamp="20260102T000000.000Z-0123ab")
    with serving(tmp_path) as url:
        older = "two_hop/20260101T000000.000Z-0123ab"
        page, heard = opened(browser, f"{url}/explore?run={older}")
        graph(page)
        drag_box(page)
        selected(page, re.compile(r"^Selected: \d{2,}$"))
        page.get_by_label("Name of a supernode").fill("mine")
        page.get_by_label("Name of a supernode").press("Enter")
        page.get_by_role("button", name=re.compile("^Group .* selected")).click()
        expect(page.locator(".gv-chips button", has_text="mine")).to_be_visible(timeout=SLOW)
        page.get_by_role("link", name="Intervene", exact=True).click()
        expect(page.get_by_role("heading", name="Intervene")).to_be_visible(timeout=SLOW)
        page.wait_for_url(re.compile("20260101"), timeout=SLOW)
        page.get_by_label("Supernodes to clamp").click()
        expect(page.get_by_role("option", name="mine")).to_be_visible(timeout=SLOW)
        assert heard.errors == []
        page.close()


def test_a_try_in_the_browser(browser: Browser, tiny: Path, tmp_path: Path):
    run_tiny(tmp_path, tiny)
    with serving(tmp_path) as url:
        page, heard = opened(browser, f"{url}/intervene?prompt=plano")
        page.get_by_role("button", name="Run", exact=True).click(timeout=SLOW)
        expect(page.get_by_role("heading", name="Try 1")).to_be_visible(timeout=2 * SLOW)
        images = page.locator("img[src^='data:image/svg+xml'], img[src*='/media/']")
        expect(images.first).to_be_visible(timeout=SLOW)
        widths = images.evaluate_all("all => all.map(each => each.naturalWidth)")
        assert len(widths) >= 2
        assert min(widths) > 0
        expect(page.get_by_role("button", name="Free the model")).to_be_visible()
        assert heard.errors == []
        assert heard.hosts == {url.removeprefix("http://")}
        page.close()
