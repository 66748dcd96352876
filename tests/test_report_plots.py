"""Lengths and places in the plots are proportional to the numbers they stand for."""

import math
import re

import pytest

from tracer.hypothesis.clamps import Amount
from tracer.report.effects import EffectComparison, Measure
from tracer.report.plots import Output, bars, dose_panel, nice_ticks, strip


@pytest.mark.parametrize("low, high", [(-1.95, 2.0), (0.0, 0.66), (0.13, 0.52), (5.0, 5.000001)])
def test_ticks_cover_the_range_at_round_steps(low: float, high: float):
    ticks = nice_ticks(low, high, 5)
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9
    steps = [b - a for a, b in zip(ticks, ticks[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)
    assert 2 <= len(ticks) <= 9


def test_bars_are_proportional_and_a_missing_token_shows_its_bound():
    drawn = bars(
        [
            Output(" Austin", True, 0.4, 0.1, 0.01, 0.01),
            Output(" Oslo", False, None, 0.2, 0.012, 0.01),
            Output(" bad", False, math.nan, 0.2, 0.012, 0.01),
        ],
        0.4,
    )
    first, second, third = drawn.bars
    assert first.before == pytest.approx(4 * first.after)
    assert second.after == pytest.approx(2 * first.after)
    assert (second.before, second.before_label) == (0.0, "≤ 1.2 %")
    assert (third.before, third.before_label) == (0.0, "not a number")


def test_strips_put_discovery_first_and_every_control_on_the_axis():
    measure = Measure("logit_diff", (" a", " b"), "above")
    drawn = strip(
        measure,
        [
            EffectComparison("dallas", False, 0.0, 2.0, (0.0, 1.0, -1.0), 0.25),
            EffectComparison("plano", True, 0.0, 1.0, (), None),
        ],
    )
    assert [g.label for g in drawn.groups] == ["discovery", "held out"]
    dallas, plano = drawn.rows
    assert plano.after - plano.before == pytest.approx((dallas.after - dallas.before) / 2)
    xs = [float(x) for x in re.findall(r"M([\d.]+) ", dallas.dots)]
    unit = plano.after - plano.before
    assert [(x - dallas.before) / unit for x in xs] == pytest.approx([0, 1, -1], abs=0.01)
    assert (dallas.note, plano.note, plano.dots) == ("p 0.250", "", "")


def test_a_dose_curve_passes_through_its_points_in_order_of_factor():
    panel = dose_panel(
        "p",
        [(" a", [(2.0, 0.5), (0.0, 0.1), (1.0, 0.3)])],
        0.5,
        Amount("times", 1.0),
        held_out=False,
    )
    (x0, y0), (x1, y1), (x2, y2) = panel.lines[0].points
    assert x0 < x1 < x2
    assert y0 - y1 == pytest.approx(y1 - y2)
    assert panel.used == pytest.approx(x1)
    assert panel.lines[0].title == "' a': ×0 10 %, ×1 30 %, ×2 50 %"


def test_a_factor_outside_the_series_is_not_marked():
    series = [(" a", [(0.0, 0.1), (1.0, 0.3)])]
    panel = dose_panel("p", series, 0.5, Amount("to", 4.0), held_out=True)
    assert panel.used is None
    assert panel.description == "' a': = 0 10 %, = 1 30 %"
