"""`python -m tracer`, and what the installed command `tracer` calls."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from tracer.cli.app import run_command
from tracer.errors import EXIT_ENGINE


class _OurOwnMistake:
    """A mistake of ours keeps its traceback, and its exit code says that no verdict was reached.

    Python itself would exit with 1, which means that a hypothesis did not come out as expected.
    """

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Print what went wrong, and exit."""
        if isinstance(error, Exception):
            traceback.print_exception(error)
            sys.stderr.write("tracer: this is a mistake in tracer itself; please report it.\n")
            sys.exit(EXIT_ENGINE)


def main() -> None:
    """Run the command line and exit with its code."""
    with _OurOwnMistake():
        sys.exit(run_command())


if __name__ == "__main__":
    main()
