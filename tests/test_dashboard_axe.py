"""The dashboard's pages by axe-core: no violation of ours in light or dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.dashboard_server import CHROMIUM, FLAGS, serving
from tests.graph_runs import large_graph, put_graph_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: install it to run"),
    pytest.mark.skipif(
        "AXE_CORE" not in os.environ,
        reason="no axe-core: `npm pack axe-core@4.14.1`, unpack, AXE_CORE=package/axe.min.js",
    ),
]
STAMPS = ("20260102T000000.000Z-aaaaaa", "20260103T000000.000Z-bbbbbb")
PAIR = f"compare?run=two_hop/{STAMPS[0]}&with=two_hop/{STAMPS[1]}&compared="
PAGES = {
    **{name: name for name in ("runs", "explore", "intervene", "compare", "author", "guide")},
    **{
        f"compare {view}": PAIR + view
        for view in ("expectations", "effects", "circuit", "graphs", "file")
    },
    **{
        f"runs {view}": f"?run=two_hop/{STAMPS[0]}&view={view}"
        for view in ("effects", "hypothesis")
    },
}
READY = {
    "explore": ".gv-node",
    "intervene": "text=Supernodes to clamp",
    "compare effects": "text=in nats",
    "compare circuit": "text=Features of each supernode",
    "compare graphs": "text=Edges that differ most",
    "compare file": "text=Both files say the same",
    "runs hypothesis": ".token",
}
SLOW = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("axe")
    for seed, stamp in enumerate(STAMPS):
        put_graph_run(root / "reports", large_graph(60, seed=seed), stamp=stamp)
    with serving(root) as url:
        yield url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Browser, address: str, name: str, scheme: str):
    page = browser.new_page(
        viewport={"width": 1400, "height": 1000},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(f"{address}/{PAGES[name]}")
    page.locator(READY.get(name, "h1")).first.wait_for(state="attached", timeout=SLOW)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')", timeout=SLOW)
    page.add_style_tag(content="* { transition: none !important }")  # no colour half faded in
    page.wait_for_timeout(500)
    page.evaluate(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8"))
    # What is disabled needs no contrast; Streamlit fades a disabled button's text by itself.
    found = page.evaluate("axe.run({exclude: ['button:disabled']}).then((r) => r.violations)")
    assert [(v["id"], [node["target"] for node in v["nodes"]][:3]) for v in found] == []
    page.close()
