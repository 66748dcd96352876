"""The command `tracer`: its sub-commands, and what becomes of their mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from tracer import __version__
from tracer.cli.compare import bless, compare
from tracer.cli.convert import convert
from tracer.cli.dashboard import dashboard
from tracer.cli.features import features
from tracer.cli.graph import graph
from tracer.cli.library import library
from tracer.cli.output import os_exit_code, os_sentence, stderr, stdout
from tracer.cli.run import run
from tracer.cli.runs import judge, list_, report, show
from tracer.cli.selftest.command import selftest_
from tracer.cli.setup import cache, init, models, register_, schema
from tracer.cli.specificity import specificity
from tracer.cli.validate import plan, validate
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
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
_MEASURE, _LOOK, _READ, _SETUP = "Measure", "Look inside", "Read runs", "Set up"
app.command(rich_help_panel=_MEASURE)(run)
app.command(rich_help_panel=_MEASURE)(validate)
app.command(rich_help_panel=_MEASURE)(plan)
app.command("register", rich_help_panel=_MEASURE)(register_)
app.command(rich_help_panel=_MEASURE)(specificity)
app.command(rich_help_panel=_LOOK)(graph)
app.command(rich_help_panel=_LOOK)(features)
app.command("list", rich_help_panel=_READ)(list_)
app.command(rich_help_panel=_READ)(show)
app.command(rich_help_panel=_READ)(dashboard)
app.command(rich_help_panel=_READ)(judge)
app.command(rich_help_panel=_READ)(report)
app.command(rich_help_panel=_READ)(library)
app.command(rich_help_panel=_READ)(compare)
app.command(rich_help_panel=_READ)(bless)
app.command(rich_help_panel=_SETUP)(models)
app.command(rich_help_panel=_SETUP)(schema)
app.command(rich_help_panel=_SETUP)(init)
app.command(rich_help_panel=_SETUP)(convert)
app.command(rich_help_panel=_SETUP)(cache)
app.command("selftest", rich_help_panel=_SETUP)(selftest_)


def _version(asked: bool | None) -> bool | None:
    if asked:
        stdout().say(f"tracer {__version__}")
        raise typer.Exit(EXIT_OK)
    return asked


@app.callback()
def tracer(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            is_eager=True,
            callback=_version,
        ),
    ] = False,
) -> None:
    """Run hypotheses about the inside of language models, the way pytest runs tests."""


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code; a user's mistake becomes a sentence.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    words = None if arguments is None else list(arguments)
    try:
        code = app(args=words, prog_name="tracer", standalone_mode=False)
    except typer.TyperException as mistake:
        stderr().say(f"tracer: {mistake.format_message()}\nTry `tracer --help`.")
        return EXIT_USAGE
    except typer.Abort:
        return EXIT_INTERRUPTED
    except TracerError as error:
        stderr().say(str(error))
        return error.exit_code
    except OSError as error:
        stderr().say(os_sentence(error))
        return os_exit_code(error)
    return EXIT_INTERRUPTED if code == EXIT_SIGINT else int(code or EXIT_OK)
