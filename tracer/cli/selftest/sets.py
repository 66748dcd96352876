"""The supernodes of a claim, and the wrong donors that their rule is tried on, as a file has them.

`one` stands for the value that is to go, `other` for the one that is to come.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from tracer.cli.selftest.claims import Claim
from tracer.cli.selftest.family import Family
from tracer.cli.selftest.scenes import N_DISCOVERY, Group, Scene
from tracer.cli.selftest.weights import D_MLP, N_HEADS
from tracer.cli.selftest.world import HeadGroup

N_DONORS = 5
"""Cities of each wrong donor: ten pairs of them, so that one list may be as good by chance."""
_SIZES = (8, 12, 16)
_BLIND_SIZES = (24, 28, 32)
"""A rule that does not look at the output also keeps what nothing reads."""
_TOP_HEADS = 2
"""As many as there are movers: a third one that carries nothing costs power."""
ELSEWHERE = "_elsewhere"
"""Ends the name of a city's prompt that asks for the other fact."""
Data = dict[str, Any]


def supernodes(claim: Claim, scene: Scene, rng: random.Random) -> dict[str, Data]:
    """All supernodes of a claim."""
    nodes = _clamped(claim, scene, rng)
    if claim.kind in ("downstream", "fraction"):
        say = _toward_answer(scene, scene.one, scene.other) | {"at": "last", "top": 3}
        nodes = nodes | {"say": {"select": say}}
    if claim.kind == "carrier":
        say = _toward_answer(scene, scene.one, scene.other) | {"at": "last", "top": _TOP_HEADS}
        nodes = nodes | {"say": {"select": say | {"unit": "heads"}}}
    unused = unused_side(claim)
    return {name: node for name, node in nodes.items() if name != unused}


def unused_side(claim: Claim) -> str | None:
    """The side that a claim does not clamp, or name, if any.

    Heads that carry one value carry the other one in its place: to put that in is the whole swap.
    """
    is_swap = claim.kind in ("swap", "size", "dose", "shift")
    if claim.family.steered or (is_swap and claim.family.unit == "heads"):
        return "one"
    return None if is_swap or claim.kind in ("nothing", "because") else "other"


def _clamped(claim: Claim, scene: Scene, rng: random.Random) -> dict[str, Data]:
    """`one` and `other`."""
    family = claim.family
    match family.source:
        case "wrong labels":
            return _mislabelled(family, scene, _how(family, scene, rng), rng)
        case "wrong donors":
            how = _how(family, scene, rng)
            nodes = _by_rule(family, scene, how)
            return nodes | {"other": {"select": _third(family, scene) | how}}
        case "values" | "answers":
            return _by_rule(family, scene, _how(family, scene, rng))
        case "lens" if family.method == "activation":
            last = scene.n_layers - 1
            how = _how(family, scene, rng) | {"layers": [last, last]}
            return _by_rule(family, scene, how)
        case "asker" if family.method == "activation":
            return {"one": {"select": _askers(scene, rng)}}
        case source if claim.kind == "because":
            given = scene.groups["random" if source == "random" else "asker"].one
            marks = scene.groups["mark"].other
            own = scene.names(scene.discovery(scene.one))
            return {
                "one": {"features": list(given), "at": "last", "source": own},
                "other": {"features": list(marks), "at": "city", "source": own},
            }
        case source if family.unit == "heads":
            assert source in ("mover", "looker", "other mover", "random")
            return _heads_by_id(family, scene, source)
        case group:
            assert group not in ("mover", "looker", "other mover")
            return _by_id(scene, group, "last" if claim.kind == "look" else None)


def _how(family: Family, scene: Scene, rng: random.Random) -> Data:
    """The keys of a rule that do not name prompts.

    By activation, without the last layer where it is the city's: nothing carries on what that says.
    """
    is_blind, is_heads = family.method == "activation", family.unit == "heads"
    found: Data = {"by": "activation" if is_blind else rng.choice(("gradient", "half"))}
    if is_heads:
        found["unit"] = "heads"
    if family.part is not None:
        n_all = scene.n_layers * (N_HEADS if is_heads else D_MLP)
        return found | ({"share": 1.0} if family.part == 1 else {"top": int(family.part * n_all)})
    found["top"] = _TOP_HEADS if is_heads else rng.choice(_BLIND_SIZES if is_blind else _SIZES)
    if is_blind and family.source != "answers":
        found["layers"] = [0, scene.n_layers - 2]
    return found


def _place(family: Family) -> str:
    """Where a rule looks: heads carry to the sentence's end what neurons of the city wrote."""
    return "last" if family.source == "answers" or family.unit == "heads" else "city"


