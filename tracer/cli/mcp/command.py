"""`tracer mcp`: a server for one client, on standard input and output."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import mcp
from tracer.errors import EXIT_OK, UsageError

OFFLINE = "HF_HUB_OFFLINE"
"""Read by huggingface_hub when it is imported, which the server does."""


def mcp_(
    root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A folder that tools may read. Repeatable; runs and graphs are kept in the first. "
            "Default: the working folder.",
            show_default=False,
        ),
    ] = None,
    hub: Annotated[
        bool,
        typer.Option("--hub", help="Let tools download models and features from the hub."),
    ] = False,
) -> int:
    """Serve the commands to an agent, as tools of the Model Context Protocol over stdio.

    It needs the extra `mcp`. An agent's settings name it as the command to start.

    tracer mcp

    tracer mcp --root ~/circuits

    Tools reach no file outside of these folders and run no code of a file. They use models that are
    on this machine: registered ones, those in the hub's cache, and folders inside.
    """
    if importlib.util.find_spec("mcp") is None:
        raise UsageError(
            "the server needs the package mcp, which is not installed here: "
            "pip install 'tracer-circuits[mcp]'."
        )
    folders = root or [Path()]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--root {folder}: there is no such folder.")
    if not hub:
        os.environ[OFFLINE] = "1"
    mcp.server.serve([folder.absolute() for folder in folders])
    return EXIT_OK
