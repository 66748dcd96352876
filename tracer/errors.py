"""The user's mistakes, as sentences with an exit code; our own mistakes stay tracebacks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

EXIT_OK = 0
EXIT_NOT_CONFIRMED = 1
EXIT_INTERRUPTED = 2
EXIT_ENGINE = 3
EXIT_USAGE = 4
EXIT_NOTHING_SELECTED = 5


class TracerError(Exception):
    """Base of all errors a user can do something about; `str` is what they read."""

    exit_code = EXIT_ENGINE


class UsageError(TracerError):
    """A bad option, a missing file, a folder that cannot be written."""

    exit_code = EXIT_USAGE


class ModelUnavailable(TracerError):
    """A model cannot be had here; the sentence says which package, file or login is missing."""

    exit_code = EXIT_USAGE


class OutOfReach(ModelUnavailable):
    """The hub does not give a model or its features from here: no network, or no permission.

    A misspelt name, an unsound folder and a full disk are none of it. A hypothesis may ask to be
    skipped then.
    """


class EngineError(TracerError):
    """A measurement could not be made (NaN logits, out of memory at one row)."""

    exit_code = EXIT_ENGINE


class Mistake(NamedTuple):
    """One mistake in a hypothesis file."""

    line: int | None
    """1-based; None where the file as a whole is meant."""
    column: int | None
    where: str
    """Path inside the file, e.g. `interventions.swap.clamp.texas`; empty for the whole file."""
    message: str
    """What was found, what is allowed, the nearest valid word."""


def place(path: str, mistake: Mistake) -> str:
    """`file:line:column`, as far as they are known."""
    return ":".join([path, *(str(n) for n in (mistake.line, mistake.column) if n is not None)])


class HypothesisError(TracerError):
    """Everything that is wrong with one hypothesis file, at once."""

    exit_code = EXIT_USAGE

    def __init__(self, path: Path | str, mistakes: list[Mistake]) -> None:
        self.path = str(path)
        self.mistakes = sorted(mistakes, key=lambda m: (m.line or 0, m.column or 0, m.where))
        super().__init__("\n".join(self._line(m) for m in self.mistakes))

    def _line(self, mistake: Mistake) -> str:
        where = mistake.where + ": " if mistake.where else ""
        return f"{place(self.path, mistake)}: {where}{mistake.message}"
