"""A made-up world: cities, and two facts of each, told by sentences of made-up words.

Everything that the planted models know and the claims ask about. Words are drawn from syllables, so
that no tokenizer or model that exists has seen them together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

N_VALUES = 5
CITIES_PER_VALUE = 6
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
