"""Agreement of predicted and measured ablations, by hand."""

import numpy as np
import pytest

from tracer.evidence.measures.edge import direct, total
from tracer.record.trials import Ablation


def ablation(predicted, measured, free=0.0):
    return Ablation(
        name="1_2_3",
        is_supernode=False,
        n_features=1,
        predicted_direct=predicted,
        predicted_total=predicted,
        measured_direct=measured,
        measured_attention=measured,
        measured_free=free,
    )


def test_a_right_graph_has_slope_one():
    found = direct([ablation(x, x) for x in (-1.0, 0.5, 2.0)])
    assert (found.n, found.slope, found.same_sign, found.worst) == (3, 1.0, 3, 0.0)
    assert found.r == pytest.approx(1.0)


def test_slope_and_correlation():
    x, y = [1.0, 2.0, -1.0, 3.0], [0.5, 0.2, 0.1, 2.0]
    found = total([ablation(a, b, free=b) for a, b in zip(x, y, strict=True)], free=True)
    assert found.slope == pytest.approx(np.dot(x, y) / np.dot(x, x))
    assert found.r == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.same_sign == 3
    assert found.worst == pytest.approx(1.8 / 2.0)


def test_what_is_not_defined_is_none():
    assert direct([]).slope is None
    assert direct([ablation(1, 1), ablation(2, 2)]).r is None
    constant = total([ablation(1, 1, free=2)] * 4, free=True)
    assert constant.r is None
    assert direct([ablation(0, 0)]).slope is None
