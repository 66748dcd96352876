"""Which hypotheses a command is about: its arguments and filters, read into hypothesis files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tracer.cli.output import stderr
from tracer.errors import HypothesisError, UsageError, shorten
from tracer.hypothesis.load import HypothesisFile, is_hypothesis_file, read
from tracer.record.runs import RunEntry, find_runs

Test = Callable[[str], bool]

_WORD = re.compile(r"\s*(\(|\)|[^\s()]+)")
_RESERVED = ("and", "or", "not", "(", ")")
_DEEPEST = 50
"""Parentheses and `not` inside one another."""


def compile_expression(expression: str) -> Test:
    """A test of names; a word holds where the name contains it, upper and lower case alike.

    Raises:
        UsageError: The expression cannot be read.
    """
    parser = _Parser(expression)
    test = parser.either()
    if parser.words:
        raise parser.mistake()
    return test


class _Parser:
    """Recursive descent: `not` binds tighter than `and`, `and` tighter than `or`."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._depth = 0
        self.words = _WORD.findall(expression)

    def mistake(self) -> UsageError:
        found = f"{self.words[0]!r}" if self.words else "the end"
        return UsageError(
            f"-k {shorten(self.expression)!r}: did not expect {found} there. "
            "Write parts of hypothesis names joined by and, or, not and parentheses, "
            "e.g. -k 'two_hop and not language'."
        )

    def _take(self, word: str) -> bool:
        if self.words[:1] != [word]:
            return False
        del self.words[0]
        return True

    def either(self) -> Test:
        tests = [self._all()]
        while self._take("or"):
            tests.append(self._all())
        return lambda name: any(test(name) for test in tests)

    def _all(self) -> Test:
        tests = [self._single()]
        while self._take("and"):
            tests.append(self._single())
        return lambda name: all(test(name) for test in tests)

    def _single(self) -> Test:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError(
                f"-k {shorten(self.expression)!r}: it nests deeper than {_DEEPEST} levels of "
                "parentheses and not."
            )
        test = self._one()
        self._depth -= 1
        return test

    def _one(self) -> Test:
        if self._take("not"):
            negated = self._single()
            return lambda name: not negated(name)
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise self.mistake()
            return inner
        if not self.words or self.words[0] in _RESERVED:
            raise self.mistake()
        part = self.words.pop(0).lower()
        return lambda name: part in name.lower()


DEFAULT = Path("hypotheses")
"""Where hypotheses are looked for when none is named."""


def hypothesis_paths(arguments: Sequence[Path] | None) -> list[Path]:
    """The files meant by the arguments; a folder means its YAML files, each file counts once.

    Raises:
        UsageError: A path does not exist; all such paths at once.
    """
    if not arguments and not DEFAULT.is_dir():
        raise UsageError(
            f"no file was named and there is no folder {DEFAULT}/ here. "
            "Name a hypothesis file, or write one with `tracer init`."
        )
    places = arguments or [DEFAULT]
    missing = [str(place) for place in places if not place.exists()]
    if missing:
        raise UsageError("\n".join(f"{place}: no such file or folder." for place in missing))
    return list(dict.fromkeys(path for place in places for path in _files_at(place)))


def _files_at(place: Path) -> Iterable[Path]:
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.iterdir() if is_hypothesis_file(path))


class BrokenFile(NamedTuple):
    """A file that could not be read as a hypothesis."""

    path: Path
    error: HypothesisError


class FilesRead(NamedTuple):
    """The hypotheses of some files, and the files that hold none."""

    files: list[HypothesisFile]
    broken: list[BrokenFile]

    def say_broken(self) -> list[int]:
        """Print the mistakes of the broken files; returns their exit codes."""
        for broken in self.broken:
            stderr().say(str(broken.error))
        return [broken.error.exit_code for broken in self.broken]


def read_all(paths: Iterable[Path], overrides: Sequence[str] = ()) -> FilesRead:
    """Read every file; a broken one does not hide the others."""
    found = FilesRead([], [])
    for path in paths:
        try:
            found.files.append(read(str(path), overrides))
        except HypothesisError as error:
            found.broken.append(BrokenFile(path, error))
    return found


@dataclass(frozen=True)
class FileFilters:
    """Which of the files that were read are wanted; every filter must agree."""

    expression: str | None = None
    tags: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    """Names of hypotheses (`--failed`); None: any."""

    def choose(self, files: Iterable[HypothesisFile]) -> list[HypothesisFile]:
        """The files that pass.

        Raises:
            UsageError: The expression cannot be read.
        """
        test = compile_expression(self.expression) if self.expression else None
        return [file for file in files if self._passes(file, test)]

    def _passes(self, file: HypothesisFile, test: Test | None) -> bool:
        hypothesis = file.hypothesis
        return (
            (test is None or test(hypothesis.hypothesis))
            and (not self.tags or not set(self.tags).isdisjoint(hypothesis.tags))
            and (self.only is None or hypothesis.hypothesis in self.only)
        )


def latest_by_name(reports: Path) -> dict[str, RunEntry]:
    """The newest run of every hypothesis that has one."""
    return {entry.hypothesis: entry for entry in find_runs(reports)}


def not_as_expected(reports: Path) -> frozenset[str]:
    """Hypotheses whose latest run was not as expected, or came to no verdict at all."""
    latest = latest_by_name(reports)
    return frozenset(name for name, entry in latest.items() if not entry.as_expected)
