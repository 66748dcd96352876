"""Cases: each file of each combination of model and features, and which of them is whose.

A case is what is run, counted and given out as a whole: it is in one shard, and one process has it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tracer.cli.matrix import Selected
from tracer.cli.measuring import Failure
from tracer.errors import HypothesisError, UsageError, shorten
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import ModelSpec

_ARRAY = "SLURM_ARRAY_TASK_"
_WRITTEN = re.compile(r"([0-9]+)/([0-9]+)", re.ASCII)
_SLURM = "slurm"
OpenedBy = tuple[ModelSpec, str]
"""Model and features: cases that share both open them once in a process."""


class RunCase(NamedTuple):
    """A file of a combination, or why it cannot be read there."""

    selected: Selected
    path: str
    file: HypothesisFile | None
    error: HypothesisError | None = None

    @property
    def name(self) -> str:
        """The hypothesis, where some combination could read it; else the file."""
        return self.selected.names.get(self.path, self.path)

    @property
    def label(self) -> str:
        """The name, with the model and features of its combination."""
        own = [each for each in self.selected.combination if each]
        return f"{self.name}[{', '.join(own)}]" if own else self.name

    @property
    def failure(self) -> Failure:
        """That of a file that cannot be read."""
        assert self.error is not None
        return Failure(self.error.exit_code, str(self.error), tuple(self.error.mistakes))

    @property
    def opens(self) -> OpenedBy | None:
        """What it is measured on; None for a file that cannot be read."""
        if self.file is None:
            return None
        return self.file.hypothesis.model_spec, self.file.hypothesis.features


def cases_of(selected: Sequence[Selected]) -> list[RunCase]:
    """Every case of every combination: first the files that cannot be read, then the others."""
    found: list[RunCase] = []
    for each in selected:
        found += [RunCase(each, str(path), None, error) for path, error in each.broken]
        found += [RunCase(each, str(file.path), file) for file in each.files]
    return found


@dataclass(frozen=True)
class Shard:
    """One of several parts of the cases."""

    index: int
    """From 1."""
    count: int

    def of(self, cases: Sequence[RunCase]) -> list[RunCase]:
        """Its cases: a stretch of all of them, sorted by model, so that it opens few models.

        Each case is in one shard, and their numbers differ by one at most. The order depends on
        what the cases are, and not on how files were named or found.
        """
        ordered = sorted(cases, key=_place)
        ends = [len(ordered) * n // self.count for n in (self.index - 1, self.index)]
        return ordered[slice(*ends)]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def _place(case: RunCase) -> tuple[str, ...]:
    spec, features = case.opens or (ModelSpec(name="-"), "")
    model = (spec.name, spec.revision or "", spec.dtype, spec.device)
    cell = (str(each or "") for each in case.selected.combination)
    return (*model, features, case.name, case.path, *cell)


def read_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard that an option names: `3/16`, or `slurm` for the task of a job array.

    Args:
        text: As it was given.
        environment: Where SLURM says which task this is, and of how many.

    Raises:
        UsageError: It is none, or this is no task of an array from 0 or 1 on without gaps.
    """
    if text == _SLURM:
        return _shard_of_task(environment)
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise UsageError(
            f"--shard {shorten(text)!r}: write which of how many, counted from 1, e.g. 3/16, or "
            f"{_SLURM} inside a job array."
        )
    index, count = map(int, written.groups())
    if not 1 <= index <= count:
        allowed = f"there are shards 1/{count} to {count}/{count}" if count else "there is none"
        raise UsageError(f"--shard {text}: out of range; {allowed}.")
    return Shard(index, count)


def _shard_of_task(environment: Mapping[str, str]) -> Shard:
    names = [f"{_ARRAY}{what}" for what in ("ID", "MIN", "MAX", "COUNT")]
    missing = [name for name in names if not environment.get(name, "").isdecimal()]
    if missing:
        raise UsageError(
            f"--shard {_SLURM}: {missing[0]} is not set to a number, so this is no task of a SLURM "
            "job array. Say which shard of how many, e.g. --shard 3/16."
        )
    task, first, last, count = (int(environment[name]) for name in names)
    if first > 1 or last - first + 1 != count or not first <= task <= last:
        raise UsageError(
            f"--shard {_SLURM}: the array's {count} tasks go from {first} to {last}, and not from "
            "0 or 1 without gaps, so it does not say how many shards there are. Say it: "
            f"--shard {max(1, task)}/16, where there are 16 in all."
        )
    return Shard(task - first + 1, count)
