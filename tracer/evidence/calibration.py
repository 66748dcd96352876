"""How well a graph predicts what clamping does: its ablations, predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.record.studies import Ablation


class Calibration(NamedTuple):
    """Agreement of predicted and measured changes; None where it is not defined."""

    n: int
    r: float | None
    """Pearson's correlation; from three ablations on, where both vary."""
    slope: float | None
    """Least squares through the origin, measured on predicted: 1 where the graph is right."""
    same_sign: int
    """Ablations whose change has the predicted sign."""
    worst: float
    """Largest difference, over the largest measured change."""


def direct(ablations: Sequence[Ablation]) -> Calibration:
    """Edges to the output against clamps with everything frozen: these must agree."""
    return _agreement(
        [each.predicted_direct for each in ablations], [each.measured_direct for each in ablations]
    )


def total(ablations: Sequence[Ablation], *, free: bool) -> Calibration:
    """All paths of the graph against clamps with attention frozen, or free to react."""
    measured = [each.measured_free if free else each.measured_attention for each in ablations]
    return _agreement([each.predicted_total for each in ablations], measured)


def _agreement(predicted: Sequence[float], measured: Sequence[float]) -> Calibration:
    x, y = np.array(predicted, dtype=float), np.array(measured, dtype=float)
    square = float(x @ x)
    largest = float(np.abs(y).max(initial=0.0))
    difference = float(np.abs(x - y).max(initial=0.0))
    return Calibration(
        n=len(x),
        r=_pearson(x, y),
        slope=float(x @ y) / square if square > 0 else None,
        same_sign=int((np.sign(x) == np.sign(y)).sum()),
        worst=difference / largest if largest > 0 else 0.0,
    )


def _pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float | None:
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])
