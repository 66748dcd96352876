"""`tracer dashboard`: Streamlit, started so that only this machine reaches it."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
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
    """Run Streamlit until it is stopped: Ctrl-C reaches both, a termination is passed on."""
    with subprocess.Popen(command, env={**os.environ, **variables}) as server:

        def stop(number: int, frame: FrameType | None) -> None:
            server.terminate()

        before = signal.signal(signal.SIGTERM, stop)
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.wait()
            return EXIT_OK
        finally:
            signal.signal(signal.SIGTERM, before)
    if code in (EXIT_OK, -signal.SIGTERM):
        return EXIT_OK
    stderr().say(f"the dashboard stopped by itself (Streamlit's exit code {code}).")
    return EXIT_ENGINE
