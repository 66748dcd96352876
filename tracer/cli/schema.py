"""`tracer schema`: JSON Schema of hypothesis files, and of what commands write with `--json`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tracer.cli.documents.registry import document_schema
from tracer.cli.output import write_stdout
from tracer.errors import EXIT_OK
from tracer.hypothesis.load import json_schema_text


def schema(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]...",
            help="A command's words: the schema of what it writes with --json.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Print the JSON Schema of hypothesis files, or of what a command writes with --json.

    tracer schema > hypothesis.schema.json

    tracer schema run > verdicts.schema.json
    """
    if not command:
        write_stdout(json_schema_text())
    else:
        found = document_schema(" ".join(command))
        write_stdout(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return EXIT_OK
