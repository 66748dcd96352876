"""The report's circuit section: numbers from record and arrays, hostile names as text."""

import numpy as np
import pytest

from tests.circuits import NAME, recorded
from tracer.evidence.judge import judge_run
from tracer.report.curves import curve_plot
from tracer.report.render import render
from tracer.report.sections.circuits import circuit_views

SCORES = {
    "whole": [4.0, 3.0, 0.2],
    "circuit": [3.0, 2.0, 0.1],
    "without": np.array([[1.0, 2.9, 3.0], [0.5, 1.9, 2.0], [0.1, 0.1, 0.1]]),
}


def test_raw_and_normalised_stand_side_by_side():
    record, arrays = recorded({"faithfulness": {"above": 0.5}}, **SCORES)
    (view,) = circuit_views(record, arrays)
    (split,) = view.splits
    first, _, invalid, mean = split.rows
    assert first.raw == ("4.00", "0.00", "3.00", "0.00")
    assert (first.faithfulness, first.completeness) == ("0.75", "0.00")
    assert invalid.faithfulness == "–" and "too small to divide by" in invalid.note
    assert (mean.prompt, mean.faithfulness) == ("mean", "0.71")
    assert split.areas.startswith("CPR 0.") and "f(C) from" in split.rival
    assert view.about == "Texas: 3 features."
    idle, _, strong = split.members.kept
    assert (idle.name, idle.share, idle.ahead) == ("texas 5_6", 0.0, "0 of 99")
    assert (strong.name, strong.share) == ("texas 1_2", 1.0)


def test_the_plot_is_logarithmic_in_the_share_and_marks_the_circuit():
    curve = np.linspace(0, 1, 10).tolist()
    plot = curve_plot([("discovery", curve)], [("discovery", 0.01, 0.5)], "it")
    (line,), (mark,) = plot.lines, plot.marks
    thirds = [line.points[0][0], line.points[3][0], line.points[6][0], line.points[9][0]]
    assert np.diff(thirds) == pytest.approx([(plot.right - plot.left) / 3] * 3)
    assert mark.x == pytest.approx(line.points[3][0]) and line.points[9][1] == plot.whole
    assert mark.y == pytest.approx((plot.whole + line.points[0][1]) / 2)


def test_a_run_with_a_circuit_renders_and_escapes():
    record, arrays = recorded({"faithfulness": {"above": 0.5}}, {"sufficient": 0.05}, **SCORES)
    circuit = record.circuit[NAME].model_copy(update={"notes": ("<script>alert(1)</script>",)})
    record = record.model_copy(update={"circuit": {NAME: circuit}})
    page = render(record, judge_run(record, arrays), arrays)
    assert "with everything else ablated" in page and "<script>alert(1)" not in page
    assert "3 prompts together" in page
    without = record.model_copy(
        update={
            "circuit": {},
            "hypothesis": record.hypothesis.model_copy(update={"circuit": {}}),
        }
    )
    assert "with everything else ablated" not in render(without, judge_run(without, arrays), arrays)
