"""The dashboard's pages by axe-core after they were used: selections, mistakes, a try."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from bench import TINY
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard_server import CHROMIUM, FLAGS, serving
from tests.graph_runs import large_graph, put_graph_run
from tracer.hypothesis.load import read
from tracer.progress import Silent
from tracer.result import settle
from tracer.runner import measure

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: install it to run"),
    pytest.mark.skipif(
        "AXE_CORE" not in os.environ,
        reason="no axe-core: `npm pack axe-core@4.14.1`, unpack, AXE_CORE=package/axe.min.js",
    ),
]
SLOW = 60_000
NOT_OURS = ["button:disabled", "[data-testid='stFileUploaderDropzone']"]
"""Needs no contrast; and Streamlit gives its own a role that nothing in focus may have."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run with a graph, and one of the tiny model that can be tried out."""
    root = tmp_path_factory.mktemp("axe")
    put_graph_run(root / "reports", large_graph(60))
    path = root / "tiny.yaml"
    declared = TINY | {"model": {"name": str(tiny), "device": "cpu"}}
    path.write_text(yaml.safe_dump(declared, sort_keys=False))
    settle(measure(read(str(path)), reports=root / "reports", progress=Silent()))
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("use", [explored, mistaken, tried])
def test_axe_finds_nothing(
    browser: Browser, address: str, use: Callable[[Page, str], None], scheme: str
):
    page = browser.new_page(
        viewport={"width": 1400, "height": 1000},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    use(page, address)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')", timeout=SLOW)
    page.add_style_tag(content="* { transition: none !important }")  # no colour half faded in
    page.wait_for_timeout(500)  # an expander's text is animated
    page.evaluate(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run({{exclude: {NOT_OURS}}}).then((r) => r.violations)")
    assert [(v["id"], [node["target"] for node in v["nodes"]][:3]) for v in found] == []
    page.close()
