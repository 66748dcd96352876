"""From verdicts on claims to error rates: false ones confirmed, and true ones not confirmed."""

from __future__ import annotations

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
    uncontrolled: VerdictName


class Tally(NamedTuple):
    """ClaimResult on claims of one sort."""

    truth: Truth
    n: int
    confirmed: int
    refuted: int
    inconclusive: int
    stopped: int
    """False claims that are confirmed but for their comparison with controls."""

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


def tally(verdicts: Iterable[ClaimResult], truth: Truth) -> Tally:
    """Count the claims of one truth."""
    own = [one for one in verdicts if one.truth == truth]
    return Tally(
        truth,
        n=len(own),
        confirmed=sum(one.verdict == "confirmed" for one in own),
        refuted=sum(one.verdict == "refuted" for one in own),
        inconclusive=sum(one.verdict == "inconclusive" for one in own),
        stopped=sum(one.uncontrolled == "confirmed" != one.verdict for one in own),
    )


def by(
    verdicts: Sequence[ClaimResult], truth: Truth, key: Callable[[ClaimResult], str]
) -> dict[str, Tally]:
    """A tally for every value of a key, in the order they come."""
    own = [one for one in verdicts if one.truth == truth]
    names = dict.fromkeys(key(one) for one in own)
    return {name: tally([one for one in own if key(one) == name], truth) for name in names}


def within_goals(verdicts: Sequence[ClaimResult]) -> bool:
    """Whether both rates keep their goal; without a claim of either truth nothing is shown."""
    positives, negatives = tally(verdicts, "false").rate, tally(verdicts, "true").rate
    if positives is None or negatives is None:
        return False
    return positives <= FALSE_POSITIVES and negatives <= FALSE_NEGATIVES


def to_data(verdicts: Sequence[ClaimResult]) -> dict[str, Any]:
    """All tallies, for JSON."""
    truths: tuple[Truth, ...] = ("false", "true", "open")
    return {
        truth: {
            "all": _data(tally(verdicts, truth)),
            "by_kind": {k: _data(t) for k, t in by(verdicts, truth, lambda v: v.kind).items()},
            "by_neurons": {k: _data(t) for k, t in by(verdicts, truth, lambda v: v.family).items()},
        }
        for truth in truths
    }


def _data(tallied: Tally) -> dict[str, Any]:
    rates = {"errors": tallied.errors, "rate": tallied.rate, "wilson_95": tallied.interval}
    return tallied._asdict() | rates
