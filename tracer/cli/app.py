"""The command `tracer`: the table of its sub-commands, and the exit code of each error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import typer

from tracer import __version__
from tracer.cli.compare import bless, compare
from tracer.cli.convert import convert
from tracer.cli.dashboard import dashboard
from tracer.cli.features import features
from tracer.cli.graph import graph
from tracer.cli.library import library
from tracer.cli.options import with_json_file
from tracer.cli.output import os_exit_code, os_sentence, stderr, stdout
from tracer.cli.plan import plan
from tracer.cli.register import register_
from tracer.cli.report import report
from tracer.cli.run import run
from tracer.cli.runs import judge, list_, show
from tracer.cli.selftest.command import selftest_
from tracer.cli.setup import cache, init, models, schema
from tracer.cli.specificity import specificity
from tracer.cli.validate import validate
from tracer.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, TracerError

EXIT_SIGINT = 130
"""What typer makes of a Ctrl-C."""
EPILOG = (
    "Exit codes: 0 all as expected, 1 some hypothesis not as expected, 2 interrupted, "
    "3 engine error, 4 bad usage or bad file, 5 nothing selected, or all of it skipped. "
    "Of several files the first of 2, 3, 4, 1, 0, 5 that occurs is the command's."
)

app = typer.Typer(
    name="tracer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


class Command(NamedTuple):
    """A sub-command: its name, the panel of `tracer --help` that lists it, and its function."""

    name: str
    panel: str
    function: Callable[..., int]


COMMANDS = (
    Command("run", "Measure", run),
    Command("validate", "Measure", validate),
    Command("plan", "Measure", plan),
    Command("register", "Measure", register_),
    Command("specificity", "Measure", specificity),
    Command("graph", "Look inside", graph),
    Command("features", "Look inside", features),
    Command("list", "Read runs", list_),
    Command("show", "Read runs", show),
    Command("dashboard", "Read runs", dashboard),
    Command("judge", "Read runs", judge),
    Command("report", "Read runs", report),
    Command("library", "Read runs", library),
    Command("compare", "Read runs", compare),
    Command("bless", "Read runs", bless),
    Command("models", "Set up", models),
    Command("schema", "Set up", schema),
    Command("init", "Set up", init),
    Command("convert", "Set up", convert),
    Command("cache", "Set up", cache),
    Command("selftest", "Set up", selftest_),
)
"""In the order of `tracer --help`."""
for _command in COMMANDS:
    app.command(_command.name, rich_help_panel=_command.panel)(_command.function)


def _version(asked: bool | None) -> bool | None:
    if asked:
        stdout().say(f"tracer {__version__}")
        raise typer.Exit(EXIT_OK)
    return asked


@app.callback()
def tracer(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Run hypotheses about the inside of language models, the way pytest runs tests."""


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors of the user are printed as a sentence.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    words = with_json_file(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=words, prog_name="tracer", standalone_mode=False)
    except typer.TyperException as mistake:
        context = getattr(mistake, "ctx", None)
        named = "tracer" if context is None else context.command_path
        stderr().say(f"{named}: {mistake.format_message()}\nTry `{named} --help`.")
        return EXIT_USAGE
    except typer.Abort:
        return EXIT_INTERRUPTED
    except SystemExit:  # rich ends so where the reader of the help has gone, and completion always
        return EXIT_OK
    except TracerError as error:
        stderr().say(str(error))
        return error.exit_code
    except OSError as error:
        stderr().say(os_sentence(error))
        return os_exit_code(error)
    return EXIT_INTERRUPTED if code == EXIT_SIGINT else int(code or EXIT_OK)
