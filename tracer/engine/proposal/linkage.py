"""Hierarchical clustering by average linkage (UPGMA; Sokal and Michener 1958)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def average_linkage(distance: Float[np.ndarray, "n n"], cut: float) -> list[Int[np.ndarray, " m"]]:
    """Merge the two nearest clusters as long as they are at most `cut` apart.

    The distance of two clusters is the mean over all pairs of their members. Ties go to the pair
    that comes first.

    Args:
        distance: Symmetric; its diagonal is not read.
        cut: No two clusters of the result are this near.

    Returns:
        The members of each cluster, ascending; clusters by their first member.
    """
    between = distance.astype(float)
    np.fill_diagonal(between, np.inf)
    members = [np.array([n]) for n in range(len(between))]
    while len(between) > 1:
        a, b = sorted(divmod(int(between.argmin()), len(between)))
        if between[a, b] > cut:
            break
        sizes = len(members[a]), len(members[b])
        merged = (sizes[0] * between[a] + sizes[1] * between[b]) / sum(sizes)
        merged[a] = np.inf
        between[a] = between[:, a] = merged
        between = np.delete(np.delete(between, b, 0), b, 1)
        members[a] = np.concatenate([members[a], members.pop(b)])
    return sorted((np.sort(each) for each in members), key=lambda each: int(each[0]))
