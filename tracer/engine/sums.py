"""Sums by row that come out the same each time, to the last bit."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def add_rows(
    into: Float[Tensor, "row ..."], rows: Int[Tensor, " n"], added: Float[Tensor, "n ..."]
) -> Tensor:
    """into[rows[n]] += added[n] in place, where rows may come again; gives `into` back.

    CUDA adds by `index_add_` in any order, and by `index_put_` in that of the rows. On the CPU it
    is the other way round: its threads share the work of `index_put_`.
    """
    if into.device.type == "cpu":
        return into.index_add_(0, rows, added)
    return into.index_put_((rows,), added, accumulate=True)
