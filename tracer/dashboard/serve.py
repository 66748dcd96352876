"""The server process: Streamlit's command line, with the slow imports done before the port is open.

Streamlit imports an app's code at the first request, and pandas at the first table. Here both are
imported before. The runs are listed in the background.

    python -m tracer.dashboard.serve run SCRIPT [FLAGS]
"""

from __future__ import annotations

import importlib
import inspect
import logging
import signal
import threading

from streamlit.web import cli

from tracer.dashboard.opening import entries
from tracer.dashboard.places import places
from tracer.errors import TracerError

EARLY = (
    "tracer.dashboard.app",
    "tracer.dashboard.guard",
    "pandas",
    "pyarrow.pandas_compat",
    "streamlit.emojis",
)
"""The pages, and what Streamlit draws tables and a page's icon with."""


def main() -> None:
    """Be ready, then do what the command line says; until then Ctrl-C just ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name in EARLY:
        importlib.import_module(name)
    inspect.stack()  # as Streamlit does for its first words: it finds the files of all modules
    threading.Thread(target=_list, daemon=True).start()
    cli.main(prog_name="streamlit")


def _list() -> None:
    try:
        entries(places().reports)
    except (TracerError, OSError) as error:
        logging.getLogger(__name__).debug("the runs were not listed: %s", error)


if __name__ == "__main__":
    main()
