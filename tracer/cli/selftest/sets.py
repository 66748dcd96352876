"""The supernodes of a claim, and the wrong donors that their rule is tried on, as a file has them.

`one` stands for the value that is to go, `other` for the one that is to come.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from tracer.cli.selftest.claims import Claim, Family
from tracer.cli.selftest.scenes import N_DISCOVERY, Group, Scene
from tracer.cli.selftest.weights import D_MLP

N_DONORS = 5
"""Cities of each wrong donor: ten pairs of them, so that one list may be as good by chance."""
_SIZES = (8, 12, 16)
_BLIND_SIZES = (24, 28, 32)
"""A rule that does not look at the output also keeps what nothing reads."""
Data = dict[str, Any]


def supernodes(claim: Claim, scene: Scene, rng: random.Random) -> dict[str, Data]:
    """All supernodes of a claim."""
    nodes = _clamped(claim.family, scene, rng)
    if claim.kind in ("downstream", "fraction"):
        say = _toward_answer(scene, scene.one, scene.other) | {"at": "last", "top": 3}
        nodes = nodes | {"say": {"select": say}}
    unused = unused_side(claim)
    return {name: node for name, node in nodes.items() if name != unused}


def unused_side(claim: Claim) -> str | None:
    """The side that a claim does not clamp, if any."""
    if claim.family.steered:
        return "one"
    return None if claim.kind in ("swap", "size", "dose", "shift", "nothing") else "other"


def _clamped(family: Family, scene: Scene, rng: random.Random) -> dict[str, Data]:
    """`one` and `other`."""
    match family.source:
        case "wrong labels":
            return _mislabelled(scene, _how(family, scene, rng), rng)
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
        case group:
            return _by_id(scene, group)


def _how(family: Family, scene: Scene, rng: random.Random) -> Data:
    """The keys of a rule that do not name prompts.

    By activation, without the last layer where it is the city's: nothing carries on what that says.
    """
    is_blind = family.method == "activation"
    found: Data = {"by": "activation" if is_blind else rng.choice(("gradient", "half"))}
    if family.part is not None:
        n_all = scene.n_layers * D_MLP
        return found | ({"share": 1.0} if family.part == 1 else {"top": int(family.part * n_all)})
    found["top"] = rng.choice(_BLIND_SIZES if is_blind else _SIZES)
    if is_blind and family.source != "answers":
        found["layers"] = [0, scene.n_layers - 2]
    return found


def _by_rule(family: Family, scene: Scene, how: Data) -> dict[str, Data]:
    at = "last" if family.source == "answers" else "city"
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
        nodes[name] = {"select": found | {"at": at} | how}
    return nodes


def _third(family: Family, scene: Scene) -> Data:
    """The other's set as found on the cities of a third value; by gradient, toward its answer."""
    if family.method == "activation":
        return _unlike_all(scene, scene.rest[0]) | {"at": "city"}
    found: Data = {
        "on": scene.names(scene.discovery(scene.rest[0])),
        "at": "city",
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


def _mislabelled(scene: Scene, how: Data, rng: random.Random) -> dict[str, Data]:
    """Found on cities of neither value: what they have in common is of other values."""
    pool = scene.names([city for value in scene.rest for city in scene.discovery(value)])
    nodes: dict[str, Data] = {}
    for name in _sides(scene):
        dealt = rng.sample(pool, 2 * N_DISCOVERY)
        on, against = dealt[:N_DISCOVERY], dealt[N_DISCOVERY:]
        nodes[name] = {"select": {"on": on, "against": against, "at": "city", **how}}
    return nodes


def _by_id(scene: Scene, group: Group) -> dict[str, Data]:
    at = "last" if group == "answer" else "city"
    return {
        name: {"features": list(ids), "at": at, "source": scene.names(scene.discovery(value))}
        for (name, (value, _)), ids in zip(_sides(scene).items(), scene.groups[group], strict=True)
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
