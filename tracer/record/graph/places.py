"""Where nodes stand: the order in which a graph keeps features and errors, and looks them up.

The depth of a node is 2 · layer at the layer's attention, and 2 · layer + 1 at its MLP.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def none() -> Int[np.ndarray, " none"]:
    """No numbers."""
    return np.zeros(0, dtype=np.int64)


def homes(
    places: Int[np.ndarray, "n columns"], attention: Int[np.ndarray, " some"]
) -> Int[np.ndarray, "n 2"]:
    """(depth, position) of places (layer, position, …), some of which are attention's."""
    found = places[:, :2].astype(np.int64)
    found[:, 0] = 2 * found[:, 0] + 1
    found[attention, 0] -= 1
    return found


def keys(
    features: Int[np.ndarray, "n 3"], attention: Int[np.ndarray, " some"]
) -> Int[np.ndarray, "n 3"]:
    """(depth, position, index) of features (layer, position, index)."""
    return np.concatenate([homes(features, attention), features[:, 2:]], axis=1)


def find(
    there: Int[np.ndarray, "m columns"], wanted: Int[np.ndarray, "n columns"]
) -> Int[np.ndarray, " n"]:
    """Where each row is among others; −1 where it is not."""
    place = {tuple(row): n for n, row in enumerate(there.tolist())}
    return np.array([place.get(tuple(row), -1) for row in wanted.tolist()], dtype=np.int64)


def kept(
    some: Int[np.ndarray, " some"], kept: Bool[np.ndarray, " all"]
) -> Int[np.ndarray, " left"]:
    """Numbers of those that stay, among all that stay."""
    return (np.cumsum(kept) - 1)[some[kept[some]]]
