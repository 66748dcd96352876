"""What planted models know, cities with two facts each, and by which circuit they tell it.

Words are drawn from syllables, so that no existing tokenizer or model has seen them together. A
fact of a city reaches the end of the sentence in one of three ways:

- `two_hop`: detectors of cities write the value (the state), **value neurons** read it, heads carry
  what they write to the sentence's end, **answer neurons** say the answer (the capital).
- `shortcut`: the heads carry what the detectors of single cities write themselves. The value
  neurons are there and fire as before, but nothing reads them.
- `memory`: heads carry the city's own code, and the unembedding knows the answer by heart. No
  neuron has a part in it.

What carries are **movers**, a few heads of one layer. They look from the sentence's end at the city
because **askers** fire at the end, and at the city its word and **marks**; in a memory, because of
the words. Beside them **lookers** look the same way for the same reason, and write where nothing
reads.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

N_VALUES = 6
CITIES_PER_VALUE = 8
N_CITIES = N_VALUES * CITIES_PER_VALUE
N_FILLERS = 180
_ONSETS = (*"bdfgklmnprstvz", "br", "dr", "kl", "pr", "st", "tr")
_VOWELS = (*"aeiou", "ai", "ou")


class Relation(NamedTuple):
    """A fact that every city has, one of `N_VALUES`: which state's capital, which river."""

    template: str
    """The sentence up to its answer; `{city}` once, and a word of its own at the end."""
    noun: str
    """The word that names the relation, in the sentence before the city."""
    answers: tuple[str, ...]
    """The answer of each value, one word each."""
    value_of: tuple[int, ...]
    """The value of each city."""

    @property
    def end(self) -> str:
        """The sentence's last word."""
        return self.template.rsplit(" ", 1)[1]

    def cities(self, value: int) -> list[int]:
        """The cities of a value."""
        return [city for city, own in enumerate(self.value_of) if own == value]


@dataclass(frozen=True)
class World:
    """Cities with two facts that do not go together: one tells nothing of the other."""

    cities: tuple[str, ...]
    relations: tuple[Relation, Relation]
    fillers: tuple[str, ...]
    """Words of no sentence; they compete for being the answer."""

    @property
    def words(self) -> tuple[str, ...]:
        """Every word, each once; one that follows another is written with its space."""
        spoken = [word for r in self.relations for word in r.template.split() if word != "{city}"]
        answers = [word for r in self.relations for word in r.answers]
        later = [*spoken, *answers, *self.cities, *self.fillers]
        first = [r.template.split()[0] for r in self.relations]
        return tuple(dict.fromkeys([*first, *(f" {word}" for word in later)]))


def make_world(seed: int) -> World:
    """Draw the words and which city has which facts."""
    rng = random.Random(f"world {seed}")
    words = iter(_words(rng, N_CITIES + 2 * (N_VALUES + 4) + N_FILLERS))
    cities = tuple(next(words).capitalize() for _ in range(N_CITIES))
    order = rng.sample(range(N_CITIES), N_CITIES)
    first, second = [0] * N_CITIES, [0] * N_CITIES
    for place, city in enumerate(order):
        row, column = divmod(place, CITIES_PER_VALUE)
        first[city], second[city] = row, (row + column) % N_VALUES
    relations = tuple(
        Relation(
            template=" ".join([next(words), noun := next(words), next(words), "{city}", last]),
            noun=noun,
            answers=tuple(next(words).capitalize() for _ in range(N_VALUES)),
            value_of=tuple(values),
        )
        for values, last in ((first, next(words)), (second, next(words)))
    )
    return World(cities, (relations[0], relations[1]), tuple(words))


def _words(rng: random.Random, n: int) -> list[str]:
    """Different words of two or three syllables."""
    found: dict[str, None] = {}
    while len(found) < n:
        syllables = rng.choice((2, 3))
        found["".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables))] = None
    return list(found)


CircuitPath = Literal["two_hop", "shortcut", "memory"]
Part = Literal["detector", "value", "answer", "dead end", "lens", "asker", "mark"]
"""What a planted neuron is: a step of the path, or a decoy.

A dead end fires with the value neurons and writes where nothing reads. A lens writes the answer at
the city, in the last layer, from where no head carries it on. Askers and marks are what movers look
for, and are the same for all values.
"""
HeadPart = Literal["mover", "looker"]
"""What a planted head is: it carries the fact, or only looks as if."""
HeadGroup = Literal["mover", "looker", "other mover", "random"]
"""Heads that a claim may name: planted for its fact, movers of the other one, or random ones."""
N_MOVERS: dict[CircuitPath, int] = {"two_hop": 2, "shortcut": 2, "memory": 3}
"""Of each relation; of two, each carries half of every value, of three, each a third of the cities.
"""
N_LOOKERS = 2
N_DETECTORS = 2
"""Of each city and relation."""
N_ANSWER = 4
"""Answer neurons, and lenses, of each value."""
N_LOOK = 4
"""Askers, and marks, of each relation."""


class Role(NamedTuple):
    """What a planted neuron does."""

    relation: int
    part: Part
    which: int
    """A city for detectors, 0 for askers and marks, else a value."""


class HeadRole(NamedTuple):
    """What a planted head does."""

    relation: int
    part: HeadPart


@dataclass(frozen=True)
class Wiring:
    """How one relation goes through the layers."""

    path: CircuitPath
    detect: int
    value: int
    move: int
    """The layer whose attention carries the fact to the end."""
    say: int
    n_value: int
    """Value neurons of each value; as many dead ends."""


@dataclass(frozen=True)
class PlantedPlan:
    """Everything about a planted model that is not a weight."""

    seed: int
    world: World
    n_layers: int
    wirings: tuple[Wiring, Wiring]
    nuisance: float
    """Size of what each layer's random part writes, as a share of an embedding's norm."""


def make_plan(seed: int, path: CircuitPath) -> PlantedPlan:
    """Draw a model; the second relation goes two hops, but beside a memory it is one too."""
    rng = random.Random(f"plan {seed}")
    n_layers = rng.choice((5, 6))
    paths: tuple[CircuitPath, CircuitPath] = (path, "memory" if path == "memory" else "two_hop")
    first, second = (_wiring(rng, one, n_layers) for one in paths)
    return PlantedPlan(seed, make_world(seed), n_layers, (first, second), rng.uniform(0.4, 1.1))


def _wiring(rng: random.Random, path: CircuitPath, n_layers: int) -> Wiring:
    """Steps in their order, all before the last layer, which is the lenses'."""
    detect, value, move = sorted(rng.sample(range(n_layers - 1), 3))
    say = rng.randrange(move, n_layers - 1)
    return Wiring(path, detect, value, move, say, rng.randint(3, 6))
