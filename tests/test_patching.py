"""Gradients against finite steps of the engine itself."""

import warnings

import pytest
import torch

from tests.bench import make_bench
from tracer.engine.attribution.patching import _half_rule, along, feature_gradients
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.forward import run_rows
from tracer.engine.model.sites import Site

STEP = 1e-2
NOISE = 1e-4
"""Norms and softmax compute in float32 even in an fp64 model: about 1e-7 of a logit, over 2·STEP,
and a central difference is off by the order of STEP²."""


@pytest.fixture(scope="module")
def double(tiny):
    return make_bench(tiny, dtype="float64")


def gradients_of(bench, clean, direction, positions, rule):
    """Of every feature."""
    every = [torch.arange(bench.basis.n_features(layer)) for layer in range(bench.basis.n_layers)]
    metric = along(direction)
    return feature_gradients(metric, bench.model, bench.basis, clean, positions, rule, every)


def slope(bench, place, freeze, direction):
    clean = bench.clean["dallas"]
    now = float(clean.activation(*place[:2])[place[2]])
    rows = [Row({place: now + STEP}, freeze), Row({place: now - STEP}, freeze)]
    (measured,) = run_rows(bench.model, bench.basis, clean, rows, BatchLimit(4))
    up, down = (sum(c * row[t] for t, c in direction) for row in measured.logits)
    return float(up - down) / (2 * STEP)


@pytest.mark.parametrize("place", [(0, 3, 1), (1, 4, 5), (0, 4, 0), (1, 3, 2)])
def test_plain_gradient_is_the_slope_of_a_clamp(double, place):
    direction = [(3, 1.0), (7, -1.0)]
    clean = double.clean["dallas"]
    gradients = gradients_of(double, clean, direction, [3, 4], "gradient")
    layer, pos, index = place
    assert float(gradients[layer][pos - 3, index]) == pytest.approx(
        slope(double, place, "none", direction), abs=NOISE
    )


def test_half_rule_of_the_last_layer_is_the_slope_of_a_direct_effect(double):
    """Above the last MLP only the frozen norm is left, so the two must agree exactly."""
    clean = double.clean["dallas"]
    last = len(clean.ids) - 1
    gradients = gradients_of(double, clean, [(3, 1.0)], [last], "half")
    for index in range(4):
        place = (double.basis.n_layers - 1, last, index)
        assert float(gradients[-1][0, index]) == pytest.approx(
            slope(double, place, "all", [(3, 1.0)]), abs=NOISE
        )


def test_half_rule_conserves_relevance(double):
    """Frozen, a model without biases is linear: input times gradient is the logit itself."""
    clean = double.clean["dallas"]
    leaf = {}

    def start(x):
        leaf["x"] = x.detach().requires_grad_()
        return leaf["x"]

    hooks = [(Site("resid_pre", 0), start), *_half_rule(double.model)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logit = double.model.forward(clean.ids, hooks)[0, 3]
    (gradient,) = torch.autograd.grad(logit, [leaf["x"]])
    assert float((leaf["x"] * gradient).sum().detach()) == pytest.approx(
        float(logit.detach()), abs=1e-5
    )
    assert float(logit.detach()) == pytest.approx(float(clean.logits[3]), abs=1e-5)


def test_starting_late_changes_nothing(double):
    clean = double.clean["dallas"]
    from_start = gradients_of(double, clean, [(3, 1.0)], [0, 4], "gradient")
    late = gradients_of(double, clean, [(3, 1.0)], [4], "gradient")
    for a, b in zip(from_start, late, strict=True):
        torch.testing.assert_close(a[1], b[0], atol=1e-6, rtol=1e-4)
