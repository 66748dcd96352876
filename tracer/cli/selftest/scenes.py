"""Scenes: two values of a fact in a planted model, which claims are about, without a tensor.

A scene is used only where brute force shows that the planted circuit works on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tracer.cli.selftest import oracle
from tracer.cli.selftest.oracle import HeadSwap, Swap
from tracer.cli.selftest.planted import Planted, build
from tracer.cli.selftest.weights import N_HEADS
from tracer.cli.selftest.world import (
    N_CITIES,
    N_VALUES,
    CircuitPath,
    HeadGroup,
    HeadPart,
    HeadRole,
    Relation,
    Role,
    make_plan,
)

N_DISCOVERY = 2
"""Cities of a value that supernodes are found on; the others are held out."""

Group = Literal["value", "dead end", "lens", "answer", "another concept", "random", "asker", "mark"]
"""Neurons that a claim may name by their ids; askers and marks are the same for both values."""


class Sides(NamedTuple):
    """Feature ids for the value that is to go and for the one that is to come."""

    one: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A fact in a model, and two of its values; `rest` are the others."""

    folder: str
    path: CircuitPath
    relation: Relation
    elsewhere: Relation
    """The other fact of the same cities."""
    cities: tuple[str, ...]
    order: tuple[int, ...]
    """All cities, shuffled: the first of a value are for discovery."""
    n_layers: int
    one: int
    other: int
    rest: tuple[int, ...]
    groups: Mapping[Group, Sides]
    heads: Mapping[HeadGroup, tuple[str, ...]]
    """Ids, as many of each group as there are movers."""
    gap: float
    """Least logit(one's answer) − logit(other's) on a city of one: a swap closes it, or is none."""
    largest_rise: float
    """Largest rise of logit(other's) − logit(one's) that the planted swap makes on a city."""
    largest_rise_by_heads: float
    """The same, by what the movers carry."""
    seed: int

    def discovery(self, value: int) -> list[int]:
        """Cities of a value that supernodes are found on."""
        return self._cities(value)[:N_DISCOVERY]

    def held_out(self, value: int) -> list[int]:
        """The others."""
        return self._cities(value)[N_DISCOVERY:]

    def _cities(self, value: int) -> list[int]:
        return [city for city in self.order if self.relation.value_of[city] == value]

    def answer(self, value: int) -> str:
        """The token of a value's answer."""
        return f" {self.relation.answers[value]}"

    def names(self, cities: Sequence[int]) -> list[str]:
        """What prompts about cities are called in a file."""
        return [self.cities[city].lower() for city in cities]


CLAIMED = 0
"""The relation that claims are about."""
_PATHS: tuple[CircuitPath, ...] = ("two_hop", "shortcut", "two_hop", "memory", "two_hop")


class _Found(NamedTuple):
    planted: Planted
    one: int
    other: int
    swap: Swap | None
    head_swap: HeadSwap | None


def paths(n: int) -> list[CircuitPath]:
    """What the first n models are: of five, three go two hops."""
    return [_PATHS[number % len(_PATHS)] for number in range(n)]


def make_scenes(seed: int, n: int, folder: Path) -> Iterator[tuple[Planted, Scene]]:
    """Models one after the other, each saved in a folder of its own.

    A model that brute force finds no sound pair of values in is drawn again.
    """
    rng = random.Random(f"scenes {seed}")
    for number, path in enumerate(paths(n)):
        found = None
        while found is None:
            plan = make_plan(rng.randrange(2**31), path)
            found = _sound(build(plan), rng)
        home = folder / f"model_{number}"
        found.planted.save(home)
        yield found.planted, _scene(found, home, rng)


def _sound(planted: Planted, rng: random.Random) -> _Found | None:
    """A pair of values whose cities are all answered, and all swapped where there is a circuit."""
    answered = oracle.answered(planted, CLAIMED)
    pairs = [(one, other) for one in answered for other in answered if one != other]
    rng.shuffle(pairs)
    for one, other in pairs:
        if planted.plan.wirings[CLAIMED].path != "two_hop":
            return _Found(planted, one, other, None, None)
        swap = oracle.swap(planted, CLAIMED, "value", one, other)
        if oracle.does_swap(planted, CLAIMED, swap, one, other):
            by_heads = oracle.head_swap(planted, CLAIMED, one, other)
            if oracle.does_carry(planted, CLAIMED, by_heads, one, other):
                return _Found(planted, one, other, swap, by_heads)
    return None


