"""What was changed after the fact: a threshold chosen once the numbers are known proves little.

A run is held against what was registered before anything was measured; one that carries no
registration, against what it was itself measured with. Which model and features it ran on, and what
only describes (source, tags, labels), is no part of the claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tracer.errors import UsageError
from tracer.evidence.differences import Change, changes_between, comparable, differences
from tracer.evidence.verdict import Registered
from tracer.hypothesis.parts import read_parts
from tracer.hypothesis.problem import dotted
from tracer.hypothesis.source import parse
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_core import YamlMistake
from tracer.record import Record
from tracer.registration import Registration, when

_UNCLAIMED = ("model", "features", "source", "tags")
_SHOWN = 5
"""Places that a caveat names; the verdict lists them all."""


class PostHoc(NamedTuple):
    """How what is judged differs from what was declared beforehand."""

    changes: tuple[Change, ...]
    registration: Registration | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each part that differs."""
        before = "measured with" if self.registration is None else "registered with"
        return tuple(change.told(before) for change in self.changes)

    @property
    def registered(self) -> Registered | None:
        """What the verdict says of it."""
        if self.registration is None:
            return None
        return Registered(at=self.registration.registered, sha256=self.registration.sha256)

    def caveats(self) -> Iterator[str]:
        """What a reader must know first, expectations by name; nothing where nothing differs."""
        if not self.changes:
            return
        since = "the measurement"
        if self.registration is not None:
            since = f"it was registered on {when(self.registration)}"
        expected = _places([c for c in self.changes if "expect" in c.path])
        others = _places([c for c in self.changes if "expect" not in c.path])
        told = [f"expectations {_named(expected)}"] if expected else []
        told += [_named(others)] if others else []
        yield f"post hoc: {', and '.join(told)} changed, added or left out after {since}"


def post_hoc(record: Record, hypothesis: Hypothesis) -> PostHoc:
    """How a hypothesis differs from what was declared before the run.

    Raises:
        UsageError: This version does not read what was registered.
    """
    registration = record.registration
    if registration is None:
        return PostHoc(changes_between(record.hypothesis, hypothesis), None)
    return PostHoc(changed_since(registration, hypothesis), registration)


def changed_since(registration: Registration, hypothesis: Hypothesis) -> tuple[Change, ...]:
    """Where a hypothesis claims something else than was registered.

    Raises:
        UsageError: This version does not read what was registered.
    """
    return tuple(differences(_claimed(as_declared(registration)), _claimed(hypothesis)))


def as_declared(registration: Registration) -> Hypothesis:
    """The hypothesis that was registered.

    Raises:
        UsageError: This version does not read it.
    """
    of = f"{registration.hypothesis}, as registered on {when(registration)}, is not read by this"
    return _read(registration.declared, of)


@lru_cache(maxsize=4)
def _read(declared: str, of: str) -> Hypothesis:
    """Kept, because a long file takes seconds to parse, and is asked for more than once a run."""
    try:
        reading = read_parts(parse(declared).data)
    except YamlMistake as mistake:
        raise UsageError(f"{of} tracer: {mistake.message}.") from None
    if reading.hypothesis is None:
        first = reading.problems[0]
        raise UsageError(f"{of} tracer: {dotted(first.path)}: {first.message}.")
    return reading.hypothesis


def _claimed(hypothesis: Hypothesis) -> dict[str, Any]:
    data = comparable(hypothesis)
    for key in _UNCLAIMED:
        del data[key]
    for node in data["supernodes"].values():
        del node["label"]
    return data


def _places(changes: Sequence[Change]) -> list[str]:
    """Where they are; of an expectation its own place, whatever of it was changed."""
    return list(dict.fromkeys(_place(change) for change in changes))


def _place(change: Change) -> str:
    path = change.path
    if "expect" in path:
        path = path[: path.index("expect") + 2]
    return dotted(path)


def _named(places: Sequence[str]) -> str:
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more
