"""The dashboard's pages by axe-core: no violation of ours in light or dark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.chromium import WANTS_AXE, WANTS_CHROMIUM, open_page, violations
from tests.dashboard_server import serving, settled
from tests.graph_runs import large_graph, put_graph_run

pytestmark = [*WANTS_CHROMIUM, WANTS_AXE]
STAMPS = ("20260102T000000.000Z-aaaaaa", "20260103T000000.000Z-bbbbbb")
PAIR = f"compare?run=two_hop/{STAMPS[0]}&with=two_hop/{STAMPS[1]}&compared="
PAGES = {
    **{
        name: name for name in ("runs", "run", "explore", "intervene", "compare", "author", "guide")
    },
    **{
        f"compare {view}": PAIR + view
        for view in ("expectations", "effects", "circuit", "graphs", "file")
    },
    **{
        f"run {view}": f"run?run=two_hop/{STAMPS[0]}&view={view}"
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
    "run hypothesis": ".token",
}
SLOW = 60_000


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
    page = open_page(browser, scheme)
    page.goto(f"{address}/{PAGES[name]}")
    page.locator(READY.get(name, "h1")).first.wait_for(state="attached", timeout=SLOW)
    settled(page)
    # What is disabled needs no contrast; Streamlit fades a disabled button's text by itself.
    assert violations(page, ["button:disabled"]) == []
    page.close()
