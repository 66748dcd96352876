"""The error rates of verdicts on claims whose truth is known.

The rates are of false claims confirmed, and of true ones not confirmed. A false claim of which all
that it expects held is *consistent*, where it lacks the evidence to be called confirmed; by what it
lacks is told what stopped it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tracer.cli.selftest.claims import Kind, Truth
from tracer.evidence.statistics import wilson
from tracer.record.verdict import VerdictName

FALSE_POSITIVES, FALSE_NEGATIVES = 0.01, 0.10
"""The goals: rates that are not to be passed."""


class ClaimResult(NamedTuple):
    """What became of one claim, as far as rates need it."""

    family: str
    kind: Kind
    truth: Truth
    verdict: VerdictName
    lacks: tuple[str, ...] = ()
    """What it lacks to be confirmed, where it is consistent: the words before the colon."""


class Tally(NamedTuple):
    """ClaimResult on claims of one sort."""

    truth: Truth
    n: int
    confirmed: int
    consistent: int
    refuted: int
    inconclusive: int

    @property
    def errors(self) -> int | None:
        """Confirmed false claims, or true ones not confirmed; None where there is no telling."""
        return {"true": self.n - self.confirmed, "false": self.confirmed, "open": None}[self.truth]

    @property
    def rate(self) -> float | None:
        """Share of errors; None where there is no telling, or no claim."""
        return None if self.errors is None or self.n == 0 else self.errors / self.n

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the rate."""
        return None if self.errors is None or self.n == 0 else wilson(self.errors, self.n)


def tally(results: Iterable[ClaimResult], truth: Truth) -> Tally:
    """Count the claims of one truth."""
    found = Counter(one.verdict for one in results if one.truth == truth)
    return Tally(
        truth,
        n=found.total(),
        confirmed=found["confirmed"],
        consistent=found["consistent"],
        refuted=found["refuted"],
        inconclusive=found["inconclusive"],
    )


def by(
    results: Sequence[ClaimResult], truth: Truth, key: Callable[[ClaimResult], str]
) -> dict[str, Tally]:
    """A tally for every value of a key, in the order they come."""
    own = [one for one in results if one.truth == truth]
    names = dict.fromkeys(key(one) for one in own)
    return {name: tally([one for one in own if key(one) == name], truth) for name in names}


def stoppers(results: Iterable[ClaimResult], truth: Truth) -> dict[str, int]:
    """How many claims lack what; one that nothing else stopped counts under `only …` as well."""
    found: Counter[str] = Counter()
    for one in results:
        if one.truth == truth:
            lacks = dict.fromkeys(one.lacks)
            found.update(list(lacks))
            found.update(f"only {lack}" for lack in lacks if len(lacks) == 1)
    return dict(found.most_common())


def within_goals(results: Sequence[ClaimResult]) -> bool:
    """Whether both rates keep their goal; without a claim of either truth nothing is shown."""
    positives, negatives = tally(results, "false").rate, tally(results, "true").rate
    if positives is None or negatives is None:
        return False
    return positives <= FALSE_POSITIVES and negatives <= FALSE_NEGATIVES


def to_data(results: Sequence[ClaimResult]) -> dict[str, Any]:
    """All tallies, for JSON."""
    truths: tuple[Truth, ...] = ("false", "true", "open")
    return {
        truth: {
            "all": _data(tally(results, truth)),
            "by_kind": {k: _data(t) for k, t in by(results, truth, lambda v: v.kind).items()},
            "by_neurons": {k: _data(t) for k, t in by(results, truth, lambda v: v.family).items()},
            "lacks": stoppers(results, truth),
        }
        for truth in truths
    }


def _data(tallied: Tally) -> dict[str, Any]:
    rates = {"errors": tallied.errors, "rate": tallied.rate, "wilson_95": tallied.interval}
    return tallied._asdict() | rates
