"""What a claim of the self-test states, of which neurons or heads, and what it can come to."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tracer.cli.selftest.world import CircuitPath, HeadGroup
from tracer.record.verdict import VerdictName

Kind = Literal[
    "ablation", "swap", "downstream", "size", "dose", "shift",
    "top", "rank", "probability", "fraction", "nothing",
    "knockout", "look", "carrier", "carried", "because",
]  # fmt: skip
"""What is stated. Of the first six, each time that matched random sets do it less:

- ablation: without *one*, its answer is not first any more;
- swap: with *one* off and *other* on, the other's answer comes first;
- downstream: without *one*, the neurons that say its answer fall below half;
- size: the swap moves the logit difference by more than a number;
- dose: the other's answer rises with the dose of *other*;
- shift: the swap moves the logit difference at all.

Of the others, what holds unclamped as well:

- top, rank, probability, fraction: without *one*, its answer is first, or among the first 50, the
  other's answer has a probability above 0, the neurons that say the answer stay above half;
- nothing: with both set to what they are on the prompt, the answer is first.

Of heads alone, besides what comes of clamping them as neurons are:

- knockout: where *one* cannot look from the end at the city, its answer is not first;
- look: without *one*, a head no longer looks from the end at the city;
- carrier: without *one*, what the heads carry that say its answer falls below half;
- carried: more than half of the edge from *one* to the answer passes some heads;
- because: a part of why a head looks at the city is *one* at the end and *other* there.
"""
Truth = Literal["true", "false", "open"]
Source = Literal[
    "values", "answers", "wrong labels", "wrong donors",
    "value", "dead end", "lens", "another concept", "random", "answer", "asker", "mark",
    "mover", "looker", "other mover",
]  # fmt: skip
"""Where the neurons come from. Found by a rule on cities: those of the two values (at the city, or
at the end of the sentence), of no value, or of a third one. By id, from the construction: the rest.
"""
Method = Literal["answer", "difference", "activation", "id"]
"""How: toward the answer, toward a difference of answers, without looking at them, or by id."""
Donors = Literal["none", "given", "hidden"]
"""Wrong donors for a comparison with the same rule: none, and no such comparison; those that an
author would name; or, of `wrong donors`, all but the one that would show what is wrong."""
DOSES = (0, 0.25, 0.5, 0.75, 1)
QUIET = 0.5
"""Share of their activation that silenced answer neurons fall below."""
LEAST_LOOK = 0.3
"""Weight that a head takes from the city where nothing asks for it any more."""


class Family(NamedTuple):
    """A way to name neurons in models of one path, and what is made of it."""

    name: str
    path: CircuitPath
    source: Source
    method: Method
    kinds: tuple[Kind, ...]
    truth: Truth = "false"
    donors: Donors = "none"
    elsewhere: bool = False
    """Clamped at the word that names the relation, not at the city."""
    wrong_answer: bool = False
    """A third value's answer is expected."""
    too_much: bool = False
    """A size is expected that no city reaches."""
    steered: bool = False
    """The other's set is put in three times as strong, and nothing is taken away."""
    twins: bool = False
    """The held-out prompts are one text under five names."""
    part: float | None = None
    """The share of all features, or heads, that are taken; None for a small set."""
    unit: Literal["features", "heads"] = "features"
    best: VerdictName = "confirmed"
    """What a claim can come to, if it is true."""
    of_heads: HeadGroup = "mover"
    """Whose look, or whose part of an edge, is told of, where neurons are named."""
    alone: bool = False
    """A single head."""
