"""`tracer dashboard`: Streamlit, started so that only this machine reaches it."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.output import stderr
from tracer.dashboard.places import (
    DRAFTS,
    DRAFTS_VARIABLE,
    GRAPHS,
    GRAPHS_VARIABLE,
    HYPOTHESES,
    HYPOTHESES_VARIABLE,
    REPORTS_VARIABLE,
)
from tracer.errors import EXIT_ENGINE, EXIT_OK, UsageError

ADDRESS = "127.0.0.1"
SCRIPT = Path(__file__).parent.parent / "dashboard" / "start" / "app.py"
SERVER = "tracer.dashboard.serve"
"""What is started, as a process of its own; here it is only named, because it needs Streamlit."""
STOPS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 10
"""Seconds that the server has to end in."""
SETTINGS = (
    ("server.address", ADDRESS),
    ("server.allowedHosts", "localhost"),
    ("server.allowedHosts", ADDRESS),
    ("server.headless", "true"),
    ("server.fileWatcherType", "none"),
    ("server.enableStaticServing", "false"),
    ("server.maxUploadSize", "20"),
    ("browser.gatherUsageStats", "false"),
    ("client.toolbarMode", "minimal"),
    ("client.showErrorDetails", "none"),
    ("theme.light.primaryColor", "#2166ac"),
    ("theme.dark.primaryColor", "#3579b5"),
)
"""Streamlit listens on all interfaces unless told otherwise; the hosts guard against rebinding."""


def dashboard(
    reports: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that runs are kept in.")
    ] = options.REPORTS,
    drafts: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that drafts are saved in.")
    ] = Path(DRAFTS),
    hypotheses: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The folder whose hypotheses can be edited as drafts."),
    ] = Path(HYPOTHESES),
    graphs: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of `tracer graph`, shown in Explore.")
    ] = Path(GRAPHS),
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=65535, help="Default: 8501, or the next that is free."
        ),
    ] = None,
) -> int:
    """Explore runs and write hypotheses in a browser, on this machine only.

    It needs the extra `dashboard`. From another machine, forward the port with ssh -L.

    tracer dashboard

    tracer dashboard --reports reports --port 8600
    """
    if importlib.util.find_spec("streamlit") is None:
        raise UsageError(
            "the dashboard needs Streamlit, which is not installed here: "
            "pip install 'tracer-circuits[dashboard]'."
        )
    if port is not None and not _is_free(port):
        raise UsageError(f"--port {port}: another program listens there; choose another port.")
    settings = SETTINGS if port is None else (*SETTINGS, ("server.port", str(port)))
    flags = [f"--{name}={value}" for name, value in settings]
    command = [sys.executable, "-m", SERVER, "run", str(SCRIPT), *flags]
    folders = {
        REPORTS_VARIABLE: str(reports),
        DRAFTS_VARIABLE: str(drafts),
        HYPOTHESES_VARIABLE: str(hypotheses),
        GRAPHS_VARIABLE: str(graphs),
    }
    return _ended(command, folders)


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _ended(command: list[str], variables: dict[str, str]) -> int:
    """Run Streamlit until it ends or this process is told to: then it ends, too.

    Ctrl-C of a terminal reaches both; a signal from a script this process alone.
    """
    is_stopped = False
    with subprocess.Popen(command, env={**os.environ, **variables}) as server:

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal is_stopped
            is_stopped = True
            server.terminate()

        before = {number: signal.signal(number, stop) for number in STOPS}
        try:
            code = _waited(server, lambda: is_stopped)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if is_stopped or code == EXIT_OK:
        return EXIT_OK
    stderr().say(f"the dashboard stopped by itself (Streamlit's exit code {code}).")
    return EXIT_ENGINE


def _waited(server: subprocess.Popen[bytes], is_stopped: Callable[[], bool]) -> int:
    """The server's exit code; one that is told to end, and does not, is killed after a while."""
    patience = PATIENCE
    while True:
        try:
            return server.wait(1)
        except subprocess.TimeoutExpired:
            patience -= is_stopped()
            if patience <= 0:
                server.kill()
