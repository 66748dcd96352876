"""Overlap of translations against other pairings, by hand and by brute force."""

import numpy as np
import pytest

from tests.judging import only
from tests.records import AWAY, change, make_record
from tracer.errors import UsageError
from tracer.evidence.judge import judge_run
from tracer.evidence.studies.shared import least_p, means, pairing_p
from tracer.record.trials import SharedRecord

CITIES = ("dallas", "oakland", "plano", "el_paso", "lubbock", "waco")
PAIRS = ((0, 1),)


def test_means_by_hand():
    first, second = [[0.5, 0.1], [0.2, 0.7]], [[0.3, 0.0], [0.4, 0.9]]
    found = means(np.array([first, second]))
    assert found.translations == pytest.approx((0.5 + 0.7 + 0.3 + 0.9) / 4)
    assert found.unrelated == pytest.approx((0.1 + 0.2 + 0.0 + 0.4) / 4)
    assert means(np.array([[[0.5]]])).unrelated is None


def test_p_counts_every_pairing():
    """Two languages, three meanings: of six orders only the own one and its tie are as high."""
    rank = np.array([[[3.0, 1, 0], [1, 3, 0], [0, 0, 1]]])
    assert pairing_p(rank, PAIRS, 0) == pytest.approx(1 / 6)
    tied = np.array([[[3.0, 3, 0], [3, 3, 0], [0, 0, 1]]])
    assert pairing_p(tied, PAIRS, 0) == pytest.approx(2 / 6)
    assert pairing_p(-rank, PAIRS, 0) == 1.0


def test_each_further_language_is_paired_by_itself():
    eye = np.stack([np.eye(3)] * 3)
    pairs = ((0, 1), (0, 2), (1, 2))
    assert pairing_p(eye, pairs, 0) == pytest.approx(1 / 36) == least_p(3, 3)


def test_many_pairings_are_drawn():
    eye = np.eye(9)[None]
    assert pairing_p(eye, PAIRS, 0) == pytest.approx(1 / 20_000) == least_p(9, 2)


def shared(overlaps, *expect, held_out=(), baselines=None):
    """A run that claims this of pairs of prompts with these overlaps, [layer, i, j]."""
    overlaps = np.asarray(overlaps, dtype=float)
    n = overlaps.shape[1]
    names = [f"{city}{side}" for city in CITIES[:n] for side in "ab"]
    prompts = {
        name: {"city": name.capitalize(), "answer": " Austin", "held_out": name[:-1] in held_out}
        for name in names
    }
    lists = [[f"{city}a", f"{city}b"] for city in CITIES[:n]]
    section = {"small": {"translations": lists, "expect": list(expect)}}
    keys = {"prompts": prompts, "supernodes": {}, "interventions": {}, "shared": section}
    base = make_record()[0].prompts["dallas"].baseline
    baselines = dict.fromkeys(prompts, base) | (baselines or {})
    record, arrays = make_record(hypothesis=keys, baselines=baselines)
    found = SharedRecord(pairs=PAIRS, n_layers=len(overlaps), n_active=(5.0,) * len(overlaps))
    record = change(record, "shared", {"small": found})
    return record, {**arrays, "shared/small/overlap": overlaps[None]}


EYES = [np.eye(5) * 0.4 + 0.1, np.full((5, 5), 0.1)]
EXCEEDS = {"overlap": [0, 0], "exceeds_unrelated": 0.05}


def test_translations_that_share_more_hold():
    verdict = judge_run(*shared(EYES, EXCEEDS))
    outcome = only(verdict)
    assert (outcome.outcome, outcome.p) == ("held", pytest.approx(1 / 120))
    assert outcome.observed == "0.50 (unrelated 0.10), p 0.0083"
    assert outcome.expected == "more than unrelated, p ≤ 0.05"
    assert verdict.verdict == "consistent"
    assert verdict.missing == (
        "matched controls: nothing that small expects is compared with them",
    )
    assert "in the translations of small" in verdict.reason


def test_translations_like_any_other_pair_fail():
    assert only(judge_run(*shared(EYES, EXCEEDS | {"overlap": [1, 1]}))).outcome == "failed"


def test_layers_are_averaged():
    above = {"overlap": [0, 1], "above": 0.29}
    assert only(judge_run(*shared(EYES, above))).outcome == "held"
    assert only(judge_run(*shared(EYES, above | {"above": 0.31}))).outcome == "failed"


def test_too_few_meanings_are_untested():
    few = [np.eye(3) * 0.4 + 0.1]
    outcome = only(judge_run(*shared(few, EXCEEDS)))
    assert outcome.outcome == "untested"
    assert "p is 0.17 at best, not 0.05" in outcome.reason


def test_splits_are_judged_apart():
    held_out = CITIES[3:5]
    outcomes = judge_run(
        *shared(EYES, {"overlap": [0, 0], "above": 0.4}, held_out=held_out)
    ).outcomes
    assert [o.split for o in outcomes] == ["discovery", "held out"]
    assert [o.prompts[0].prompt for o in outcomes] == ["3 meanings", "2 meanings"]


def test_layers_without_active_features_are_untested():
    silent = [np.full((5, 5), np.nan)]
    assert "no feature is active" in only(judge_run(*shared(silent, EXCEEDS))).reason


def test_expectations_may_change_afterwards_and_arrays_must_be_there():
    record, arrays = shared(EYES, EXCEEDS)
    asked = shared(EYES, {"overlap": [0, 0], "above": 0.6})[0].hypothesis
    verdict = judge_run(record, arrays, hypothesis=asked)
    assert only(verdict).outcome == "failed"
    assert verdict.post_hoc
    with pytest.raises(UsageError, match="'shared/small/overlap' is missing"):
        judge_run(record, {})


def test_a_baseline_that_does_not_hold_leaves_its_split_untested():
    outcome = only(judge_run(*shared(EYES, EXCEEDS, baselines={"planob": AWAY})))
    assert outcome.outcome == "untested"
    assert "on planob" in outcome.reason
