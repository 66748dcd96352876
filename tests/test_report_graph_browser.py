"""The interactive graph as a person uses it: mouse, keyboard, address, dark, printed, hostile."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_AXE, WANTS_CHROMIUM, open_page, violations
from tests.graphs import random_graph
from tests.records import change, make_graph_record, make_record
from tests.test_report_render import full_verdict
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.spec import SupernodeSpec
from tracer.hypothesis.yaml_text import parse_value
from tracer.record.graph.graph import listed
from tracer.record.graph.head_reason import (
    CONSTANT,
    HeadQuestion,
    HeadReason,
    NodePart,
    PairPart,
)
from tracer.record.record import FeatureRef
from tracer.record.run_folder import UnreadableRun
from tracer.report.head_reason import reason_view
from tracer.report.index import IndexEntry, UnreadEntry, render_index, render_unread
from tracer.report.render import render, render_graph
from tracer.report.run_graphs import RunGraphs, pack_graph

pytestmark = WANTS_CHROMIUM

EVIL = "<script>boom()</script>{{ 7*7 }} [x](javascript:boom()) **b** <img src=x onerror=boom()>"
NODE, TEXAS = "[role=option]", 3
ONE = "() => document.querySelectorAll('[aria-selected=true]').length === 1"


def page_text() -> str:
    record, arrays = make_record()
    graph = random_graph(4)
    tokens = ("<bos>", EVIL, " of", " Dallas", " is")
    graph = dataclasses.replace(graph, subject=dataclasses.replace(graph.subject, tokens=tokens))
    members = tuple(
        FeatureRef(layer=layer, index=index, position=position)
        for layer, position, index in graph.nodes.features[:TEXAS].tolist()
    )
    record = change(record, "supernodes.texas.features", members)
    record = change(record, "supernodes.texas.label", f"Texas {EVIL}")
    spans = {**record.prompts["dallas"].spans, "word": (3, 4)}
    record = change(record, "prompts.dallas.spans", spans)
    told = make_graph_record(
        target=EVIL,
    )
    record = record.model_copy(update={"graphs": {"dallas": told, "plano": told, "el_paso": told}})
    graphs = {"dallas": listed(graph), "plano": listed(random_graph(7))}
    found = RunGraphs(graphs, {"el_paso": f"cut short {EVIL}"})
    return render(record, full_verdict(), arrays, found)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("graph") / "report.html"
    path.write_text(page_text(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, report: str) -> Iterator[Page]:
    """The report with its graph drawn; quiet, and asking nobody for anything, to the end."""
    opened = browser.new_page(viewport={"width": 1240, "height": 1000})
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.on("request", lambda request: asked.append(request.url))
    show(opened, report)
    yield opened
    assert said == []
    assert {url.split("#")[0] for url in asked if not url.startswith("data:")} == {report}
    opened.close()


def show(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(f"{NODE}[tabindex='0']").wait_for(state="attached")
    page.evaluate("document.querySelector('.gv').scrollIntoView()")


def expect_selected(page: Page, n: int) -> None:
    """The view draws a selection with the next frame."""
    expect(page.locator(f"{NODE}[aria-selected=true]")).to_have_count(n)


def middle(page: Page, name: str) -> tuple[float, float]:
    box = page.locator(f'{NODE}[aria-label^="{name}"]').first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_click_adds_with_ctrl_and_clears_on_the_ground(page: Page):
    page.mouse.click(*middle(page, "output ' l0'"))
    expect_selected(page, 1)
    assert page.locator(".gv-side h3").inner_text() == "output ' l0'"
    shares = page.locator(".gv-side ul[aria-label=Inputs] .gv-share").all_inner_texts()
    assert shares and all(re.fullmatch(r"[+−]\d+\.\d %|0\.0 %", share) for share in shares)
    page.keyboard.down("Control")
    page.mouse.click(*middle(page, "token ' Dallas'"))
    page.keyboard.up("Control")
    assert page.locator(".gv-side h3").inner_text() == "2 nodes selected"
    assert page.locator(".gv [aria-live]").inner_text() == "2 selected"
    page.locator(".gv-side ul[aria-label=Inputs] .gv-row").first.click()
    expect_selected(page, 1)
    page.get_by_role("button", name="Clear the selection").click()
    expect_selected(page, 0)


def test_a_box_may_start_on_a_node(page: Page):
    left, top = middle(page, "token ' Dallas'")
    right, _ = middle(page, "token ' is'")
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right + 6, top + 12, steps=4)
    page.mouse.up()
    expect_selected(page, 2)


def test_the_keyboard_reaches_everything_through_one_tab_stop(page: Page):
    assert page.locator(f"{NODE}[tabindex='0']").count() == 1
    page.locator(f"{NODE}[tabindex='0']").focus()
    before = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowDown")
    after = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert before != after
    page.keyboard.press("Enter")
    expect_selected(page, 1)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == after
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Control+Enter")
    expect_selected(page, 2)
    page.keyboard.press("Escape")
    expect_selected(page, 0)


def test_the_address_keeps_selection_threshold_and_graph(page: Page, report: str):
    page.mouse.click(*middle(page, "output ' l0'"))
    page.locator("input[type=range]").fill("40")
    assert page.url.endswith("#n=L_0&t=0.4")
    show(page, f"{report}#g=1&n=L_1,nothing,__proto__&t=7")
    page.wait_for_function(ONE)
    assert page.locator(".gv-side h3").inner_text() == "output ' l1'"
    assert page.get_by_role("button", name="plano").get_attribute("aria-pressed") == "true"
    assert page.locator("input[type=range]").input_value() == "100"


def test_pruning_search_and_supernodes(page: Page):
    shown = page.locator(f"{NODE}:not([display=none])")
    n, count = shown.count(), f"document.querySelectorAll('{NODE}:not([display=none])').length"
    page.locator("input[type=range]").fill("30")
    page.wait_for_function(f"() => {count} < {n}")
    page.get_by_role("button", name=f"({TEXAS} of {TEXAS})").click()
    expect_selected(page, TEXAS)
    search = page.get_by_role("searchbox", name="Search nodes")
    search.fill("dallas")
    page.wait_for_function("() => document.querySelectorAll('.gv-found').length > 0")
    search.press("Enter")
    expect_selected(page, page.locator(".gv-found:not([display=none])").count())
    assert page.locator(".gv-hull path").count() == 1


def test_many_selected_nodes_are_told_as_totals_by_supernode(page: Page):
    page.get_by_role("button", name=f"({TEXAS} of {TEXAS})").click()
    expect_selected(page, TEXAS)
    totals = page.locator(".gv-side ul[aria-label='Outputs by supernode'] .gv-row")
    shares = page.evaluate(
        """() => {
          const view = document.querySelector("[data-graph-host]").graphView;
          const found = graphConnections(view.data, view.adjacency, view.selected);
          return graphTotals(view.data, found.outputs, true).map(({ label, nodes, share }) => {
            const into = (link) => view.selected.has(link.source) && nodes.includes(link.target);
            const sent = d3.sum(view.data.links.filter(into), (link) => link.weight);
            const whole = d3.sum(nodes, (i) => view.data.nodes[i].input);
            return [label, nodes.length, sent / whole, share];
          });
        }"""
    )
    assert totals.count() == len(shares) > 0
    for _, _, wanted, share in shares:
        assert share == pytest.approx(wanted, abs=1e-9)
    said = totals.all_inner_texts()
    assert all(f"{label} ({n})" in text for (label, n, *_), text in zip(shares, said, strict=True))


def test_one_token_takes_the_whole_width_and_crowded_places_are_counted(page: Page):
    """What does not fit side by side is a number in its place, until one zooms in."""
    page.set_viewport_size({"width": 420, "height": 900})
    page.wait_for_timeout(300)
    overlaps = """() => {
      const view = document.querySelector("[data-graph-host]").graphView;
      const { points } = view;
      const seen = d3.range(points.length).filter((i) => view.seen(i) && view.inPlot(i));
      const near = (i, k) => Math.hypot(points[i][0] - points[k][0], points[i][1] - points[k][1]);
      return [seen.filter((i) => seen.some((k) => k < i && near(i, k) < 3)).length, seen.length];
    }"""
    touching, before = page.evaluate(overlaps)
    assert touching == 0
    page.get_by_label("Zoom to a token").select_option(index=4)
    page.wait_for_timeout(300)
    assert page.locator(".gv-column line:not([visibility=hidden])").count() <= 2
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show the whole graph").click()
    page.wait_for_timeout(300)
    assert page.evaluate(overlaps) == [0, before]


def test_escape_clears_wherever_the_focus_is(page: Page):
    page.get_by_role("button", name=f"({TEXAS} of {TEXAS})").click()
    expect_selected(page, TEXAS)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect_selected(page, 0)
    for elsewhere in ("nav a", "summary", "[role=region]"):
        page.get_by_role("button", name=f"({TEXAS} of {TEXAS})").click()
        page.locator(elsewhere).first.focus()
        page.keyboard.press("Escape")
        expect_selected(page, 0)
    page.get_by_role("button", name=f"({TEXAS} of {TEXAS})").click()
    page.get_by_role("searchbox", name="Search nodes").fill("dallas")
    page.keyboard.press("Escape")
    assert page.get_by_role("searchbox", name="Search nodes").input_value() == ""
    expect_selected(page, TEXAS)
    page.keyboard.press("Escape")
    expect_selected(page, 0)


def test_zoom_moves_nodes_and_comes_back(page: Page):
    before, mark = middle(page, "token ' Dallas'"), page.locator(".gv-feature").first
    place = mark.get_attribute("transform")
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_timeout(100)
    assert mark.get_attribute("transform") != place
    page.get_by_role("button", name="Show the whole graph").click()
    page.wait_for_timeout(100)
    assert middle(page, "token ' Dallas'") == pytest.approx(before, abs=1)


def test_hostile_text_is_text(page: Page):
    assert page.locator(".gv-chips button").first.inner_text().startswith(f"Texas {EVIL}")
    page.mouse.click(*middle(page, "token '<script>"))
    assert EVIL in page.locator(".gv-side h3").inner_text()
    assert page.locator(".gv script, .gv img, .gv a, main b").count() == 0
    assert page.get_by_text("The graph of el_paso cannot be drawn").is_visible()


def test_colours_follow_the_page(page: Page):
    plus = "getComputedStyle(document.querySelector('.gv')).getPropertyValue('--gv-plus')"
    assert page.evaluate(plus) == "#2166ac"
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {plus} === '#6baed6'")
    page.emulate_media(media="print")
    page.wait_for_function(f"() => {plus} === '#2166ac'")


def test_printed_it_keeps_closed_details(page: Page):
    assert page.pdf(format="A4").startswith(b"%PDF")
    row = page.locator("details:not([open]) table.inner tbody tr").first
    assert not row.is_visible()
    page.emulate_media(media="print")
    assert row.is_visible() and not page.locator(".gv-tools").is_visible()


@WANTS_AXE
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("what", ["report", "index", "unread"])
def test_axe_finds_nothing(browser: Browser, report: str, tmp_path: Path, scheme: str, what: str):
    if what == "index":
        record, _ = make_record()
        entries = [
            IndexEntry(record, full_verdict(), "a"),
            UnreadEntry("x/1", "x", None, None, "cut short"),
        ]
        (tmp_path / "index.html").write_text(render_index(entries), encoding="utf-8")
    if what == "unread":
        entry = UnreadEntry("x/1", "x", None, None, "cut short")
        left = UnreadableRun(
            "x.yaml", "claim: c", "c", "refuted: 1 of 2 failed", can_be_judged=True
        )
        (tmp_path / "unread.html").write_text(render_unread(entry, "complete", left))
    page = open_page(browser, scheme, width=1240)
    page.goto(f"{report}#n=L_0" if what == "report" else (tmp_path / f"{what}.html").as_uri())
    if what == "report":
        page.wait_for_function(
            "() => document.querySelectorAll('[aria-selected=true]').length === 1"
        )
    assert violations(page) == []
    page.close()


def reason_page() -> str:
    """A page of a graph with the reason of a head, whose tokens are hostile."""
    graph = random_graph(4)
    tokens = ("<bos>", EVIL, " of", " Dallas", " is")
    subject = dataclasses.replace(graph.subject, tokens=tokens)
    pattern = np.tril(np.ones((5, 5), dtype=np.float32))
    asked = HeadQuestion(HeadName(1, 2), 4, 3)
    parts = (NodePart(CONSTANT, 0.5), NodePart("1_-1_3", -0.25))
    reason = HeadReason(
        asked=asked,
        pattern=pattern / pattern.sum(1, keepdims=True),
        score=0.25,
        total=0.25,
        slope=1.0,
        query_side=parts,
        key_side=parts,
        pairs=(PairPart(CONSTANT, "1_-1_3", 0.5),),
        n_nodes=2,
    )
    page = pack_graph("mine", listed(dataclasses.replace(graph, subject=subject)))
    return render_graph(page, reason_view(reason, subject))


@WANTS_AXE
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_pattern_is_read_by_mouse_and_keys(browser: Browser, tmp_path: Path, scheme: str):
    (tmp_path / "page.html").write_text(reason_page(), encoding="utf-8")
    page = open_page(browser, scheme, 390)
    said: list[str] = []
    page.on("console", lambda each: said.append(each.text) if each.type == "error" else None)
    page.on("pageerror", lambda each: said.append(str(each)))
    page.goto((tmp_path / "page.html").as_uri())
    expect(page.locator(".pv-cell")).to_have_count(15)
    chosen = page.locator(".pv-cell[aria-selected=true]")
    expect(chosen).to_have_attribute("aria-label", "from ' is' (4) to ' Dallas' (3): 20.0 %")
    page.locator(".pv-cell").first.hover()
    expect(page.locator(".pv-told")).to_have_text("from '<bos>' (0) to '<bos>' (0): 100.0 %")
    page.locator(".pv-cell[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".pv-cell:focus")).to_have_attribute(
        "aria-label", "from ' Dallas' (3) to ' of' (2): 25.0 %"
    )
    page.keyboard.press("Escape")
    expect(page.locator(".pv-cell:focus")).to_have_attribute("aria-selected", "true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == [] and said == []
    page.close()


def test_a_selection_is_written_as_a_supernode(page: Page):
    record, _ = make_record()
    page.get_by_role("button", name=re.compile("^Texas")).click()
    page.get_by_text("As YAML").click()
    box = page.get_by_role("textbox", name="The selection as YAML")
    texas = record.hypothesis.supernodes["texas"]
    declared = texas.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert parse_value(box.input_value()) == {"supernodes": {"texas": declared}}
    nodes = random_graph(4).nodes
    ids = [nodes.id_of_row(row) for row in range(nodes.n_features)]
    take = "ids => document.querySelector('[data-graph-host]').graphView.take({selected: ids})"
    page.evaluate(take, ids)
    [found] = parse_value(box.input_value())["supernodes"].values()
    assert found == {"features": ids}
    assert SupernodeSpec.model_validate(found).features == tuple(ids)
    at_word = [each for each in ids if each.endswith("_3")]
    page.evaluate(take, at_word)
    [found] = parse_value(box.input_value())["supernodes"].values()
    short = [each.rsplit("_", 1)[0] for each in at_word]
    assert found == {"features": short, "at": "word", "source": ["dallas"]}
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name=re.compile("Copied|Selected"))).to_be_visible()
