"""Which files are meant: arguments become paths, paths become hypotheses, filters choose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tracer.cli.expression import Test, compile_expression
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.load import HypothesisFile, read

DEFAULT = Path("hypotheses")
"""Where hypotheses are looked for when none is named."""


def gather(arguments: Sequence[Path]) -> list[Path]:
    """The files meant by the arguments; a folder means its YAML files, each file counts once.

    Raises:
        UsageError: A path does not exist; all such paths at once.
    """
    if not arguments and not DEFAULT.is_dir():
        raise UsageError(
            f"no file was named and there is no folder {DEFAULT}/ here. "
            "Name a hypothesis file, or write one with `tracer init`."
        )
    places = list(arguments) or [DEFAULT]
    missing = [str(place) for place in places if not place.exists()]
    if missing:
        raise UsageError("\n".join(f"{place}: no such file or folder." for place in missing))
    return list(dict.fromkeys(path for place in places for path in _files_at(place)))


def _files_at(place: Path) -> Iterable[Path]:
    if not place.is_dir():
        return [place]
    return sorted(p for p in place.iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())


class Broken(NamedTuple):
    """A file that could not be read as a hypothesis."""

    path: Path
    error: HypothesisError


class Found(NamedTuple):
    """What reading gave."""

    files: list[HypothesisFile]
    broken: list[Broken]


def read_all(paths: Iterable[Path], overrides: Sequence[str]) -> Found:
    """Read every file; a broken one does not hide the others."""
    found = Found([], [])
    for path in paths:
        try:
            found.files.append(read(str(path), overrides))
        except HypothesisError as error:
            found.broken.append(Broken(path, error))
    return found


@dataclass(frozen=True)
class Filters:
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
        test = compile_expression(self.expression) if self.expression else _anything
        return [file for file in files if self._passes(file, test)]

    def _passes(self, file: HypothesisFile, test: Test) -> bool:
        hypothesis = file.hypothesis
        return (
            test(hypothesis.hypothesis)
            and (not self.tags or not set(self.tags).isdisjoint(hypothesis.tags))
            and (self.only is None or hypothesis.hypothesis in self.only)
        )


def _anything(name: str) -> bool:
    return True
