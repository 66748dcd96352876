"""`tracer dashboard` as a person starts it, and a browser that hears everything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page

PROBES = ("/_stcore/health", "/_stcore/host-config")
"""Streamlit looks for itself below a page's own address first, and hears that it is not there."""


@dataclass
class Heard:
    """What a page said and asked for."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The dashboard's address, over `root`'s reports and drafts."""
    port = free_port()
    names = ("reports", "drafts", "hypotheses", "graphs")
    folders = [part for name in names for part in (f"--{name}", str(root / name))]
    command = [sys.executable, "-m", "tracer", "dashboard", *folders, "--port", str(port)]
    with answering(command, port, root / "server.log") as url:
        yield url


def free_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def answering(command: list[str], port: int, log: Path) -> Iterator[str]:
    """The address of a server that the command starts, from its open port to its end."""
    with log.open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def opened(browser: Browser, url: str) -> tuple[Page, Heard]:
    """A page at an address, and what is heard of it from its first byte."""
    page, heard = browser.new_page(viewport={"width": 1400, "height": 1000}), Heard()

    def hear(text: str, place: str = "") -> None:
        if not place.endswith(PROBES):
            heard.errors.append(f"{text} {place}")

    page.on(
        "console",
        lambda said: hear(said.text, said.location["url"]) if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: hear(str(error)))
    page.on("dialog", lambda dialog: (hear(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: heard.hosts.add(request.url.split("/")[2]))
    page.goto(url)
    return page, heard


def settled(page: Page) -> None:
    """Wait until the script has run through, our colours are there, and nothing moves.

    Streamlit fetches what it draws a style sheet with when it first meets one, after other things.
    """
    page.locator("[data-testid=stHtml] style").first.wait_for(state="attached", timeout=60_000)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')", timeout=60_000)
    page.add_style_tag(content="* { transition: none !important }")  # no colour half faded in
    page.wait_for_timeout(500)  # an expander's text is animated
