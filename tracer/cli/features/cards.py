"""`tracer features`: the tokens that features promote, and the text they are active on.

`--json` writes `tracer.cli.documents.features`; `tracer schema features` prints its schema.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tracer import engine
from tracer.cli import options
from tracer.cli.documents.features import Features, FeatureSummary
from tracer.cli.output import (
    STDOUT,
    percent,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.engine.model.sources import named_features, named_model
from tracer.errors import EXIT_OK, UsageError, shorten, show
from tracer.hypothesis.neuronpedia_ids import find_given
from tracer.record.feature_card import FeatureCard, FeatureId, Line, LogitEffect, OnText
from tracer.record.feature_index import Histogram, IndexedFeature, IndexedSides
from tracer.record.given_files import require_file
from tracer.report.screen import Screen

MAX_FEATURES = 100
MAX_BYTES = 4 << 20
_MAX_TOKEN, _MAX_SIDE, _MAX_TITLE = 16, 40, 24
_BARS = "  ▁▂▃▄▅▆▇█"[1:]


def features(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="layer_index, or layer_index_position as in a graph.",
            show_default=False,
        ),
    ],
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    text: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also where these lines make them strongly active."),
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Length of each list.")
    ] = 10,
    json_: Annotated[Path | None, options.json_file("The same")] = None,
) -> int:
    """Tell what features are: tokens they promote, and text they are active on.

    tracer features 12_1034 15_220_9

    tracer features 12_1034 --text sentences.txt --top 5

    Tokens are those of the direct path to the output, scores in standard deviations over the
    vocabulary: a direction, up to scale.
    """
    wanted = read_ids(ids)
    spec = named_model(model, device, dtype)
    basis = named_features(features)
    lines = None if text is None else read_lines(text)
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            open_both, feature_cards = engine.session.open_both, engine.feature_card.feature_cards
        cards = feature_cards(open_both(spec, basis, progress), wanted, lines, top, progress)
    for card in cards:
        print_card(screen_beside(json_), card)
    if json_ is not None:
        found = tuple(FeatureSummary.of(card) for card in cards)
        write_document(json_, Features(model=spec.name, basis=basis, features=found).written())
    return EXIT_OK


def read_ids(ids: Sequence[str]) -> list[FeatureId]:
    """Features by their ids, each once.

    Raises:
        UsageError: One is no id, or there are too many.
    """
    found: dict[FeatureId, None] = {}
    for text in ids:
        given = find_given(text)
        if given is None:
            raise UsageError(
                f"{show(text)} is no feature id: write layer_index, e.g. 12_1034, or "
                "layer_index_position."
            )
        found[given.layer, given.feature] = None
    if len(found) > MAX_FEATURES:
        raise UsageError(f"{len(found)} features; at most {MAX_FEATURES} are told of at a time.")
    return list(found)


def read_lines(path: Path) -> list[Line]:
    """The lines of a UTF-8 file that are not blank.

    Raises:
        UsageError: It is no such file, too large, or has no text.
        OSError: It cannot be read.
    """
    require_file(path)
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB; give a part of it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = data[: wrong.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8; save the file as UTF-8.") from None
    found = [Line(n, line.rstrip("\r")) for n, line in enumerate(text.split("\n"), 1)]
    kept = [line for line in found if line.text.strip()]
    if not kept:
        raise UsageError(f"{path}: there is no text in it.")
    return kept


def print_card(screen: Screen, card: FeatureCard) -> None:
    """What it promotes, writes, and is active on."""
    screen.say(f"{card.layer}_{card.index}", "bold")
    for name, each in _sides(card.indexed):
        screen.paragraph(f"label, {name}{', given' * each.is_given}  {each.label}")
    screen.paragraph(_norms(card))
    for word, spoken in (("promotes", card.promoted), ("suppresses", card.suppressed)):
        screen.paragraph(f"{word}  {_tokens(spoken)}")
    if card.on_text is not None:
        _print_on_text(screen, card.on_text)
    if card.indexed is not None:
        _print_indexed(screen, card.indexed)
    screen.say()


def _sides(indexed: IndexedSides | None) -> list[tuple[str, IndexedFeature]]:
    """What is told of each sign, and what the sign is called."""
    if indexed is None:
        return []
    sides = [("active above 0", indexed.positive), ("active below 0", indexed.negative)]
    return [(name, each) for name, each in sides if each is not None]


def _norms(card: FeatureCard) -> str:
    first, last = card.write_norms[0], card.write_norms[-1]
    if first == last:
        return f"write norm {first.norm:.3g}"
    norms = ", ".join(f"{each.norm:.3g}" for each in card.write_norms)
    return f"write norms {norms} at layers {first.layer} to {last.layer}"


def _tokens(spoken: Sequence[LogitEffect]) -> str:
    return ", ".join(f"{shorten(repr(s.token), _MAX_TOKEN)} {s.score:+.1f}" for s in spoken)


def _print_on_text(screen: Screen, on_text: OnText) -> None:
    screen.paragraph(f"on the text  {_activity(on_text)}")
    for name, examples in (("highest", on_text.positive), ("lowest", on_text.negative)):
        if examples:
            screen.say()
            rows = [
                _row(screen, e.activation, f"{e.line}", e.before, e.token, e.after)
                for e in examples
            ]
            screen.table([(name, 0), ("line", 0), ("text", 1)], rows)


def _print_indexed(screen: Screen, indexed: IndexedSides) -> None:
    """Shares, histograms and places of both signs."""
    screen.paragraph(f"in the index of  {indexed.positive.text}")
    for (name, each), counts in zip(_sides(indexed), (indexed.above, indexed.below), strict=False):
        assert counts is not None
        shown = f"{name} on {percent(each.share)} of {indexed.n_tokens:,} tokens"
        screen.paragraph(f"{shown}{_drawn(counts)}")
        if each.places:
            rows = [
                _row(screen, p.activation, shorten(p.title, _MAX_TITLE), p.before, p.token, p.after)
                for p in each.places
            ]
            screen.table([(name, 0), ("article", 0), ("text", 1)], rows)


def _drawn(histogram: Histogram) -> str:
    """How often each size is, as bars whose height is the logarithm of the count."""
    there = [n for n, count in enumerate(histogram.counts) if count]
    if not there:
        return ""
    counts = histogram.counts[there[0] : there[-1] + 1]
    most = math.log1p(max(counts))
    bars = "".join(_BARS[math.ceil((len(_BARS) - 1) * math.log1p(n) / most)] for n in counts)
    low = histogram.edges[there[0]] if there[0] else 0.0
    high = histogram.edges[there[-1] + 1] if there[-1] + 1 < len(histogram.edges) else math.inf
    return f", by size from {low:.2g} to {high:.2g}, log counts: {bars}"


def _activity(on_text: OnText) -> str:
    n, positive, negative = on_text.n_tokens, on_text.n_positive, on_text.n_negative
    if not negative:
        return f"active on {percent(positive / n)} of {n:,} tokens"
    shares = f"positive on {percent(positive / n)}, negative on {percent(negative / n)}"
    return f"{shares} of {n:,} tokens"


def _row(
    screen: Screen, activation: float, where: str, before: str, token: str, after: str
) -> list[Text]:
    shown = Text.assemble(
        screen.text(before[-_MAX_SIDE:]),
        screen.text(f"[{token}]", "bold"),
        screen.text(after[:_MAX_SIDE]),
    )
    return [screen.text(f"{activation:+.3g}"), screen.text(where), shown]
