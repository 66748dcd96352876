"""Arguments and options that several commands share, and what they say about themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

REPORTS = Path("reports")
"""Where runs are kept when `--out` does not say otherwise."""

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILES]...",
        help="Hypothesis files; a folder means its YAML files. Default: hypotheses/.",
        show_default=False,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Replace one value of the file, e.g. controls.random=19. Repeatable.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Another model: a registered name, a Hugging Face id or a folder."
    ),
]
Features = Annotated[str | None, typer.Option(metavar="NAME", help="Another feature basis.")]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:0, mps, balanced, …")
]
Dtype = Annotated[
    str | None, typer.Option(metavar="NAME", help="float32, bfloat16, float16 or float64.")
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Another seed for the random controls.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Another model: a registered name, a Hugging Face id or a folder. Repeatable: a run "
        "for each, with each of --features.",
        show_default=False,
    ),
]
FeatureBases = Annotated[
    list[str] | None,
    typer.Option(
        "--features", metavar="NAME", help="Another feature basis. Repeatable.", show_default=False
    ),
]
Expression = Annotated[
    str | None,
    typer.Option(
        "-k",
        metavar="EXPRESSION",
        help="Only hypotheses whose name matches: parts of names with and, or, not, ().",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "-t", "--tag", metavar="TAG", help="Only hypotheses with this tag. Repeatable: any of them."
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="The folder that runs are kept in.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]
In = Annotated[Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")]
RUN_HELP = "A run folder or id, a hypothesis name (its latest run), or `latest`."
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False)]


_JSON = "--json"


def json_file(what: str) -> Any:
    """`--json [FILE]`, which writes `what` as JSON to a file or to standard output."""
    return typer.Option(
        _JSON,
        metavar="[FILE.json]",
        help=f"{what} as JSON, to standard output or to a file.",
        show_default=False,
    )


def with_json_file(words: Iterable[str]) -> list[str]:
    """A command line in which every `--json` has its value: `-` where no file follows.

    What follows is its file where it ends in `.json` or is `-`, so that the argument of
    `tracer validate --json two_hop.yaml` is not taken for a file to write. `--json=FILE` takes any.
    """
    found: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*found, word, *left]
        if word == _JSON:
            takes_next = bool(left) and (left[0] == "-" or left[0].endswith(".json"))
            word = f"{_JSON}={left.pop(0) if takes_next else '-'}"
        found.append(word)
    return found
