"""Shares as people read them."""

from __future__ import annotations


def percent(share: float) -> str:
    """`21 %`; below one percent with two digits, so that little does not read as nothing."""
    value = 100 * share
    return f"{value:.2g} %" if 0 < value < 1 else f"{value:.0f} %"
