"""How long the dashboard keeps a person waiting: 50 runs, a graph of 2,000 nodes, a click on it.

    python -m benchmarks.dashboard [--rounds 3]

Each round starts a server of an app that is one line, which tells what Streamlit and the browser
take by themselves, then `tracer dashboard` for the page Runs and again for Explore. Of every server
one visit is its first, in a browser that has cached nothing; the next ones are of the same browser.
A page is there when its own content is: words in the table, every node of the graph. A selection
takes from the press on a node until the node's card is there. Medians and all rounds are printed,
the time from the command to the open port too, the processor time of the browser's page, and the
load of the machine, on which all but that work depends.

It wants Chromium and what the tests want, and is run from the repository's root.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import CHROMIUM, chromium
from tests.dashboard_server import answering, free_port, serving
from tests.dashboards import put_run
from tests.graph_runs import large_graph, put_graph_run
from tests.verdicts import make_verdict
from tracer.cli.dashboard import SETTINGS
from tracer.record.record import FeatureRef

RUNS, NODES, CLICKS, WARM = 50, 2_000, 4, 2
MEMBERS = 3_000
"""Features of a supernode, which make a run's JSON as large as that of a real one, 0.4 MB."""
SLOW = 120_000
"""Milliseconds."""
Seconds = dict[str, list[float]]
out = sys.stdout


def make_runs(root: Path) -> None:
    """The runs, the newest of them with the graph."""
    refs = tuple(FeatureRef(layer=n % 18, index=n, score=1 / (n + 1)) for n in range(MEMBERS))
    for n in range(1, RUNS):
        started = f"2026-01-01T{n // 60:02}:{n % 60:02}:00Z"
        stamp = f"20260101T{n // 60:02}{n % 60:02}00.000Z-0123ab"
        verdict = make_verdict(verdict="refuted" if n % 3 else "confirmed")
        changes = {"supernodes.california.features": refs, "started": started}
        put_run(root / "reports", f"hypothesis_{n % 20}", stamp, verdict=verdict, **changes)
    changes = {"supernodes.california.features": refs, "started": "2026-01-02T00:00:00Z"}
    put_graph_run(root / "reports", large_graph(NODES), **changes)


@contextmanager
def serving_one_line(root: Path) -> Iterator[str]:
    """The address of an app that only has a title, under the settings of `tracer dashboard`."""
    script = root / "one_line.py"
    script.write_text('import streamlit as st\nst.title("One line")\n', encoding="utf-8")
    port = free_port()
    flags = [f"--{name}={value}" for name, value in (*SETTINGS, ("server.port", str(port)))]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *flags]
    with answering(command, port, root / "one_line.log") as url:
        yield url


def titled(page: Page) -> None:
    """The one line is there."""
    page.locator("h1", has_text="One line").wait_for(timeout=SLOW)


def listed(page: Page) -> None:
    """The table's first row is there: its words, which the canvas has for screen readers."""
    page.locator("canvas [role=gridcell]", has_text="two_hop").first.wait_for(
        state="attached", timeout=SLOW
    )


def drawn(page: Page) -> None:
    """Every node of the graph is there."""
    page.locator(".gv-node").nth(NODES - 1).wait_for(state="attached", timeout=SLOW)


class Visit(NamedTuple):
    """One page from the request until it is there."""

    seconds: float
    work: float
    """Processor time of the browser's page in it, which other programs do not make longer."""


def visits(context: BrowserContext, url: str, ready: Callable[[Page], None]) -> list[Visit]:
    """The first visit and the next ones, each in a page of its own."""
    found: list[Visit] = []
    for _ in range(1 + WARM):
        page = context.new_page()
        inside = context.new_cdp_session(page)
        inside.send("Performance.enable", {"timeDomain": "threadTicks"})
        started = time.perf_counter()
        page.goto(url, wait_until="commit")
        ready(page)
        seconds = time.perf_counter() - started
        told = inside.send("Performance.getMetrics")["metrics"]
        work = next(each["value"] for each in told if each["name"] == "TaskDuration")
        found.append(Visit(seconds, work))
        page.close()
    return found


def selections(context: BrowserContext, url: str) -> list[float]:
    """Seconds from the press on a node until its card is there."""
    page = context.new_page()
    page.goto(url)
    drawn(page)
    page.locator("h3", has_text="Nodes as a table").wait_for(timeout=SLOW)
    seconds: list[float] = []
    for n in range(CLICKS):
        node = page.locator(".gv-node.gv-feature").nth((n + 1) * NODES // (2 * CLICKS))
        node.hover(force=True)
        hint = page.locator(".gv-hint").inner_text()
        told = re.match(r"feature (\d+), layer (\d+)", hint)
        assert told is not None, hint
        # By its tag: looking for roles asks each of the 2,000 nodes for its name.
        card = page.locator("h2", has_text=f"L{told[2]} feature {told[1]} on ")
        started = time.perf_counter()
        page.mouse.down()
        page.mouse.up()
        card.wait_for(timeout=SLOW)
        seconds.append(time.perf_counter() - started)
        page.wait_for_function("() => !document.querySelector('[data-stale=true]')", timeout=SLOW)
    page.close()
    return seconds


def take_round(browser: Browser, root: Path, found: Seconds) -> None:
    """One round of everything."""
    for name, server, path, ready in (
        ("one line", serving_one_line, "", titled),
        ("Runs", serving, "", listed),
        ("Explore", serving, "/explore", drawn),
    ):
        started = time.perf_counter()
        with server(root) as url:
            found[f"{name}, command to open port"].append(time.perf_counter() - started)
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            first, *warm = visits(context, url + path, ready)
            found[f"{name}, first visit"].append(first.seconds)
            found[f"{name}, warm visit"] += [each.seconds for each in warm]
            found[f"{name}, browser's work"] += [each.work for each in (first, *warm)]
            if name == "Explore":
                found["Explore, selection"] += selections(context, url + path)
            context.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if CHROMIUM is None:
        out.write("no chromium on this machine\n")
        return
    found: Seconds = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        make_runs(Path(folder))
        for _ in range(options.rounds):
            take_round(browser, Path(folder), found)
            out.write(f"load {os.getloadavg()[0]:.1f}\n")
    for name, seconds in found.items():
        each = " ".join(f"{n:.2f}" for n in seconds)
        out.write(f"{name:32} {statistics.median(seconds):5.2f} s  ({each})\n")


if __name__ == "__main__":
    main()
