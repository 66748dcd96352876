"""The user's mistakes, as sentences with an exit code; our own mistakes stay tracebacks."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

EXIT_OK = 0
EXIT_NOT_CONFIRMED = 1
EXIT_INTERRUPTED = 2
EXIT_ENGINE = 3
EXIT_USAGE = 4
EXIT_NOTHING_SELECTED = 5
EXIT_CONSISTENT = 6


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

    Nor does a data package of features, because it is not installed. A misspelt name, an unsound
    folder and a full disk are none of it. A hypothesis may ask to be skipped then.
    """


class EngineError(TracerError):
    """A measurement could not be made (NaN logits, out of memory at one row)."""

    exit_code = EXIT_ENGINE


class NothingFound(EngineError):
    """A rule that no feature fits."""


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


KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of the file; () is the file itself."""


class Problem(NamedTuple):
    """One mistake in a hypothesis as data, which has a path but no line yet."""

    path: KeyPath
    message: str


def dotted(path: KeyPath) -> str:
    """The path as people read it: `interventions.swap.expect[0].top`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def shorten(text: str, limit: int = 120) -> str:
    """At most `limit` characters, the middle left out."""
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def one_line(error: BaseException) -> str:
    """An error's text on one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def show(value: Any) -> str:
    """A value as found in a file, short enough for a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return shorten(repr(value), 80)


def listed(words: Iterable[str]) -> str:
    """The words in quotes, at most twenty of them."""
    quoted = [repr(word) for word in words]
    if len(quoted) > 20:
        quoted = [*quoted[:20], f"and {len(quoted) - 20} more"]
    return ", ".join(quoted)


def prompts_named(names: Sequence[str]) -> str:
    """The prompts a sentence is about, at most five of them by name."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"prompt{'s' if len(names) > 1 else ''} {listed(names[:5])}{more}"


_MOST_COMPARED = 300


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like this one, if any is alike; case does not count.

    Of more than 300 known words, which take long to compare, only an equal one is found.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    if len(by_lower) > _MOST_COMPARED:
        return by_lower.get(word.lower())
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest word, or nothing."""
    best = nearest(word, known)
    return f" Did you mean {best!r}?" if best is not None else ""


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """The sentence for a name that nothing answers to."""
    names = list(known)
    choices = f" Known: {listed(names)}." if names else " There is none."
    return f"no {kind} {word!r}.{did_you_mean(word, names)}{choices}"