def _scene(found: _Found, home: Path, rng: random.Random) -> Scene:
    planted, one, other, swap, by_heads = found
    order = tuple(rng.sample(range(N_CITIES), N_CITIES))
    rest = [value for value in range(N_VALUES) if value not in (one, other)]
    return Scene(
        folder=str(home),
        path=planted.plan.wirings[CLAIMED].path,
        relation=planted.plan.world.relations[CLAIMED],
        elsewhere=planted.plan.world.relations[1 - CLAIMED],
        cities=planted.plan.world.cities,
        order=order,
        n_layers=planted.plan.n_layers,
        one=one,
        other=other,
        rest=tuple(rng.sample(rest, len(rest))),
        groups=dict(_groups(planted, one, other, order, rng)),
        heads=_heads(planted, rng),
        gap=oracle.gap(planted, CLAIMED, one, other),
        largest_rise=float("inf") if swap is None else float(swap.rise.max()),
        largest_rise_by_heads=float("inf") if by_heads is None else float(by_heads.rise.max()),
        seed=rng.randrange(2**31),
    )


def _groups(
    planted: Planted, one: int, other: int, order: tuple[int, ...], rng: random.Random
) -> Iterator[tuple[Group, Sides]]:
    """Neurons of the construction by id, as far as the model has them."""
    parts: tuple[tuple[Literal["value", "dead end", "lens", "answer", "asker", "mark"], bool], ...]
    parts = (
        ("value", True), ("dead end", True), ("lens", True), ("answer", True),
        ("asker", False), ("mark", False),
    )  # fmt: skip
    for part, by_value in parts:
        roles = [Role(CLAIMED, part, value if by_value else 0) for value in (one, other)]
        if all(role in planted.places for role in roles):
            first, second = (_ids(planted.places[role]) for role in roles)
            yield part, Sides(first, second)
    wiring, second = planted.plan.wirings[CLAIMED], 1 - CLAIMED
    pool = rng.sample(planted.random[wiring.value], 2 * wiring.n_value)
    drawn = _ids(tuple((wiring.value, index) for index in pool))
    yield "random", Sides(drawn[: wiring.n_value], drawn[wiring.n_value :])
    if planted.plan.wirings[second].path == "two_hop":
        sides = (_elsewhere(planted, second, value, order) for value in (one, other))
        yield "another concept", Sides(*sides)


def _heads(planted: Planted, rng: random.Random) -> dict[HeadGroup, tuple[str, ...]]:
    """Heads of the construction by id, and random ones of the movers' layer."""
    parts: tuple[tuple[HeadGroup, int, HeadPart], ...] = (
        ("mover", CLAIMED, "mover"),
        ("looker", CLAIMED, "looker"),
        ("other mover", 1 - CLAIMED, "mover"),
    )
    found: dict[HeadGroup, tuple[tuple[int, int], ...]] = {
        group: planted.heads[HeadRole(relation, part)] for group, relation, part in parts
    }
    layer, n = found["mover"][0][0], len(found["mover"])
    taken = {place for places in planted.heads.values() for place in places}
    free = [head for head in range(N_HEADS) if (layer, head) not in taken]
    found["random"] = tuple((layer, head) for head in rng.sample(free, n))
    return {
        group: tuple(f"{layer}.{head}" for layer, head in each[:n]) for group, each in found.items()
    }


def _elsewhere(
    planted: Planted, relation: int, value: int, order: tuple[int, ...]
) -> tuple[str, ...]:
    """Value neurons that the other fact of a value's discovery cities has."""
    claimed, there = (planted.plan.world.relations[n].value_of for n in (CLAIMED, relation))
    cities = [city for city in order if claimed[city] == value][:N_DISCOVERY]
    values = sorted({there[city] for city in cities})
    return tuple(i for v in values for i in _ids(planted.places[Role(relation, "value", v)]))


def _ids(places: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    return tuple(f"{layer}_{index}" for layer, index in places)
