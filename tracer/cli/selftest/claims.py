"""Which claims are made of a planted model, whether each is true, and the error rates of verdicts.

A claim is what is stated (`Kind`) of which neurons (`Family`), true or false by the model's
construction. Of what a *false* claim states, at least one part is false. Where something may be
true of the behaviour though no circuit was planted for it (a set that a rule chose for its effect
has it), the claim is `open`: reported, not counted. The rates are of false claims confirmed, and of
true ones not confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from tracer.cli.selftest.world import CircuitPath
from tracer.evidence.statistics import wilson
from tracer.record.verdict import VerdictName

Kind = Literal["ablation", "swap", "downstream", "size", "dose", "shift"]
"""What is stated, and each time that matched random sets do it less:

- ablation: without *one*, its answer is not first any more;
- swap: with *one* off and *other* on, the other's answer comes first;
- downstream: without *one*, the neurons that say its answer fall below half;
- size: the swap moves the logit difference by more than a number;
- dose: the other's answer rises with the dose of *other*;
- shift: the swap moves the logit difference at all.
"""
Truth = Literal["true", "false", "open"]
Source = Literal[
    "rule", "rule, difference", "wrong labels",
    "value", "dead end", "lens", "another concept", "random",
]  # fmt: skip
"""Where the neurons come from: tracer's own selection rules, or the construction, by id."""
DOSES = (0, 0.25, 0.5, 0.75, 1)
QUIET = 0.5
"""Share of their activation that silenced answer neurons fall below."""
FALSE_POSITIVES, FALSE_NEGATIVES = 0.01, 0.10
"""The goals: rates that are not to be passed."""


class Family(NamedTuple):
    """A way to name neurons in models of one path, and what is made of it."""

    name: str
    path: CircuitPath
    source: Source
    kinds: tuple[Kind, ...]
    truth: Truth = "false"
    elsewhere: bool = False
    """Clamped at the word that names the relation, not at the city."""
    wrong_answer: bool = False
    """A third value's answer is expected."""
    too_much: bool = False
    """A size is expected that no city reaches."""


KINDS: tuple[Kind, ...] = ("ablation", "swap", "downstream", "size", "dose", "shift")
_STRICT: tuple[Kind, ...] = ("ablation", "swap", "downstream")
"""False of any neurons but those that carry the value."""
FAMILIES: tuple[Family, ...] = (
    Family("values, by rule", "two_hop", "rule", KINDS, "true"),
    Family("values, by rule, difference", "two_hop", "rule, difference", KINDS, "true"),
    Family("values, by id", "two_hop", "value", KINDS, "true"),
    Family("dead ends", "two_hop", "dead end", KINDS),
    Family("lenses", "two_hop", "lens", ("swap", "dose", "shift")),
    Family("another concept", "two_hop", "another concept", KINDS),
    Family("random neurons", "two_hop", "random", KINDS),
    Family("found on wrong labels", "two_hop", "wrong labels", _STRICT),
    Family("at another word", "two_hop", "rule", _STRICT, elsewhere=True),
    Family("wrong answer expected", "two_hop", "rule", ("swap",), wrong_answer=True),
    Family("too much expected", "two_hop", "rule", ("size",), too_much=True),
    Family("values nothing reads", "shortcut", "value", KINDS),
    Family("random neurons", "shortcut", "random", KINDS),
    Family("shortcut, by rule", "shortcut", "rule", ("ablation", "downstream")),
    Family("shortcut, by rule", "shortcut", "rule", ("swap", "size", "dose", "shift"), "open"),
    Family("random neurons", "memory", "random", KINDS),
    Family("no circuit, by rule", "memory", "rule", (*_STRICT, "size")),
    Family("no circuit, by rule", "memory", "rule", ("dose", "shift"), "open"),
)


class Claim(NamedTuple):
    """One statement about one way to name neurons."""

    family: Family
    kind: Kind

    @property
    def name(self) -> str:
        """A name for its hypothesis."""
        words = f"{self.family.name} {self.family.truth} {self.kind}".replace(",", "")
        return words.replace(" ", "_")


def claims_about(path: CircuitPath) -> Iterator[Claim]:
    """Every claim that is made of a model of this path."""
    for family in FAMILIES:
        if family.path == path:
            for kind in family.kinds:
                yield Claim(family, kind)


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
