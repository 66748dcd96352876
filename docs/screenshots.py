"""Make the README's pictures of a real run: first screen, and graph with a supernode chosen.

tracer run hypotheses/two_hop.yaml
python docs/screenshots.py

Needs Chromium on the path, and Playwright (`pip install -e .[dev]`).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tracer.record.runs import resolve
from tracer.report.run import Run

HERE = Path(__file__).parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTH = 1240


def first_screen(page: Page) -> None:
    """Verdict, what held on which prompts, caveats, and the claimed circuit."""
    page.screenshot(path=HERE / "report.png")


def graph(page: Page) -> None:
    """The interactive graph, the first supernode selected."""
    page.locator(".gv-chips button:enabled").first.click()
    page.wait_for_function("() => document.querySelectorAll('[aria-selected=true]').length > 0")
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    page.locator(".gv").screenshot(path=HERE / "graph.png")


def main(run: str = "two_hop") -> None:
    """Open the report of a run, written anew, and keep both pictures beside this file."""
    page_file = Run.open(resolve(run, Path("reports"))).report().resolve()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 1060})
        page.goto(page_file.as_uri())
        page.locator(".gv").wait_for()
        first_screen(page)
        graph(page)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
