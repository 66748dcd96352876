"""Which claims are made of attention heads, and what each can come to.

Movers carry every value of a fact. So taking them away, or their look, says nothing of one value:
the same rule finds them on wrong donors, and such a claim is *consistent* at best, as one about a
graph is.
"""

from __future__ import annotations

from tracer.cli.selftest.family import Family, Kind
from tracer.cli.selftest.world import CircuitPath

_PATH: CircuitPath = "two_hop"
_TAKEN: tuple[Kind, ...] = ("ablation", "knockout")
_ANY: tuple[Kind, ...] = ("swap", "ablation", "knockout")
_MOVED: tuple[Kind, ...] = ("swap", "dose", "shift")
_TRUE = (
    Family(
        "movers, by rule",
        _PATH,
        "values",
        "answer",
        ("swap", "size", "dose", "shift"),
        "true",
        "given",
        unit="heads",
    ),
    Family(
        "movers, taken away", _PATH, "values", "answer", _TAKEN, "true",
        unit="heads", best="consistent",
    ),
    Family("askers of a look", _PATH, "asker", "activation", ("look",), "true"),
    Family("what movers carry", _PATH, "values", "activation", ("carrier",), "true"),
    Family("edge by movers", _PATH, "value", "id", ("carried",), "true", best="consistent"),
    Family("askers and marks", _PATH, "asker", "id", ("because",), "true", best="consistent"),
)  # fmt: skip
_DECOYS = (
    Family("lookers", _PATH, "looker", "id", _ANY, unit="heads", best="consistent"),
    Family("other movers", _PATH, "other mover", "id", _ANY, unit="heads", best="consistent"),
    Family("random heads", _PATH, "random", "id", _ANY, unit="heads", best="consistent"),
    Family(
        "one head of 16", _PATH, "mover", "id", ("ablation",),
        unit="heads", best="consistent", alone=True,
    ),
)  # fmt: skip
_MISUSED = (
    Family("heads, wrong labels", _PATH, "wrong labels", "answer", ("swap",), "false", "given",
           unit="heads"),
    Family("heads, wrong answer", _PATH, "values", "answer", ("swap",), "false", "given",
           unit="heads", wrong_answer=True),
    Family("heads at another word", _PATH, "values", "answer", ("swap",), "false", "given",
           unit="heads", elsewhere=True),
    Family("look at another word", _PATH, "values", "answer", ("knockout",),
           unit="heads", elsewhere=True, best="consistent"),
    Family("heads, too much", _PATH, "values", "answer", ("size",), "false", "given",
           unit="heads", too_much=True),
)  # fmt: skip
_CIRCULAR = (
    Family("heads, wrong donors", _PATH, "wrong donors", "answer", _MOVED, "false", "given",
           unit="heads"),
    Family("heads, circular", _PATH, "wrong donors", "answer", ("shift",), unit="heads"),
    Family("heads that say it", "memory", "values", "answer", ("swap", "shift"), "false", "given",
           unit="heads"),
)  # fmt: skip
_EMPTY = (
    Family("heads, vacuous", _PATH, "values", "answer", ("rank", "nothing"), unit="heads"),
    Family("heads, twins", _PATH, "values", "answer", ("swap", "dose"), "false", "given",
           unit="heads", twins=True),
    Family("heads, whole layers", _PATH, "values", "answer", ("swap",), "false", "given",
           unit="heads", part=1),
    Family("heads, large sets", _PATH, "values", "answer", ("shift",), "false", "given",
           unit="heads", part=0.28),
)  # fmt: skip
_READ = (
    Family("look of other heads", _PATH, "asker", "activation", ("look",), of_heads="other mover"),
    Family("look of random heads", _PATH, "asker", "activation", ("look",), of_heads="random"),
    Family("look by values", _PATH, "values", "activation", ("look",)),
    Family("look by random neurons", _PATH, "random", "id", ("look",), best="consistent"),
    Family("not what they carry", _PATH, "dead end", "id", ("carrier",), best="consistent"),
    Family("not what they carry", _PATH, "wrong labels", "activation", ("carrier",)),
    Family("edge by lookers", _PATH, "value", "id", ("carried",), of_heads="looker",
           best="consistent"),
    Family("edge by random heads", _PATH, "value", "id", ("carried",), of_heads="random",
           best="consistent"),
    Family("edge of dead ends", _PATH, "dead end", "id", ("carried",), best="consistent"),
    Family("edge nothing reads", "shortcut", "value", "id", ("carried",), best="consistent"),
    Family("other reasons", _PATH, "random", "id", ("because",), best="consistent"),
    Family("reasons of other heads", _PATH, "asker", "id", ("because",), of_heads="random",
           best="consistent"),
)  # fmt: skip
HEAD_FAMILIES: tuple[Family, ...] = (*_TRUE, *_DECOYS, *_MISUSED, *_CIRCULAR, *_EMPTY, *_READ)