def _by_rule(family: Family, scene: Scene, how: Data) -> dict[str, Data]:
    nodes: dict[str, Data] = {}
    for name, (value, against) in _sides(scene).items():
        match family.method:
            case "activation":
                found = _unlike_all(scene, value, pooled=family.part is not None)
            case "difference":
                pair = [scene.answer(value), scene.answer(against)]
                found = _toward_answer(scene, value, against) | {"toward": {"logit_diff": pair}}
            case _:
                found = _toward_answer(scene, value, against)
        nodes[name] = {"select": found | {"at": _place(family)} | how}
    return nodes


def _askers(scene: Scene, rng: random.Random) -> Data:
    """A rule that does not look at the output: this fact asked for against the other one."""
    own = scene.names(scene.discovery(scene.one))
    against = [f"{name}{ELSEWHERE}" for name in own]
    layers = [0, scene.n_layers - 2]
    found: Data = {"on": own, "against": against, "at": "last", "by": "activation"}
    return found | {"top": rng.choice(_BLIND_SIZES), "layers": layers}


def _third(family: Family, scene: Scene) -> Data:
    """The other's set as found on the cities of a third value; by gradient, toward its answer."""
    at = _place(family)
    if family.method == "activation":
        return _unlike_all(scene, scene.rest[0]) | {"at": at}
    found: Data = {
        "on": scene.names(scene.discovery(scene.rest[0])),
        "at": at,
        "toward": {"token": scene.answer(scene.other)},
    }
    if family.donors == "hidden":
        return found
    return found | {"against": scene.names(scene.discovery(scene.one))}


def _unlike_all(scene: Scene, value: int, pooled: bool = False) -> Data:
    """A rule that does not look at the output: the cities of a value against each other value's."""
    others = [v for v in (scene.one, scene.other, *scene.rest) if v != value]
    each = [scene.names(scene.discovery(v)) for v in others]
    found: Data = {"on": scene.names(scene.discovery(value))}
    if pooled:
        return found | {"against": [name for group in each for name in group]}
    return found | {"against_each": each}


def _toward_answer(scene: Scene, on: int, against: int) -> Data:
    """A rule as anyone would write it: these cities against those, toward their answer."""
    mine, theirs = (scene.names(scene.discovery(value)) for value in (on, against))
    return {"on": mine, "against": theirs}


def _mislabelled(family: Family, scene: Scene, how: Data, rng: random.Random) -> dict[str, Data]:
    """Found on cities of neither value: what they have in common is of other values."""
    pool = scene.names([city for value in scene.rest for city in scene.discovery(value)])
    nodes: dict[str, Data] = {}
    for name in _sides(scene):
        dealt = rng.sample(pool, 2 * N_DISCOVERY)
        on, against = dealt[:N_DISCOVERY], dealt[N_DISCOVERY:]
        nodes[name] = {"select": {"on": on, "against": against, "at": _place(family), **how}}
    return nodes


def _by_id(scene: Scene, group: Group, at: str | None) -> dict[str, Data]:
    place = at or ("last" if group == "answer" else "city")
    return {
        name: {"features": list(ids), "at": place, "source": scene.names(scene.discovery(value))}
        for (name, (value, _)), ids in zip(_sides(scene).items(), scene.groups[group], strict=True)
    }


def _heads_by_id(family: Family, scene: Scene, group: HeadGroup) -> dict[str, Data]:
    """The same heads on both sides: they carry either value."""
    heads = list(scene.heads[group])[: 1 if family.alone else None]
    return {
        name: {"heads": heads, "at": "last", "source": scene.names(scene.discovery(value))}
        for name, (value, _) in _sides(scene).items()
    }


def _sides(scene: Scene) -> dict[str, tuple[int, int]]:
    """The supernodes' names, each with its own value and the one it is told from."""
    return {"one": (scene.one, scene.other), "other": (scene.other, scene.one)}


def donors(family: Family, scene: Scene) -> list[str]:
    """Wrong donors, as an author would name them: the cities of all values that are left.

    Of a rule for a third value's cities, the true donor's are among them; whoever hides it has the
    recipients' own value in its place.
    """
    if family.donors == "none":
        return []
    values: Sequence[int] = scene.rest
    if family.source == "wrong donors":
        values = (*scene.rest[1:], scene.one if family.donors == "hidden" else scene.other)
    return scene.names(list(_donors(scene, values)))


def _donors(scene: Scene, values: Sequence[int]) -> Iterator[int]:
    for value in values:
        own = (*scene.discovery(value), *scene.held_out(value))
        yield from scene.discovery(value) if value == scene.one else own[:N_DONORS]
