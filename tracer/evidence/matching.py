"""Which expectation of one list is which of another: of two files, or of two runs.

Between files (`matched`), equal ones first, then the most alike. There may be thousands, so equal
ones are looked up, and one is compared with all that are left at once. Between runs (`paired`), by
intervention, split and what each says.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Int

from tracer.evidence.baseline_run import KeptOutcome
from tracer.evidence.wording import MINUS

Given = dict[str, Any]
"""An expectation as plain data, keys without a value left out."""
_ABSENT = -1
_WHOSE = "mostly"
"""No part of what is measured or asked: it makes no two expectations alike."""
_COUNT = re.compile(r" on \d+ of \d+ prompts?$")
_THRESHOLD = re.compile(rf"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|[{MINUS}-]?\d+(\.\d+)?""")
"""A number, which its first group is not: a token in quotes, whose digits are no threshold."""


class Match(NamedTuple):
    """Places of one expectation in both lists; None where a list has no such."""

    old: int | None
    new: int | None


def matched(old: Sequence[Given], new: Sequence[Given]) -> list[Match]:
    """Those that differ: changed or left out in the order of `old`, then those added.

    Of several that are as much alike, the first is meant.
    """
    before, after = _unequal(old, new)
    left = _Left([new[place] for place in after])
    found: list[Match] = []
    for place in before:
        nearest = left.take(old[place])
        found.append(Match(place, None if nearest is None else after[nearest]))
    return [*found, *(Match(None, after[place]) for place in left.places())]


def _unequal(old: Sequence[Given], new: Sequence[Given]) -> tuple[list[int], list[int]]:
    """Places of those that have no equal one in the other list, each of which counts once."""
    equal: dict[Hashable, deque[int]] = {}
    for place, given in enumerate(new):
        equal.setdefault(_frozen(given), deque()).append(place)
    before = [place for place, given in enumerate(old) if not _taken(equal.get(_frozen(given)))]
    return before, sorted(place for places in equal.values() for place in places)


def _taken(places: deque[int] | None) -> bool:
    """Whether there was one, which is not there any longer."""
    if not places:
        return False
    places.popleft()
    return True


class _Left:
    """Expectations that nothing was matched with yet, key by key."""

    def __init__(self, given: Sequence[Given]) -> None:
        self._codes: dict[Hashable, int] = {}
        keys = {key for each in given for key in each if key != _WHOSE}
        self._columns: Mapping[str, Int[np.ndarray, " expectation"]] = {
            key: np.array([self._code(key, each) for each in given]) for key in sorted(keys)
        }
        self._is_left: Bool[np.ndarray, " expectation"] = np.ones(len(given), dtype=bool)

    def _code(self, key: str, given: Given) -> int:
        """A number for each value of each key."""
        if key not in given:
            return _ABSENT
        return self._codes.setdefault((key, _frozen(given[key])), len(self._codes))

    def take(self, given: Given) -> int | None:
        """The place of the one most alike: most keys that agree, then most that both have."""
        agree = np.zeros(len(self._is_left), dtype=np.int64)
        shared = np.zeros_like(agree)
        for key in given.keys() & self._columns.keys():
            column = self._columns[key]
            agree += column == self._codes.get((key, _frozen(given[key])), _ABSENT - 1)
            shared += column != _ABSENT
        score = np.where(self._is_left, agree * (1 + len(self._columns)) + shared, 0)
        if not score.any():
            return None
        place = int(score.argmax())
        self._is_left[place] = False
        return place

    def places(self) -> list[int]:
        """Where those are that nothing was matched with."""
        return np.flatnonzero(self._is_left).tolist()


def _frozen(value: Any) -> Hashable:
    """Plain data as something that can be looked up; equal where the data is."""
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return frozenset((key, _frozen(inner)) for key, inner in items)
    if isinstance(value, list):
        return tuple(_frozen(inner) for inner in cast(list[Any], value))
    return value


class Pair(NamedTuple):
    """The same expectation in both runs; None where a run does not have it."""

    old: KeptOutcome | None
    new: KeptOutcome | None

    @property
    def name(self) -> str:
        """How it is told apart: 'swap: top token, is ' Sacramento' [held out]'."""
        kept = self.new or self.old
        assert kept is not None
        return f"{kept.intervention}: {kept.expectation} {_test(kept)} [{kept.split}]"


def paired(old: Sequence[KeptOutcome], new: Sequence[KeptOutcome]) -> Iterator[Pair]:
    """Pairs in the order of `new`, then those that only `old` has.

    An expectation is found again word by word; else, where that leaves no choice, by its words
    without the threshold. One of another test, or about another token, is another expectation.
    """
    partners: dict[int, int] = {}
    for key in (_exactly, _whatever_the_threshold):
        taken = set(partners.values())
        waiting = {n: outcome for n, outcome in enumerate(new) if n not in partners}
        left = {m: outcome for m, outcome in enumerate(old) if m not in taken}
        here, there = _by_key(waiting, key), _by_key(left, key)
        for said, mine in here.items():
            theirs = there.get(said, [])
            if key is _exactly or len(mine) == len(theirs) == 1:
                partners.update(zip(mine, theirs, strict=False))
    for n, outcome in enumerate(new):
        yield Pair(old[partners[n]] if n in partners else None, outcome)
    gone = set(range(len(old))) - set(partners.values())
    yield from (Pair(old[m], None) for m in sorted(gone))


def _by_key(
    outcomes: Mapping[int, KeptOutcome], key: Callable[[KeptOutcome], Hashable]
) -> dict[Hashable, list[int]]:
    places: dict[Hashable, list[int]] = {}
    for n, outcome in outcomes.items():
        places.setdefault(key(outcome), []).append(n)
    return places


def _test(kept: KeptOutcome) -> str:
    """What is expected, without the number of prompts, which is no part of what it says."""
    return _COUNT.sub("", kept.expected)


def _exactly(kept: KeptOutcome) -> Hashable:
    return (*_by_measure(kept), _test(kept))


def _whatever_the_threshold(kept: KeptOutcome) -> Hashable:
    return (*_by_measure(kept), _THRESHOLD.sub(lambda found: found[1] or "", _test(kept)))


def _by_measure(kept: KeptOutcome) -> tuple[str, ...]:
    return (kept.intervention, kept.split, kept.expectation)
