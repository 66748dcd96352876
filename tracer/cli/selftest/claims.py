"""Which claims are made of a planted model, and whether each is true by its construction.

A claim is what is stated (`Kind`) of which neurons (`Family`). Of what a *false* claim states, at
least one part is false. Where something may be true of the behaviour though no circuit was planted
for it (a set that a rule chose for its effect has it), the claim is `open`: reported, not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tracer.cli.selftest.world import CircuitPath

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
