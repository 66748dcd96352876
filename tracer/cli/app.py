"""The command `tracer`: its own options, and the exit code of each error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tracer import __version__
from tracer.cli.commands import COMMANDS, LateCommand
from tracer.cli.options import with_json_file
from tracer.cli.output import os_exit_code, os_sentence, stderr, stdout
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


def command_line() -> Any:
    """The command with all its sub-commands."""
    group: Any = typer.main.get_command(app)
    for row in COMMANDS:
        group.add_command(LateCommand(row))
    return group


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors of the user are printed as a sentence.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    words = with_json_file(sys.argv[1:] if arguments is None else arguments)
    try:
        code = command_line()(args=words, prog_name="tracer", standalone_mode=False)
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
