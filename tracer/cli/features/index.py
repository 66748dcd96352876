"""`tracer features index`: what every feature of a basis reacts to in a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.documents.index import IndexFacts
from tracer.cli.output import (
    STDOUT,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.engine.corpus.passages import DEFAULT_TEXT, find_texts
from tracer.engine.corpus.windows import LENGTH, read_windows
from tracer.engine.feature_index.entries import root
from tracer.engine.model.sources import named_features, named_model
from tracer.errors import EXIT_OK

TOKENS, MOST_TOKENS = 300_000, 10_000_000
_READ = 20
"""Times the tokens that are indexed: so many are read of each text, and sampled from."""


def index(
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A file, a folder, or an installed text: wikipedia (the default), wikipedia-fr, "
            "wikipedia-es. Repeatable.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    tokens: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_TOKENS,
            help="How much of the text: windows of it, drawn at random with a fixed seed.",
        ),
    ] = TOKENS,
    examples: Annotated[
        int, typer.Option(metavar="N", min=1, max=100, help="Places kept of each feature.")
    ] = 10,
    json_: Annotated[Path | None, options.json_file("What was indexed")] = None,
) -> int:
    """Find where in a text every feature is most active; other commands then show it.

    tracer features index

    tracer features index --text my_texts/ --features ./my_transcoders

    The index is kept in the cache of this machine. Where one was begun, it is gone on with.
    `tracer features ID`, reports, graphs and the dashboard then show examples and a label.
    """
    spec = named_model(model, device, dtype)
    basis = named_features(features)
    sources = find_texts(text or [DEFAULT_TEXT])
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            open_both, build = engine.session.open_both, engine.feature_index.build
        opened = open_both(spec, basis, progress)
        length = min(LENGTH, opened.model.context)
        read = read_windows(
            sources, opened.model.tokenizer, progress, length=length, at_most=_READ * tokens
        )
        windows = read.sample(tokens, seed=0)
        what = tuple(dict.fromkeys(each.what for each in sources))
        made = build.make_index(opened, build.IndexRequest(windows, what, examples), progress)
    screen, about = screen_beside(json_), made.about
    n = sum(about.widths)
    screen.say(f"{n:,} features of {about.basis} on {about.n_tokens:,} tokens", "bold")
    screen.paragraph("; ".join(about.text))
    if made.n_silent:
        screen.paragraph(f"active nowhere in it: {made.n_silent:,}")
    screen.paragraph(f"kept in {root()}")
    if json_ is not None:
        told = IndexFacts(**about.model_dump(), n_silent=made.n_silent)
        write_document(json_, told.written())
    return EXIT_OK
