"""Where claims are made: a fact in a model, a value of it that is to go and one that is to come.

What a claim needs to know of the construction, without a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.selftest.plan import Path
from tracer.selftest.world import Relation

N_DISCOVERY = 2
"""Cities of a value that supernodes are found on; the others are held out."""

Group = Literal["value", "dead end", "lens", "another concept", "random"]
"""Neurons that a claim may name by their ids."""


class Sides(NamedTuple):
    """Feature ids for the value that is to go and for the one that is to come."""

    one: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A fact in a model, and two of its values; `third` are the values that are neither."""

    folder: str
    path: Path
    relation: Relation
    cities: tuple[str, ...]
    order: tuple[int, ...]
    """All cities, shuffled: the first of a value are for discovery."""
    one: int
    other: int
    rest: tuple[int, int, int]
    groups: Mapping[Group, Sides]
    gap: float
    """Least logit(one's answer) − logit(other's) on a city of one: a swap closes it, or is none."""
    most: float
    """Largest rise of logit(other's) − logit(one's) that the planted swap makes on a city."""
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
