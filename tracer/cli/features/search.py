"""`tracer features search`: features that fire on a text, and features that promote a token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.documents.index import FeatureThatFires, FeatureThatPromotes, FoundFeatures
from tracer.cli.output import (
    STDOUT,
    print_table,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.engine.feature_index.index import find_index
from tracer.engine.model.sources import named_features, named_model
from tracer.errors import EXIT_OK, UsageError, shorten
from tracer.report.screen import Screen

LONGEST = 2_000
"""Characters."""
_LABEL = 44


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text, or one token.")],
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Length of each list.")
    ] = 10,
    json_: Annotated[Path | None, options.json_file("The same")] = None,
) -> int:
    """Find features that fire on a text, and features that promote it where it is one token.

    tracer features search "the capital of Texas"

    tracer features search " Austin"

    What fires is found with an index (`tracer features index`): those features whose activation on
    the text is rarest. What promotes a token needs none.
    """
    spec = named_model(model, device, dtype)
    basis = named_features(features)
    if not text.strip():
        raise UsageError("there is no text to search for.")
    if len(text) > LONGEST:
        raise UsageError(f"the text has {len(text):,} characters; at most {LONGEST:,} are read.")
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            session, found = engine.session, engine.feature_index
        opened = session.open_both(spec, basis, progress)
        index = find_index(session.subject_of(opened))
        fires = [] if index is None else found.search.firing(opened, index, text, top, progress)
        promotes = found.promoting.promoting(opened, text, top, progress)
        rows = [(each.layer, each.feature, each.score) for each in promotes]
        named = found.search.labelled(opened, index, rows)
    fire_rows = tuple(
        FeatureThatFires(
            id=f"{each.layer}_{each.feature}",
            label=each.indexed and each.indexed.label,
            token=each.token,
            position=each.pos,
            activation=each.activation,
            share=each.share,
        )
        for each in fires
    )
    promote_rows = tuple(
        FeatureThatPromotes(
            id=f"{each.layer}_{each.feature}",
            label=told and told.label,
            token=each.token,
            score=each.score,
        )
        for each, told in zip(promotes, named, strict=True)
    )
    screen = screen_beside(json_)
    if index is None:
        screen.paragraph("what fires on a text is known with an index: tracer features index")
    else:
        _print_fires(screen, fire_rows)
    _print_promotes(screen, promote_rows)
    if json_ is not None:
        n = None if index is None else index.about.n_tokens
        told = FoundFeatures(
            model=spec.name,
            basis=basis,
            text=text,
            n_indexed=n,
            fires=fire_rows,
            promotes=promote_rows,
        )
        write_document(json_, told.written())
    return EXIT_OK


def _print_fires(screen: Screen, rows: Sequence[FeatureThatFires]) -> None:
    screen.say("fire on it, rarest first", "bold")
    columns = [("feature", 0), ("on", 0), ("activation", 0), ("in the index", 0), ("label", 1)]
    shown = [
        (
            row.id,
            shorten(repr(row.token), 18),
            f"{row.activation:+.3g}",
            f"{100 * row.share:.2g} %",
            shorten(row.label or "", _LABEL),
        )
        for row in rows
    ]
    print_table(screen, columns, shown)


def _print_promotes(screen: Screen, rows: Sequence[FeatureThatPromotes]) -> None:
    if not rows:
        screen.paragraph("it is not one token, so no feature is looked for that promotes it")
        return
    screen.say("promote it, most first", "bold")
    columns = [("feature", 0), ("token", 0), ("score", 0), ("label", 1)]
    shown = [
        (
            row.id,
            shorten(repr(row.token), 18),
            f"{row.score:+.1f}",
            shorten(row.label or "", _LABEL),
        )
        for row in rows
    ]
    print_table(screen, columns, shown)
