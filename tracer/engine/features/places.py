"""Values by place, in columns: thousands of features are set and read at once.

A head of attention at a position has a vector for an activation: z = Σ_k A(q, k) W_V x(k), of
d_head numbers. Each of them is a scalar with a place of its own, as a feature is: the number of its
layer is `HEADS` + layer, its index head · d_head + coordinate. So what sets, reads and compares
features does the same for heads; a supernode holds all coordinates of a head or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

HEADS = 1 << 10
"""Added to a layer's number where its heads are meant; no model has as many layers."""
Place = tuple[int, int, int]
"""(layer, position, feature index)."""
Places = Int[np.ndarray, "_ 3"]
"""A `Place` a row."""


def as_places(places: Iterable[Place] | Places) -> Places:
    """Places as rows of an array."""
    rows = places if isinstance(places, np.ndarray) else list(places)
    return np.asarray(rows, np.int64).reshape(-1, 3)


def layer_of(layer: int) -> int:
    """The model's layer that features, or heads, of this number are in."""
    return layer % HEADS


def tuples_of(where: Places) -> Iterator[Place]:
    """Each row as a `Place`."""
    return ((layer, pos, index) for layer, pos, index in where.tolist())


def joined(parts: Iterable[Places]) -> Places:
    """One after another."""
    return np.concatenate([np.zeros((0, 3), np.int64), *parts])


def keys_of(where: Places) -> Int[np.ndarray, " n"]:
    """A number for each place, in the order of layer, position and index."""
    return (where[:, 0] << 51) | (where[:, 1] << 31) | where[:, 2]


def n_members(where: Places, d_heads: Mapping[int, int]) -> int:
    """How many features and heads the places are of; `d_heads` is that of the basis."""
    is_head = where[:, 0] >= HEADS
    heads = where[is_head].copy()
    for layer in np.unique(heads[:, 0]).tolist():
        heads[heads[:, 0] == layer, 2] //= d_heads[layer]
    return int((~is_head).sum()) + len(np.unique(heads, axis=0))


def groups_of(where: Places) -> list[tuple[int, int, Int[np.ndarray, " _"]]]:
    """(layer, position, rows) of the places that share both; rows keep their order."""
    keys = keys_of(where) >> 31
    found, group = np.unique(keys, return_inverse=True)
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(group, minlength=len(found)))[:-1])
    return [(int(where[rows[0], 0]), int(where[rows[0], 1]), rows) for rows in parts if len(rows)]


class PlaceValues(Mapping[Place, float]):
    """A value for each of some places, in a fixed order; no place is there twice."""

    def __init__(self, where: Places, value: Float[np.ndarray, " n"]) -> None:
        self.where, self.value = as_places(where), value

    @classmethod
    def of(cls, values: Mapping[Place, float]) -> PlaceValues:
        """The same, of any mapping."""
        if isinstance(values, cls):
            return values
        return cls(as_places(values), np.array(list(values.values()), np.float64))

    @classmethod
    def zeros(cls, where: Places) -> PlaceValues:
        """0 at each of some places, of which none is there twice."""
        return cls(where, np.zeros(len(where)))

    def __getitem__(self, place: Place) -> float:
        at = (self.where == place).all(1).nonzero()[0]
        if not len(at):
            raise KeyError(place)
        return float(self.value[at[0]])

    def __iter__(self) -> Iterator[Place]:
        return tuples_of(self.where)

    def __len__(self) -> int:
        return len(self.where)

    def only(self, rows: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> PlaceValues:
        """Some of them."""
        return PlaceValues(self.where[rows], self.value[rows])

    def has(self, where: Places) -> Bool[np.ndarray, " m"]:
        """Which of some places have a value."""
        keys, wanted = np.sort(keys_of(self.where)), keys_of(where)
        at = np.searchsorted(keys, wanted)
        return np.append(keys, -1)[at] == wanted
