"""A name that nothing else has yet."""

from __future__ import annotations

from collections.abc import Collection


def free_name(base: str, taken: Collection[str]) -> str:
    """`base`, or where that is taken, the first of `base_2`, `base_3`, … that is not."""
    names = [base, *(f"{base}_{n}" for n in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
