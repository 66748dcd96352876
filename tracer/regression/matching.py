"""Which expectation of one run is which of another: by intervention, split and what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tracer.regression.essentials import KeptOutcome

_COUNT = re.compile(r" on \d+ of \d+ prompts?$")
_NUMBER = re.compile(r"\d+(\.\d+)?")


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
    without the threshold; else by what it measures.
    """
    partners: dict[int, int] = {}
    for key in (_exactly, _whatever_the_threshold, _by_measure):
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
    return (*_by_measure(kept), _NUMBER.sub("", _test(kept)))


def _by_measure(kept: KeptOutcome) -> tuple[str, ...]:
    return (kept.intervention, kept.split, kept.expectation)
