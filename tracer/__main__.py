"""`python -m tracer`, and what the installed command `tracer` calls."""

from __future__ import annotations

import sys
import traceback

from tracer.cli.app import run_command
from tracer.errors import EXIT_ENGINE


def main() -> None:
    """Run the command line and exit with its code.

    An error of tracer itself keeps its traceback and exits with `EXIT_ENGINE`: Python's own code 1
    would mean that a hypothesis did not come out as expected.
    """
    try:
        sys.exit(run_command())
    except Exception as error:
        traceback.print_exception(error)
        sys.stderr.write("tracer: this is a mistake in tracer itself; please report it.\n")
        raise SystemExit(EXIT_ENGINE) from error


if __name__ == "__main__":
    main()
