"""Shares of activation, weighted and every feature alike."""

import pytest

from tests.judging import SWAP, judged, only
from tracer.record.trials import Activation

WHERE = f"interventions.{SWAP}.trials.dallas.supernodes.say_austin"
ALIKE = {"supernode": "say_austin", "average": "equal"}


@pytest.mark.parametrize("of", ["clean", "source"])
def test_features_counted_alike(of: str):
    bend = {f"{WHERE}.mean_of_{of}": 0.5}
    held = only(judged(ALIKE | {"fraction_below": 0.51, "of": of}, bend=bend))
    assert (held.outcome, held.observed) == ("held", "0.50")
    assert held.expectation == (
        f"activation of say_austin, share of its {of} one, features counted alike"
    )
    assert only(judged(ALIKE | {"fraction_below": 0.5, "of": of}, bend=bend)).outcome == "failed"
    assert only(judged(ALIKE | {"fraction_above": 0.5, "of": of}, bend=bend)).outcome == "failed"


@pytest.mark.parametrize("average", ["weighted", "equal"])
def test_a_share_that_is_as_large_unclamped_is_vacuous(average: str):
    """Unclamped, every share of the clean activation is 1, whatever the run recorded."""
    asked = {"supernode": "say_austin", "average": average}
    bend = {f"{WHERE}.of_clean": 0.5, f"{WHERE}.mean_of_clean": 0.5}
    found = only(judged(asked | {"fraction_above": 0.4}, bend=bend))
    assert found.outcome == "vacuous"
    assert found.reason == "it holds unclamped as well: 1.00"
    larger = {f"{WHERE}.of_clean": 1.5, f"{WHERE}.mean_of_clean": 1.5}
    assert only(judged(asked | {"fraction_above": 1.4}, bend=larger)).outcome == "held"


def test_what_was_recorded_unclamped_is_what_the_share_is_judged_against():
    asked = {"supernode": "say_austin", "fraction_below": 0.6, "of": "source"}
    before = {"say_austin": Activation(of_clean=1.0, of_source=0.55)}
    where = f"interventions.{SWAP}.trials.dallas.unclamped"
    found = only(judged(asked, bend={where: before}))
    assert (found.outcome, found.reason) == ("vacuous", "it holds unclamped as well: 0.55")
    before = {"say_austin": Activation(of_clean=1.0, of_source=0.65)}
    assert only(judged(asked, bend={where: before})).outcome == "held"


def test_features_that_the_clamps_set_themselves_show_nothing():
    alone = Activation(of_clean=None, of_source=None, n_set=10)
    found = only(judged({"supernode": "say_austin", "fraction_below": 0.6}, bend={WHERE: alone}))
    assert found.outcome == "vacuous"
    assert found.reason == "the clamps set all active features of say_austin themselves"


def test_a_run_that_has_not_recorded_them_is_untested():
    assert only(judged(ALIKE | {"fraction_above": 0})).reason == (
        "the run is older than `average: equal` and did not record the features' own shares"
    )
    silent = {f"{WHERE}.of_clean": None}
    assert only(judged(ALIKE | {"fraction_above": 0}, bend=silent)).reason == (
        "no active feature: say_austin is silent on this prompt unclamped"
    )
