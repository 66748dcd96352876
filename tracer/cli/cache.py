"""`tracer cache`: how much the measurements that are kept take, and removing them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tracer.cli.endings import stdout
from tracer.errors import EXIT_OK
from tracer.measurement_store import MAX_BYTES, Store, root


def cache(
    action: Annotated[
        Literal["clear"] | None,
        typer.Argument(help="clear removes every one of them; runs and models stay."),
    ] = None,
) -> int:
    """Say where measurements are kept for later runs, and how much they take.

    What was measured once is not measured again, as long as model, features, prompt, clamps and
    engine are the same; `tracer run --no-cache` measures all the same.

    tracer cache

    tracer cache clear
    """
    store, screen = Store(root()), stdout()
    if action == "clear":
        removed = store.clear()
        screen.say(f"{removed.entries:,} entries removed, {_mib(removed.bytes)}")
    else:
        size = store.size()
        screen.say(f"{store.folder}")
        screen.say(f"  {size.entries:,} entries, {_mib(size.bytes)} of at most {_mib(MAX_BYTES)}")
    return EXIT_OK


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"
