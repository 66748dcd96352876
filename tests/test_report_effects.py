"""The numbers drawn are the numbers recorded, got another way."""

import math
from statistics import median

import numpy as np
import pytest

from tests.records import change, make_reading, make_record
from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.judge import judge_alone
from tracer.report.effects import Measure, compare, find, measures

DIFF = Measure("logit_diff", (" Sacramento", " Austin"), "above")


def compared(record, name, measure, arrays):
    """By the measure as the file states it, so that its p is found."""
    stated = measures(record.hypothesis.interventions[name])
    same = next((each for each in stated if each == measure), measure)
    judged = judge_alone(record, arrays) if arrays else JudgedOutcomes(record.hypothesis)
    return compare(record, name, same, arrays, judged)


def test_a_measure_compared_with_controls_leads():
    record, _ = make_record()
    spec = record.hypothesis.interventions["texas_to_california"]
    assert measures(spec) == (DIFF, Measure("probability", (" Sacramento",), None))


def test_values_are_those_of_the_record_and_p_counts_controls():
    record, arrays = make_record()
    found = compared(record, "texas_to_california", DIFF, arrays)
    assert [c.prompt for c in found] == ["dallas", "plano", "el_paso", "lubbock"]
    first = found[0]
    assert first.after == pytest.approx(math.log(0.44 / 0.06), abs=1e-9)
    assert first.before == pytest.approx(math.log(0.08 / 0.26), abs=1e-9)
    assert median(first.controls) == pytest.approx(first.before, abs=0.05)
    assert first.p == 1 / 100


def test_a_control_as_extreme_as_the_clamp_counts_against_it():
    record, arrays = make_record()
    logits = arrays["controls/texas_to_california/dallas/logits"].copy()
    logits[:4] = [0.0, 50.0]
    arrays["controls/texas_to_california/dallas/logits"] = logits
    assert compared(record, "texas_to_california", DIFF, arrays)[0].p == 5 / 100


def test_probabilities_of_controls_are_over_the_whole_vocabulary():
    record, arrays = make_record()
    measure = Measure("probability", ("{answer}",), "below")
    found = compared(record, "ablate_texas", measure, arrays)[0]
    stem = "controls/ablate_texas/dallas"
    expected = np.exp(arrays[f"{stem}/logits"][:, 0] - arrays[f"{stem}/logsumexp"])
    assert found.controls == pytest.approx(list(expected))
    assert (found.before, found.after) == (0.26, 0.14)


def test_what_was_not_recorded_is_left_out():
    record, arrays = make_record()
    assert compared(record, "ablate_texas", Measure("probability", (" Oslo",), None), arrays) == ()
    assert compared(record, "ablate_texas", DIFF, {})[0].controls == ()
    broken = change(record, "interventions.ablate_texas.trials.dallas.problem", "no active feature")
    assert "dallas" not in [c.prompt for c in compared(broken, "ablate_texas", DIFF, arrays)]
    nan = make_reading(Austin=math.nan, Sacramento=0.2)
    record, arrays = make_record(clamped={("ablate_texas", "dallas"): nan})
    assert "dallas" not in [c.prompt for c in compared(record, "ablate_texas", DIFF, arrays)]


def test_a_token_is_found_among_those_asked_for_and_the_top():
    reading = make_reading(Austin=0.5, Tallahassee=0.2)
    assert find(reading, " Austin") is not None
    assert find(reading, " Tallahassee") is not None
    assert find(reading, " Oslo") is None
