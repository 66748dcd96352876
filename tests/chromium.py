"""Headless Chromium as the tests drive it, and axe-core in its pages.

Both are the machine's: tests that want them are skipped without, and say how they are had.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WANTS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: install it to run"),
]
WANTS_AXE = pytest.mark.skipif(
    "AXE_CORE" not in os.environ,
    reason="no axe-core: `npm pack axe-core@4.14.1`, unpack, AXE_CORE=package/axe.min.js",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that is closed in the end."""
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def open_page(browser: Browser, scheme: str, width: int = 1400) -> Page:
    """A blank page in the colours of a scheme, `light` or `dark`."""
    return browser.new_page(
        viewport={"width": width, "height": 1000},
        color_scheme="dark" if scheme == "dark" else "light",
    )


def violations(page: Page, exclude: Sequence[str] = ()) -> list[tuple[str, list[object]]]:
    """Rules of axe-core that the page breaks, each with the first three places."""
    page.evaluate(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8"))
    found = page.evaluate("(exclude) => axe.run({ exclude }).then((r) => r.violations)", [*exclude])
    return [(each["id"], [node["target"] for node in each["nodes"]][:3]) for each in found]
