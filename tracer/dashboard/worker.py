"""The process of one run started on the page Author; it writes its events as lines of JSON.

    python -m tracer.dashboard.worker FILE REPORTS

Only this process loads torch. Stopping it does not stop the dashboard, and the next run of the same
file resumes from what was measured.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import TextIOBase
from itertools import count
from pathlib import Path
from typing import Any

from tracer.api.hypotheses import run
from tracer.engine.progress import Advance
from tracer.errors import EXIT_INTERRUPTED, EXIT_OK, TracerError


class Lines:
    """A `Progress` that writes events."""

    def __init__(self, stream: TextIOBase) -> None:
        self._stream = stream
        self._ids = count()

    def say(self, **event: Any) -> None:
        """Write one event."""
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        """See `Progress.task`."""
        number = next(self._ids)
        self.say(event="start", task=number, label=label, total=total)
        yield lambda n: self.say(event="advance", task=number, n=n)
        self.say(event="end", task=number)

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self.say(event="note", text=text)


def work(file: str, reports: Path, events: Lines) -> int:
    """Run a file and say how it ended; the exit code."""
    try:
        with events.task("importing PyTorch and measuring"):
            done = run(file, reports=reports, progress=events)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except TracerError as error:
        events.say(event="problem", text=str(error))
        return error.exit_code
    except OSError as error:
        events.say(event="problem", text=f"{error.filename or file}: {error.strerror or error}.")
        return TracerError.exit_code
    events.say(event="done", run=done.record.id, verdict=done.verdict.verdict)
    return EXIT_OK


def main(arguments: Sequence[str]) -> int:
    """Keep standard output for events; whatever else is written goes to standard error."""
    file, reports = arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as stream:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return work(file, Path(reports), Lines(stream))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
