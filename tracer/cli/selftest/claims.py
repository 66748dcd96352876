"""Which claims are made of a planted model, and whether each is true.

A claim is what is stated (`Kind`) of which neurons or heads (`Family`), true or false by
construction. Of what a *false* claim states, at least one part is false, could not have failed, or
is what any set chosen so would do: it must not be confirmed. Where something may be true of the
behaviour though no circuit was planted for it (a set that a rule chose for its effect has it), the
claim is `open`: reported, not counted.

So is what names the value neurons by their ids: it is true, and can never be confirmed, since a
file does not show how its author came by a list of features.

Some of what is stated of heads is never more than *consistent*: what they lose or no longer see is
lost for every value, so no wrong donors do less, and a graph is no intervention (`Family.best`).
There a false claim must not come out consistent either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tracer.cli.selftest.family import Family, Kind
from tracer.cli.selftest.head_claims import HEAD_FAMILIES
from tracer.cli.selftest.world import CircuitPath

KINDS: tuple[Kind, ...] = ("ablation", "swap", "downstream", "size", "dose", "shift")
_STRICT: tuple[Kind, ...] = ("ablation", "swap", "downstream")
"""False of any neurons but those that carry the value."""
_BOTH: tuple[Kind, ...] = ("ablation", "swap")
_VACUOUS: tuple[Kind, ...] = ("top", "rank", "probability", "fraction", "nothing")
_PATH: CircuitPath = "two_hop"
_TRUE = (
    Family("values, by rule", _PATH, "values", "answer", KINDS, "true", "given"),
    Family("values, by rule, difference", _PATH, "values", "difference", KINDS, "true", "given"),
    Family("values, by activation", _PATH, "values", "activation", KINDS, "true", "given"),
    Family("values, by id", _PATH, "value", "id", _BOTH, "open"),
)
_DECOYS = (
    Family("dead ends", _PATH, "dead end", "id", _BOTH),
    Family("lenses", _PATH, "lens", "activation", ("swap", "shift"), donors="given"),
    Family("another concept", _PATH, "another concept", "id", ("swap",)),
    Family("random neurons", _PATH, "random", "id", _BOTH),
)
_MISUSED = (
    Family("wrong labels", _PATH, "wrong labels", "answer", _BOTH, donors="given"),
    Family("wrong labels", _PATH, "wrong labels", "activation", _BOTH, donors="given"),
    Family("at another word", _PATH, "values", "answer", ("swap",), donors="given", elsewhere=True),
    Family(
        "at another word", _PATH, "values", "activation", _STRICT, donors="given", elsewhere=True
    ),
    Family("wrong answer", _PATH, "values", "answer", ("swap",), donors="given", wrong_answer=True),
    Family(
        "wrong answer", _PATH, "values", "activation", ("swap",), donors="given", wrong_answer=True
    ),
    Family("too much", _PATH, "values", "activation", ("size",), donors="given", too_much=True),
)
_MOVED: tuple[Kind, ...] = ("swap", "dose", "shift")
"""What any set may do that takes the recipient's answer away."""
_CIRCULAR = (
    Family("wrong donors", _PATH, "wrong donors", "answer", _MOVED, donors="given"),
    Family("wrong donors", _PATH, "wrong donors", "activation", _MOVED, donors="given"),
    Family("wrong donors, circular", _PATH, "wrong donors", "answer", ("shift",)),
    Family("wrong donors, unasked", _PATH, "wrong donors", "activation", ("dose", "shift")),
    Family("wrong donors, hidden", _PATH, "wrong donors", "answer", ("shift",), "open", "hidden"),
    Family(
        "says the answer",
        _PATH,
        "answers",
        "answer",
        ("swap", "shift"),
        "false",
        "given",
        steered=True,
    ),
    Family("says it, circular", _PATH, "answers", "answer", ("dose",), steered=True),
    Family(
        "says it, by activation",
        _PATH,
        "answers",
        "activation",
        ("swap", "size", "shift"),
        donors="given",
        steered=True,
    ),
    Family("says it, by id", _PATH, "answer", "id", ("swap",), steered=True),
)
_EMPTY = (
    Family("vacuous", _PATH, "wrong labels", "activation", _VACUOUS),
    Family("vacuous in part", _PATH, "values", "activation", ("rank", "probability")),
    Family(
        "twins",
        _PATH,
        "values",
        "activation",
        ("ablation", "swap", "dose"),
        donors="given",
        twins=True,
    ),
    Family("whole layers", _PATH, "values", "answer", ("swap",), donors="given", part=1),
    Family("whole layers", _PATH, "values", "activation", ("swap",), donors="given", part=1),
    Family("large sets", _PATH, "values", "activation", ("ablation", "downstream"), part=0.28),
)
_SHORTCUT = (
    Family("values nothing reads", "shortcut", "value", "id", _BOTH),
    Family("shortcut", "shortcut", "values", "answer", ("ablation", "downstream"), donors="given"),
    Family("shortcut", "shortcut", "values", "activation", ("ablation",)),
    Family("shortcut, moved", "shortcut", "values", "answer", ("swap", "shift"), "open", "given"),
)
_MEMORY = (
    Family("random neurons", "memory", "random", "id", _BOTH),
    Family("no circuit", "memory", "values", "answer", (*_STRICT, "size"), donors="given"),
    Family("no circuit, circular", "memory", "values", "answer", ("swap", "size")),
    Family("no circuit", "memory", "values", "activation", (*_STRICT, "size"), donors="given"),
    Family("no circuit, moved", "memory", "values", "answer", ("dose", "shift"), "open", "given"),
    Family("no circuit, moved", "memory", "values", "activation", ("shift",), "open", "given"),
)
FAMILIES: tuple[Family, ...] = (
    *_TRUE, *_DECOYS, *_MISUSED, *_CIRCULAR, *_EMPTY, *_SHORTCUT, *_MEMORY, *HEAD_FAMILIES,
)  # fmt: skip


class Claim(NamedTuple):
    """One statement about one way to name neurons."""

    family: Family
    kind: Kind

    @property
    def is_of_heads(self) -> bool:
        """Whether heads are clamped, or told of."""
        return self.family in HEAD_FAMILIES

    @property
    def name(self) -> str:
        """A name for its hypothesis."""
        family = self.family
        words = f"{family.name} by {family.method} {family.truth} {self.kind}"
        return words.replace(",", "").replace(" ", "_")


def claims_about(path: CircuitPath) -> Iterator[Claim]:
    """Every claim that is made of a model of this path."""
    for family in FAMILIES:
        if family.path == path:
            for kind in family.kinds:
                yield Claim(family, kind)
