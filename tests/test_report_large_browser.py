"""Pages of runs beyond any reasonable size, in a browser: they open soon, fit, and can be used."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_CHROMIUM
from tests.records import change, make_record
from tests.test_report_large import large_graph, told
from tests.test_report_render import full_verdict
from tests.verdicts import make_outcome, make_verdict
from tracer.report.render import render
from tracer.report.run_graphs import RunGraphs

pytestmark = [*WANTS_CHROMIUM, pytest.mark.library]

NODE = "[role=option]"
SOON = 10.0
"""Seconds within which a page is there; three on a quiet machine, where it takes one."""


def open_page(browser: Browser, path: Path, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    began = time.perf_counter()
    page.goto(path.as_uri())
    expect(page.locator("h1")).to_be_visible()
    assert time.perf_counter() - began < SOON
    assert said == []
    return page


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of 21,001 nodes on a prompt of a hundred thousand characters, one of them a word."""
    template = "Fact:" + " word" * 10_000 + " " + "x" * 50_000 + " state containing {city} is"
    record, arrays = make_record(hypothesis={"template": template})
    record = record.model_copy(update={"graphs": told(1)})
    graphs = RunGraphs({"dallas": large_graph(20_000, 1_000)})
    path = tmp_path_factory.mktemp("large") / "report.html"
    path.write_text(render(record, full_verdict(), arrays, graphs), encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    return path


@pytest.mark.parametrize("width", [400, 1240])
def test_nothing_sticks_out_and_the_prompt_is_told_as_cut(
    browser: Browser, large: Path, width: int
):
    page = open_page(browser, large, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    prompt = page.locator("figcaption .prompt").first
    assert "characters left out" in prompt.inner_text()
    assert prompt.inner_text().endswith("state containing Dallas is")
    box = prompt.bounding_box()
    assert box is not None and box["height"] < 900
    page.close()


def test_a_graph_of_twenty_thousand_nodes_is_drawn_and_answers(browser: Browser, large: Path):
    page = open_page(browser, large, 1240)
    began = time.perf_counter()
    page.locator(f"{NODE}[tabindex='0']").wait_for(state="attached")
    assert time.perf_counter() - began < SOON
    drawn = page.locator(NODE).count()
    assert 100 < drawn <= 1_000
    page.locator("summary", has_text="the strongest links as a table").click()
    cut = "Shown: the 1,000 most influential of 21,001 nodes"
    assert page.get_by_text(cut).is_visible()
    page.locator(".gv").scroll_into_view_if_needed()
    output = page.locator(f"{NODE}[aria-label^='output']").first.bounding_box()
    assert output is not None
    page.mouse.click(output["x"] + output["width"] / 2, output["y"] + output["height"] / 2)
    expect(page.locator(f"{NODE}[aria-selected=true]")).to_have_count(1)
    assert page.locator(".gv-side ul[aria-label=Inputs] .gv-share").count() > 0
    page.close()


def test_ten_thousand_expectations_open_and_filter(browser: Browser, tmp_path: Path):
    record, arrays = make_record()
    record = change(record, "yaml", "- {top: ' Sacramento'}\n" * 10_000)
    outcomes = [make_outcome("ablate_texas", expectation=f"top {n}") for n in range(9_990)]
    outcomes += [make_outcome("ablate_texas", "failed", expectation="rank")] * 10
    path = tmp_path / "report.html"
    path.write_text(render(record, make_verdict(*outcomes, verdict="refuted"), arrays))
    assert path.stat().st_size < 2_000_000
    page = open_page(browser, path, 1240)
    assert page.get_by_text("Listed: the 500 worst of 10,000.").is_visible()
    page.get_by_role("button", name="10 failed").click()
    assert page.get_by_text("10 of 500 shown").is_visible()
    page.close()
