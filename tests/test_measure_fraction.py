"""Shares of activation, weighted and every feature alike."""

import pytest

from tests.judging import SWAP, judged, only

WHERE = f"interventions.{SWAP}.trials.dallas.supernodes.say_austin"
ALIKE = {"supernode": "say_austin", "average": "equal"}


@pytest.mark.parametrize("of", ["clean", "source"])
def test_features_counted_alike(of: str):
    bend = {f"{WHERE}.mean_of_{of}": 0.5}
    held = only(judged(ALIKE | {"fraction_above": 0.49, "of": of}, bend=bend))
    assert (held.outcome, held.observed) == ("held", "0.50")
    assert held.expectation == (
        f"activation of say_austin, share of its {of} one, features counted alike"
    )
    assert only(judged(ALIKE | {"fraction_below": 0.5, "of": of}, bend=bend)).outcome == "failed"


def test_a_run_that_has_not_recorded_them_is_untested():
    assert only(judged(ALIKE | {"fraction_above": 0})).reason == (
        "the run is older than `average: equal` and did not record the features' own shares"
    )
    silent = {f"{WHERE}.of_clean": None}
    assert only(judged(ALIKE | {"fraction_above": 0}, bend=silent)).reason == (
        "no active feature: say_austin is silent on this prompt unclamped"
    )
