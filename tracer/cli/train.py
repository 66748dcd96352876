"""`tracer train`: train a dictionary on a model's own activations, or go on with its training."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, get_args

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.output import percent, print_table, require_writable, stderr, stdout
from tracer.cli.progress import progress_on
from tracer.engine.model.sources import named_model
from tracer.errors import EXIT_OK, UsageError, listed, show
from tracer.record.training import Activation, Kind, TrainingPlan, TrainingRecord

KINDS: tuple[Kind, ...] = get_args(Kind)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
TOKENS = 3_000_000
_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, a hub id or a folder.")],
    text: Annotated[
        list[str],
        typer.Option(
            metavar="TEXT",
            help="A file, a folder, or the name of an installed text, such as wikipedia. "
            "Repeatable. `model`: what the model writes itself.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the dictionary is written.")],
    kind: Annotated[str, typer.Option(metavar="KIND", help=" or ".join(KINDS) + ".")] = KINDS[0],
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Features of a layer. Default: about 3 times d_model."
        ),
    ] = None,
    k: Annotated[
        int, typer.Option(metavar="N", min=1, help="Features of a layer on at a token.")
    ] = 32,
    tokens: Annotated[int, typer.Option(metavar="N", min=1, help="To train on.")] = TOKENS,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="RATE", min=0, help="Default: by the width.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**31, help="Of all chance.")] = 0,
    layers: Annotated[
        str | None,
        typer.Option(metavar="LAYERS", help="Only these, e.g. 0-8,12. Default: all."),
    ] = None,
    activation: Annotated[
        str,
        typer.Option(metavar="NAME", help="topk, or of a cross-layer transcoder also jumprelu."),
    ] = ACTIVATIONS[0],
    skip: Annotated[
        bool | None,
        typer.Option(
            "--skip/--no-skip",
            help="A linear map beside the features. Default: of transcoders only.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(metavar="TOKENS", min=1, help="Default: a twentieth of the tokens."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it takes.")] = False,
    quiet: options.Quiet = False,
) -> int:
    """Train a dictionary on a model's own activations, or go on with its training.

    tracer train gemma-3-270m --text wikipedia --out my-transcoders

    The folder is what `--features` takes. The same command goes on where one was stopped.
    It needs the extra `train`.
    """
    wanted = None if layers is None else _layers(layers)

    def told(found: TrainingPlan, record: TrainingRecord) -> bool:
        _print_plan(found, record)
        return not plan

    if kind not in KINDS:
        raise UsageError(f"--kind {show(kind)}: choose one of {listed(KINDS)}.")
    if activation not in ACTIVATIONS:
        raise UsageError(f"--activation {show(activation)}: choose one of {listed(ACTIVATIONS)}.")
    spec = named_model(model, device, dtype)
    if not plan:
        require_writable(out.expanduser().absolute().parent, "--out")
    with progress_on(stderr(), quiet=quiet) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            training = engine.training.train

        asked = training.TrainingRequest(
            model=spec,
            texts=text,
            folder=out,
            kind=kind,
            width=width,
            activation=activation,
            k=k,
            skip=skip,
            layers=wanted,
            tokens=tokens,
            learning_rate=learning_rate,
            seed=seed,
            checkpoint_tokens=checkpoint_every,
        )
        record = training.train(asked, told, progress)
    if not plan:
        _print_record(record, out)
    return EXIT_OK


def _layers(text: str) -> list[int]:
    """`0-3,7` as numbers.

    Raises:
        UsageError: It is no such list.
    """
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"--layers {show(text)}: write layers and ranges, e.g. 0-8,12.")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    if not found:
        raise UsageError(f"--layers {show(text)}: a range begins with its lower end, e.g. 0-8.")
    return found


def _print_plan(plan: TrainingPlan, record: TrainingRecord) -> None:
    settings, screen = record.settings, stdout()
    left = record.steps - record.step
    repeats = f", each token {plan.readings:.1f} times" if plan.readings > 1 else ""
    name = "TopK" if settings.activation == "topk" else "JumpReLU, L0"
    on = f"{name} {settings.k}{', skip connection' if settings.skip else ''}"
    rows = [
        (
            "dictionary",
            f"{settings.kind}, {len(settings.layers)} layers x {settings.width:,}, {on}",
        ),
        ("parameters", f"{plan.parameters / 1e6:.1f} M"),
        ("text", f"{record.text.tokens:,} tokens of {', '.join(record.text.names)}{repeats}"),
        ("steps", f"{left:,} of {plan.steps:,} to do, {plan.tokens_a_step:,} tokens each"),
        ("speed", f"{plan.tokens_a_second:,.0f} tokens a second, measured on one step"),
        ("time", f"about {timedelta(seconds=round(plan.seconds))}"),
        ("memory", f"{plan.peak_bytes / 1e9:.1f} GB, measured"),
        (
            "disk",
            f"{plan.dictionary_bytes / 1e6:,.0f} MB, while it trains up to "
            f"{plan.disk_bytes / 1e6:,.0f} MB",
        ),
    ]
    print_table(screen, [("plan", 0), ("", 1)], rows)


def _print_record(record: TrainingRecord, out: Path) -> None:
    last = record.curve[-1]
    rows = [
        (str(layer), f"{fvu:.3f}", percent(dead))
        for layer, fvu, dead in zip(record.settings.layers, last.fvu, last.dead, strict=True)
    ]
    screen = stdout()
    print_table(screen, [("layer", 0), ("FVU", 0), ("dead", 0)], rows)
    screen.say(
        f"{record.tokens:,} tokens in {timedelta(seconds=round(record.seconds))}, "
        f"{record.peak_bytes / 1e9:.1f} GB of memory: {out}"
    )
