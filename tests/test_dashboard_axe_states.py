"""The dashboard's pages by axe-core after they were used: selections, mistakes, a try."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_AXE, WANTS_CHROMIUM, open_page, violations
from tests.dashboard_server import serving, settled
from tests.graph_runs import large_graph, put_graph_run
from tests.opened import attributed_of, open_tiny
from tests.tiny_file import run_tiny
from tracer.engine.features.neurons import NeuronBasis
from tracer.record.graph.files import write
from tracer.record.graph.prune import prune

pytestmark = [*WANTS_CHROMIUM, WANTS_AXE]
SLOW = 60_000
NOT_OURS = ["button:disabled", "[data-testid='stFileUploaderDropzone']"]
"""Needs no contrast; and Streamlit gives its own a role that nothing in focus may have."""


@pytest.fixture(scope="module")
def address(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run with a graph, one of the tiny model that can be tried out, and a graph of that."""
    root = tmp_path_factory.mktemp("axe")
    (root / "graphs").mkdir()
    put_graph_run(root / "reports", large_graph(60))
    run_tiny(root, tiny)
    model = open_tiny(tiny)
    graph = attributed_of(model, NeuronBasis(model), 40).graph
    write(root / "graphs" / "mine.json", prune(graph))
    with serving(root) as url:
        yield url


def explored(page: Page, address: str) -> None:
    """A feature selected and grouped, and the group kept."""
    page.goto(f"{address}/explore?run=two_hop/20260102T030405.000Z-0123ab")
    page.locator(".gv-feature").first.click(force=True, timeout=SLOW)
    expect(page.get_by_role("heading", name="Selected: 1")).to_be_visible(timeout=SLOW)
    page.get_by_label("Name of a supernode").fill("mine")
    page.get_by_label("Name of a supernode").press("Enter")
    page.get_by_role("button", name=re.compile("^Group 1 selected")).click()
    page.get_by_role("button", name="Keep them as a draft").click(timeout=SLOW)
    expect(page.get_by_text("Bring supernodes back")).to_be_visible(timeout=SLOW)
    page.get_by_text("Bring supernodes back").click()
    page.get_by_text("Direct effects between supernodes").click()


def mistaken(page: Page, address: str) -> None:
    """A text with a mistake, and the place for an upload open."""
    page.goto(f"{address}/author")
    editor = page.get_by_role("textbox", name="Hypothesis file")
    expect(editor).to_have_value(re.compile("my_hypothesis"), timeout=SLOW)
    page.get_by_text("Upload a file").click()
    page.get_by_text("The text with line numbers").click()
    editor.press("Control+Home")
    editor.press_sequentially("claims: x\n")
    expect(page.get_by_text("1 mistake")).to_be_visible(timeout=SLOW)


def tried(page: Page, address: str) -> None:
    """Clamps tried against controls, with the expectations that come of it."""
    page.goto(f"{address}/intervene?prompt=plano")
    page.get_by_role("button", name="Run with 39 matched random sets").click(timeout=SLOW)
    expect(page.get_by_role("heading", name="Add what was seen")).to_be_visible(timeout=2 * SLOW)
    expect(page.get_by_role("button", name="Save as draft")).to_be_visible(timeout=SLOW)


def asked(page: Page, address: str) -> None:
    """A head asked why it looks somewhere, then by a cell of its pattern, by mouse and by keys."""
    page.goto(f"{address}/explore?graph-file=mine&why=1.2_13_7_mean")
    page.get_by_role("button", name="Ask the model").click(timeout=SLOW)
    cells = page.locator(".pv-cell")
    expect(cells).to_have_count(14 * 15 // 2, timeout=2 * SLOW)
    expect(page.locator(".pv-cell[aria-selected=true]")).to_have_attribute(
        "aria-label", re.compile(r"^from ' Texas' \(13\) to ' Dallas' \(7\)")
    )
    cells.nth(12 * 13 // 2 + 5).click()
    expect(page.get_by_text("Head 1.2 looks from ' of' (12)")).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("why=1.2_12_5_mean"), timeout=SLOW)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_text("at ' the' (4) with")).to_be_visible(timeout=SLOW)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    expect(page.locator(".pv-cell:focus")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("use", [explored, mistaken, tried, asked])
def test_axe_finds_nothing(
    browser: Browser, address: str, use: Callable[[Page, str], None], scheme: str
):
    page = open_page(browser, scheme)
    use(page, address)
    settled(page)
    assert violations(page, NOT_OURS) == []
    page.close()
