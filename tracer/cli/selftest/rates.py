"""The error rates of verdicts on claims whose truth is known.

The rates are of false claims confirmed, and of true ones not confirmed; where a claim of its kind
is consistent at best, of those that come out so. A false claim of which all
that it expects held is *consistent*, where it lacks the evidence to be called confirmed; by what it
lacks is told what stopped it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tracer.cli.documents.selftest import TallyFacts, TruthRates, UnitRates
from tracer.cli.selftest.family import Kind, Truth
from tracer.hypothesis.binomial import at_least, at_most
from tracer.record.verdict import VerdictName

FALSE_POSITIVES, FALSE_NEGATIVES = 0.01, 0.10
"""The goals: rates that are not to be passed, of features and of heads."""
_TAIL = 0.025
_HALVINGS = 40


class ClaimResult(NamedTuple):
    """What became of one claim, as far as rates need it."""

    family: str
    kind: Kind
    truth: Truth
    verdict: VerdictName
    lacks: tuple[str, ...] = ()
    """What it lacks to be confirmed, where it is consistent: the words before the colon."""
    is_of_heads: bool = False
    best: VerdictName = "confirmed"
    """What such a claim comes to, where it is true."""

    @property
    def is_upheld(self) -> bool:
        """Whether it came to the best that it can."""
        return self.verdict in ("confirmed", self.best)


class Tally(NamedTuple):
    """ClaimResult on claims of one sort."""

    truth: Truth
    n: int
    confirmed: int
    consistent: int
    refuted: int
    inconclusive: int
    upheld: int

    @property
    def errors(self) -> int | None:
        """False claims upheld, or true ones that are not; None where there is no telling."""
        return {"true": self.n - self.upheld, "false": self.upheld, "open": None}[self.truth]

    @property
    def rate(self) -> float | None:
        """Share of errors; None where there is no telling, or no claim."""
        return None if self.errors is None or self.n == 0 else self.errors / self.n

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the rate."""
        return None if self.errors is None or self.n == 0 else clopper_pearson(self.errors, self.n)


def tally(results: Iterable[ClaimResult], truth: Truth) -> Tally:
    """Count the claims of one truth."""
    own = [one for one in results if one.truth == truth]
    found = Counter(one.verdict for one in own)
    return Tally(
        truth,
        n=found.total(),
        confirmed=found["confirmed"],
        consistent=found["consistent"],
        refuted=found["refuted"],
        inconclusive=found["inconclusive"],
        upheld=sum(one.is_upheld for one in own),
    )


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion by exact binomial tails (Clopper & Pearson 1934)."""

    def limit(is_below: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if is_below(middle) else (low, middle)
        return low

    return (
        0.0 if k == 0 else limit(lambda q: at_least(k, n, q) < _TAIL),
        1.0 if k == n else limit(lambda q: at_most(k, n, q) > _TAIL),
    )


def of_unit(results: Iterable[ClaimResult], *, heads: bool) -> list[ClaimResult]:
    """Those of heads, or those of features alone."""
    return [one for one in results if one.is_of_heads == heads]


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
    return all(_is_within(of_unit(results, heads=heads)) for heads in (False, True))


def _is_within(results: Sequence[ClaimResult]) -> bool:
    positives, negatives = tally(results, "false").rate, tally(results, "true").rate
    if positives is None or negatives is None:
        return False
    return positives <= FALSE_POSITIVES and negatives <= FALSE_NEGATIVES


def unit_rates(results: Sequence[ClaimResult], *, heads: bool) -> UnitRates:
    """All tallies of heads, or of features, for programs."""
    own = of_unit(results, heads=heads)
    return UnitRates(false=_rates(own, "false"), true=_rates(own, "true"), open=_rates(own, "open"))


def _rates(results: Sequence[ClaimResult], truth: Truth) -> TruthRates:
    copied = TallyFacts.model_validate
    return TruthRates(
        all=copied(tally(results, truth)),
        by_kind={kind: copied(each) for kind, each in by(results, truth, lambda v: v.kind).items()},
        by_family={
            family: copied(each) for family, each in by(results, truth, lambda v: v.family).items()
        },
        lacks=stoppers(results, truth),
    )
