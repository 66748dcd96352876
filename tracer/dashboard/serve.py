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
from collections.abc import Generator
from contextlib import contextmanager

from streamlit.web import cli

from tracer.dashboard.places import places
from tracer.errors import TracerError
from tracer.record.runs import find_runs

EARLY = (
    "tracer.dashboard.app",
    "tracer.dashboard.guard",
    "pandas",
    "pyarrow.pandas_compat",
    "streamlit.emojis",
)
"""The pages, and what Streamlit draws tables and a page's icon with."""
LISTING = "list runs"
"""Name of the thread that does."""


def main() -> None:
    """Be ready, then do what the command line says; until then Ctrl-C just ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with _without_warning():
        for name in EARLY:
            importlib.import_module(name)
    inspect.stack()  # as Streamlit does for its first words: it finds the files of all modules
    threading.Thread(target=_list, name=LISTING, daemon=True).start()
    cli.main(prog_name="streamlit")


@contextmanager
def _without_warning() -> Generator[None, None, None]:
    """Streamlit warns of caches that are made before its server runs, which it does right after."""
    logger = logging.getLogger("streamlit.runtime.caching.cache_data_api")

    def is_true(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No runtime found")

    logger.addFilter(is_true)
    try:
        yield
    finally:
        logger.removeFilter(is_true)


def _list() -> None:
    try:
        find_runs(places().reports)
    except (TracerError, OSError) as error:
        logging.getLogger(__name__).debug("the runs were not listed: %s", error)


if __name__ == "__main__":
    main()
