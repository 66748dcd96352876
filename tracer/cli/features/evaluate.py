"""`tracer features evaluate`: how good dictionaries are; a table, a page and JSON.

`--json` prints the `tracer.evaluation/1` (see `tracer.record.evaluation`) that stands beside the
page as `evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.graph_source import is_file
from tracer.cli.output import (
    print_table,
    require_writable,
    require_writable_file,
    screen_beside,
    stderr,
    write_dated,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.engine.corpus.passages import DEFAULT_TEXT, find_texts
from tracer.engine.evaluation.request import N_REPLACED, N_TOKENS, EvaluationRequest
from tracer.engine.model.sources import named_model
from tracer.errors import EXIT_OK, UsageError, shorten
from tracer.hypothesis.load import HypothesisFile, read
from tracer.hypothesis.studies.graph import KEPT_FEATURES
from tracer.record.evaluation import BasisEvaluation
from tracer.record.files import as_json
from tracer.report.evaluation import (
    GRAPH_HEADINGS,
    HEADINGS,
    about,
    graphs_of,
    numbers_of,
    numbers_of_layer,
    render_evaluation,
)
from tracer.report.screen import Screen

FOLDER = "evaluations"
MOST = 4
"""Dictionaries whose lines can be told apart in one picture."""
_MOST_PROMPT = 60


def evaluate(
    features: Annotated[
        list[str],
        typer.Argument(
            metavar="FEATURES...",
            help="Dictionaries of one model: folders, registered names or hub ids; `neurons` too.",
            show_default=False,
        ),
    ],
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A file, a folder, or the name of an installed text. Repeatable. Default: "
            f"{DEFAULT_TEXT}.",
            show_default=False,
        ),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="No part of the text was trained on: use all of it. Default: only the passages "
            "that `tracer train` leaves out, one in twenty.",
        ),
    ] = False,
    tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tokens of the text to measure on.")
    ] = N_TOKENS,
    replaced: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Of these, tokens to compare next tokens after with MLPs replaced: a pass for "
            "each layer.",
        ),
    ] = N_REPLACED,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Also take the graphs of a hypothesis file's prompts, or of a text. Repeatable.",
            show_default=False,
        ),
    ] = None,
    max_features: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Features that are nodes of a graph. Default: as many as the file's graph "
            f"section, or {KEPT_FEATURES}.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = options.REPORTS,
    json_: Annotated[Path | None, options.json_file("The same")] = None,
    quiet: options.Quiet = False,
) -> int:
    """Measure how good dictionaries are: what they explain, and what the model says with them.

    tracer features evaluate ./my_transcoders

    tracer features evaluate neurons ./my_transcoders --prompts hypotheses/two_hop.yaml

    Writes evaluation.json and evaluation.html into a folder of its own under DIR/evaluations.
    """
    if len(features) > MOST:
        raise UsageError(f"{len(features)} dictionaries; at most {MOST} are compared at a time.")
    request = EvaluationRequest(
        model=named_model(model, device, dtype),
        features=tuple(features),
        text=tuple(find_texts(text or [DEFAULT_TEXT])),
        is_held_out=held_out,
        n_tokens=tokens,
        n_replaced=replaced,
        prompts=tuple(_prompts(prompts or ())),
        max_features=max_features,
    )
    request.check()
    require_writable(out, "--out")
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=quiet) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            measure = engine.evaluation.evaluate.evaluate
        found = measure(request, progress)
    document = as_json(found)
    folder = write_dated(out / FOLDER, "evaluation", document, render_evaluation(found))
    screen = screen_beside(json_)
    screen.paragraph(about(found))
    screen.say()
    for basis in found.bases:
        _print(screen, basis)
    screen.say(f"  {folder / 'evaluation.html'}")
    if json_ is not None:
        write_document(json_, document)
    return EXIT_OK


def _prompts(given: Sequence[str]) -> Iterator[str | HypothesisFile]:
    for each in given:
        yield read(each) if is_file(each, (".yaml", ".yml")) else each


def _print(screen: Screen, basis: BasisEvaluation) -> None:
    screen.say(basis.basis, "bold")
    for warning in basis.warnings:
        screen.paragraph(warning, "yellow")
    rows = [
        (f"{n}", f"{layer.n_features:,}", *numbers_of_layer(layer))
        for n, layer in enumerate(basis.layers)
    ]
    rows.append(("all", f"{sum(x.n_features for x in basis.layers):,}", *numbers_of(basis)))
    print_table(screen, [(each, 0) for each in ("layer", "features", *HEADINGS)], rows)
    screen.say()
    if basis.graphs:
        headings = [("graph of", 1), *((each, 0) for each in GRAPH_HEADINGS)]
        rows = [(shorten(prompt, _MOST_PROMPT), *row) for prompt, row in graphs_of(basis)]
        print_table(screen, headings, rows)
        screen.say()
