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
    write_stdout,
)
from tracer.cli.progress import progress_on
from tracer.engine.feature_index.index import find_index
from tracer.engine.model.sources import named_features, named_model
from tracer.errors import EXIT_OK, UsageError, shorten, show
from tracer.hypothesis.clamps import LAST
from tracer.hypothesis.declared import WHAT_NAMES_ARE, is_name
from tracer.hypothesis.load import as_declared
from tracer.hypothesis.spec import SupernodeSpec
from tracer.hypothesis.yaml_text import to_yaml
from tracer.report.screen import Screen, clean

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
    yaml: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Print what was found as supernodes of a hypothesis: NAME, what fires on the "
            "text, and say_NAME, what promotes it. The lists then go to standard error.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN",
            help="With --yaml: the span at which what fires sits on your prompts. Default: last.",
            show_default=False,
        ),
    ] = None,
    json_: Annotated[Path | None, options.json_file("The same")] = None,
) -> int:
    """Find features that fire on a text, and features that promote it where it is one token.

    tracer features search "the capital of Texas"

    tracer features search " Austin"

    tracer features search Texas --top 40 --yaml texas --at city >> hypotheses/mine.yaml

    What fires is found with an index (`tracer features index`): those features whose activation on
    the text is rarest. What promotes a token needs none.
    """
    spec = named_model(model, device, dtype)
    basis = named_features(features)
    if not text.strip():
        raise UsageError("there is no text to search for.")
    if len(text) > LONGEST:
        raise UsageError(f"the text has {len(text):,} characters; at most {LONGEST:,} are read.")
    _check_names(yaml, at, json_)
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
    screen = screen_beside(json_) if yaml is None else stderr()
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
    if yaml is not None:
        write_stdout(_supernodes(yaml, at or LAST, text, basis, fire_rows, promote_rows))
    return EXIT_OK


def _check_names(yaml: str | None, at: str | None, json_: Path | None) -> None:
    """Refuse words that a hypothesis could not have for a supernode and a span.

    Raises:
        UsageError: One is no name, or the options do not go together.
    """
    if yaml is None and at is not None:
        raise UsageError("--at is the span of a supernode: give --yaml NAME as well.")
    if yaml is not None and json_ == STDOUT:
        raise UsageError("--yaml and --json both print to standard output; give --json a file.")
    for option, word, longest in (("--yaml", yaml, f"say_{yaml}"), ("--at", at, at)):
        if word is not None and not (is_name(word) and is_name(longest or word)):
            raise UsageError(f"{option} {show(word)}: a name is {WHAT_NAMES_ARE}.")


def _supernodes(
    name: str,
    at: str,
    text: str,
    basis: str,
    fires: Sequence[FeatureThatFires],
    promotes: Sequence[FeatureThatPromotes],
) -> str:
    """The supernodes of a hypothesis that both lists make, and where they come from as comments.

    What promotes a token sits at the last one, from where it is said.
    """
    found = {name: (fires, at), f"say_{name}": (promotes, LAST)}
    specs = {
        each: SupernodeSpec(features=tuple(row.id for row in rows), at=span)
        for each, (rows, span) in found.items()
        if rows
    }
    if not specs:
        raise UsageError("nothing was found of which a supernode could be made.")
    below = [row.id for row in promotes if row.score < 0]
    signs = f" ({', '.join(below)}: where they are below 0)" if below else ""
    about = {
        name: f"{len(fires)} features of {basis} that fire on it, rarest in the index first",
        f"say_{name}": f"{len(promotes)} that promote it, by their weights alone{signs}",
    }
    told = [
        f"Found by a search for {show(text)}: {'; '.join(f'{x}, {about[x]}' for x in specs)}.",
        "That says nothing of what they do: judge them on prompts that they were not found on.",
        "For a clamp other than 0 add `source: [PROMPT, …]`, whose activations are their own.",
    ]
    comments = "".join(f"# {clean(line)}\n" for line in told)
    declared = {each: as_declared(spec) for each, spec in specs.items()}
    return comments + to_yaml({"supernodes": declared})


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
