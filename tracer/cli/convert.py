"""`tracer convert`: interventions of other tools, in the units of a hypothesis file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli.endings import stderr
from tracer.cli.machine import write_stdout
from tracer.errors import EXIT_OK, UsageError
from tracer.hypothesis.interventions import NAME_PATTERN
from tracer.steering.fragment import fragment
from tracer.steering.settings import read_settings


def convert(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON of either tool.", show_default=False),
    ],
    prompt: Annotated[
        str, typer.Option(metavar="NAME", help="What the clamped prompt is called.")
    ] = "prompt",
) -> int:
    """Print circuit-tracer's interventions or Neuronpedia's steering as parts of a hypothesis.

    What has no counterpart is told, here and in comments.

    tracer convert interventions.json --prompt dallas

    tracer convert steering.json >> hypotheses/mine.yaml
    """
    if not re.match(NAME_PATTERN, prompt):
        raise UsageError(f"--prompt {prompt}: a name is letters, digits, _ and -, e.g. dallas.")
    made = fragment(read_settings(file), prompt)
    write_stdout(made.yaml())
    for note in made.notes:
        stderr().say(note)
    return EXIT_OK
