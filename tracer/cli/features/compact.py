"""`tracer features compact`: a dictionary with int8 weights, a quarter of float32's size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer import engine
from tracer.cli.output import stderr, stdout
from tracer.cli.progress import progress_on
from tracer.errors import EXIT_OK

_MB = 10**6


def compact(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A dictionary, e.g. one that was trained.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where to write it; not there yet.")
    ],
) -> int:
    """Write a dictionary with int8 weights, to keep or to ship: a quarter of its size in float32.

    tracer features compact my_transcoders/ --out my_transcoders_int8/

    Each row of weights becomes whole numbers from -127 to 127 and a factor. The folder can be named
    as `features:` like the other; how good it still is, tell both by `tracer features evaluate`.
    """
    with progress_on(stderr(), quiet=False) as progress:
        with progress.task("importing PyTorch"):
            write = engine.dictionary_files.compact
        written = write(folder.expanduser(), out.expanduser(), progress)
    before, after = written.n_before / _MB, written.n_after / _MB
    stdout().say(f"{written.folder}: {after:.1f} MB, of {before:.1f} MB")
    return EXIT_OK
