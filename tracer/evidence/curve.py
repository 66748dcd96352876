"""The curve of faithfulness over circuit size, and its two areas as MIB defines them.

Mueller et al. 2025, *MIB: A Mechanistic Interpretability Benchmark* (arXiv:2504.13151, §3.2). The
axis is linear in the share k of items, and integrals begin at the smallest share, as in MIB's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""k: of the ranked features."""


class Areas(NamedTuple):
    """How good a ranking is over all circuit sizes."""

    cpr: float
    """Integrated circuit performance ratio, ∫ f(C_k) dk; higher is better."""
    cmd: float
    """Integrated circuit-model distance, ∫ |1 − f(C_k)| dk; 0 is best."""


def areas(faithfulness: Sequence[float], shares: Sequence[float] = SHARES) -> Areas:
    """Trapezoid integrals over the shares."""
    return Areas(
        _trapezoid(shares, faithfulness), _trapezoid(shares, [abs(1 - f) for f in faithfulness])
    )


def _trapezoid(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))
