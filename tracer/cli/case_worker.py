"""One process of `tracer run --jobs`: it measures the cases it is given, one after the other.

Both directions are lines of JSON. It hears on standard input

    {"reports": "…", "lock": null, "keep_going": false, "store": "…"}
    {"path": "…", "text": "…", "overrides": […], "fresh": false}

the first once, then a case at a time; where standard input ends, it stops what it is doing, as at
Ctrl-C, and ends. It tells on standard output

    {"began": "clamping", "total": 40}, {"advanced": 8}, {"ended": true}, {"note": "…"}
    {"run": "reports/…"} or {"failed": [3, "sentence", null or mistakes]} or {"broken": true}

the last where tracer itself is at fault, whose traceback goes to standard error, as does all that
libraries print.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tracer.cli.measuring import Failure, Measuring
from tracer.engine.progress import Advance
from tracer.engine.store import Store
from tracer.hypothesis.load import check
from tracer.report.screen import Stream

_ENOUGH = ""
"""In place of a case: there is none any more."""


@dataclass(frozen=True)
class _Told:
    """A `Progress` that is told to the process that asked."""

    out: Stream

    def say(self, **message: Any) -> None:
        self.out.write(json.dumps(message) + "\n")
        self.out.flush()

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        self.say(began=label, total=total)
        try:
            yield lambda n: self.say(advanced=n)
        finally:
            self.say(ended=True)

    def note(self, text: str) -> None:
        self.say(note=text)


def main() -> None:
    """Measure until standard input ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell puts behind
    told = _Told(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    heard: SimpleQueue[str] = SimpleQueue()
    listener = threading.Thread(target=_listen, args=(heard,), daemon=True)
    listener.start()
    try:
        _measure(heard, told)
        listener.join()  # whose interruption is expected here, where nothing is measured
    except (KeyboardInterrupt, BrokenPipeError):  # between two cases, or nobody is there any more
        pass
    except Exception:
        told.say(broken=True)
        raise


def _listen(heard: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        heard.put(line)
    heard.put(_ENOUGH)
    interrupt_main()


def _measure(heard: SimpleQueue[str], told: _Told) -> None:
    common: dict[str, Any] = json.loads(heard.get())
    measuring = Measuring(
        reports=Path(common["reports"]),
        lock=common["lock"] and Path(common["lock"]),
        fresh=False,
        keep_going=common["keep_going"],
        store=Store(Path(common["store"])) if common["store"] else None,
    )
    while (line := heard.get()) != _ENOUGH:
        asked: dict[str, Any] = json.loads(line)
        file = check(asked["path"], asked["text"], asked["overrides"])
        end = replace(measuring, fresh=asked["fresh"]).end_of(file, told)
        if isinstance(end, Failure):
            told.say(failed=end)
        else:
            told.say(run=str(end.path))


if __name__ == "__main__":
    main()
