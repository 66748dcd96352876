"""An attempt is what the same clamps in a file are, and its mistakes are told as a file's are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from bench import ATOL, logits_by_hand
from records import change, make_record

from tests.tiny_file import write_tiny
from tracer.dashboard.intervene.attempt import NAME, Attempt, Clamping, Dosing, declare
from tracer.dashboard.intervene.draft import draft_text, expecting, snippet
from tracer.dashboard.intervene.measure import try_out
from tracer.dashboard.intervene.suggested_expectation import (
    SuggestedExpectation,
    suggested_expectations,
)
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.engine.session import open_both
from tracer.errors import HypothesisError, UsageError
from tracer.evidence.judge import judge_alone
from tracer.hypothesis.clamps import ClampSpec
from tracer.hypothesis.expectations.dose import Rises
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.top import TopIs, TopIsNot
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.yaml_text import parse
from tracer.record import run_folder
from tracer.report.sections.interventions import intervention_view

PAIR = (" Sacramento", " Austin")
SWAP = Attempt(
    prompt="plano",
    clamps=(Clamping("texas", "ablate"), Clamping("california", "inject", 1.5)),
    measure=PAIR,
)


@pytest.fixture(scope="module")
def recorded(tiny, tmp_path_factory):
    """A run of the tiny hypothesis."""
    folder = tmp_path_factory.mktemp("attempts")
    path = write_tiny(folder, tiny)
    return run_folder.read_record(measure(read(str(path)), reports=folder, progress=Silent()))


@pytest.fixture(scope="module")
def opened(tiny):
    return open_both(ModelSpec(name=str(tiny), device="cpu"), "neurons", Silent())


def tried(opened, recorded, attempt, groups=None):
    return try_out(opened, recorded, declare(recorded, groups or {}, attempt), Silent())[0]


def trial_of(found):
    [trial] = found.record.interventions[NAME].trials.values()
    return trial


def test_the_runs_own_clamps_give_the_runs_own_trial(opened, recorded):
    attempt = replace(SWAP, dosing=Dosing("california", (0.0, 1.0, 2.0, 3.0)))
    found = trial_of(tried(opened, recorded, attempt))
    wanted = recorded.interventions["swap"].trials["plano"]
    assert found.clamps == wanted.clamps
    assert found.supernodes == wanted.supernodes
    pairs = zip((found, *found.doses), (wanted, *wanted.doses), strict=True)
    for mine, theirs in ((one.reading, other.reading) for one, other in pairs):
        assert [t.id for t in mine.top] == [t.id for t in theirs.top]
        assert {t: (x.id, x.rank) for t, x in mine.tokens.items()} == {
            t: (x.id, x.rank) for t, x in theirs.tokens.items()
        }
        logits = [[t.logit for t in (*x.top, *x.tokens.values())] for x in (mine, theirs)]
        # a batch of other rows differs in its last bits
        assert logits[0] == pytest.approx(logits[1], abs=ATOL)


def test_controls_are_drawn_when_asked(opened, recorded):
    found = tried(opened, recorded, replace(SWAP, n_controls=7))
    assert trial_of(found).n_controls == 7
    key = f"controls/{NAME}/plano/logits"
    assert found.arrays[key].shape == (7, len(trial_of(found).control_tokens))
    assert np.ptp(found.arrays[key][:, 0]) > 0
    assert trial_of(tried(opened, recorded, SWAP)).n_controls == 0


def test_chosen_tokens_and_scaling_are_what_a_hook_does(opened, recorded, bench):
    """Set by pre-hooks on the down projections: × −2 of what each unit is at tokens 1 and 3."""
    attempt = Attempt("plano", (Clamping("texas", "scale", -2.0, positions=(3, 1)),), PAIR)
    found = tried(opened, recorded, attempt)
    clean = bench.clean["plano"]
    values = {
        (ref.layer, pos, ref.index): -2 * float(clean.activation(ref.layer, pos)[ref.index])
        for ref in recorded.supernodes["texas"].features
        for pos in (1, 3)
    }
    logits = logits_by_hand(bench, "plano", values)
    for token, told in trial_of(found).reading.tokens.items():
        assert told.logit == pytest.approx(float(logits[told.id]), abs=ATOL), token
    assert trial_of(found).clamps[0].positions == (1, 3)
    assert "texas_at_tokens" in found.record.supernodes


def test_a_group_made_by_hand_is_clamped(opened, recorded, bench):
    groups = {"mine": ("0_5_2", "1_7_4")}
    attempt = Attempt("dallas", (Clamping("mine", "set", 3.0),), (" Austin",))
    found = tried(opened, recorded, attempt, groups)
    logits = logits_by_hand(bench, "dallas", {(0, 2, 5): 3.0, (1, 4, 7): 3.0})
    told = trial_of(found).reading.tokens[" Austin"]
    assert told.logit == pytest.approx(float(logits[told.id]), abs=ATOL)


def test_a_group_that_is_not_clamped_is_watched(opened, recorded, bench):
    """Its activation is measured, the clamps give what they give without it."""
    groups = {"mine": ("1_7_4",)}
    attempt = Attempt("dallas", (Clamping("texas", "ablate"),), (" Austin",))
    found, without = (tried(opened, recorded, attempt, each) for each in (groups, {}))
    assert trial_of(found).reading == trial_of(without).reading
    assert trial_of(found).supernodes["mine"].of_clean is not None
    assert "mine" not in trial_of(without).supernodes


def test_what_was_seen_of_a_watched_group_is_carried_into_the_draft(recorded):
    groups = {"mine": ("0_5_2",), "yours": ("0_6_2",)}
    attempt = Attempt("dallas", (Clamping("texas", "ablate"),), (" Austin",))
    seen = [SuggestedExpectation("", Fraction(supernode="mine", fraction_below=0.6))]
    hypothesis = expecting(recorded, groups, attempt, "by_hand", seen)
    told = parse(snippet(hypothesis, recorded)).data
    assert told["supernodes"] == {"mine": {"features": ["0_5_2"]}}
    assert parse(draft_text(hypothesis, recorded, "dallas", "by_hand")).data[
        "supernodes"
    ].keys() == {
        "texas",
        "california",
        "mine",
    }


def test_freezing_and_texts_go_through(opened, recorded):
    attempt = replace(SWAP, freeze="attention", n_tokens=3)
    found = trial_of(tried(opened, recorded, attempt))
    assert found.generated is not None
    assert len(found.generated.clamped[0].token_ids) <= 3
    free = trial_of(tried(opened, recorded, SWAP))
    assert free.reading.top[0].logit != found.reading.top[0].logit


def test_the_reports_views_draw_an_attempt(opened, recorded):
    attempt = replace(SWAP, n_controls=5, dosing=Dosing("california", (0.0, 1.0, 2.0)))
    found = tried(opened, recorded, attempt)
    judged = judge_alone(found.record, found.arrays)
    view = intervention_view(found.record, NAME, found.arrays, judged)
    assert view.figure is not None
    assert {box.label for box in view.figure.circuit.boxes} == {"texas", "california"}
    assert view.n_controls == 5
    assert view.doses is not None
    assert view.strips


def test_what_is_declared_reads_as_a_file_would(recorded):
    attempt = replace(
        SWAP,
        clamps=(
            Clamping("texas", "ablate", at="last"),
            Clamping("california", "scale", 2.0, onward=True),
        ),
        dosing=Dosing("texas", (0.0, 1.0)),
    )
    spec = declare(recorded, {}, attempt).added.interventions[NAME]
    assert spec.clamp == {
        "texas": ClampSpec(times=0, from_=("here",), at="last"),
        "california": ClampSpec(times=2, from_=("here",), onward=True),
    }


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (replace(SWAP, clamps=()), "Nothing is clamped"),
        (replace(SWAP, prompt="<b>"), "no prompt '<b>'"),
        (replace(SWAP, clamps=(Clamping("gone", "ablate"),)), "no supernode 'gone'"),
        (replace(SWAP, clamps=(Clamping("texas", "ablate"),) * 2), "clamped twice"),
        (replace(SWAP, clamps=(Clamping("texas", "ablate", positions=(99,)),)), "tokens 0 to"),
        (
            replace(SWAP, clamps=(Clamping("texas", "inject", 1.0, positions=(1,)),)),
            "of another prompt",
        ),
    ],
)
def test_what_cannot_be_declared_is_told(recorded, attempt, sentence):
    with pytest.raises(UsageError) as told:
        declare(recorded, {}, attempt)
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (replace(SWAP, measure=(" Austin", " Austin")), "both tokens are the same"),
        (replace(SWAP, measure=(" Dallas Dallas",)), "exactly one is expected"),
        (replace(SWAP, freeze="all", n_tokens=2), "no text can be"),
        (replace(SWAP, clamps=(Clamping("texas", "add", 1.0),)), "no `maxima`"),
        (replace(SWAP, clamps=(Clamping("texas", "ablate", at="nowhere"),)), "nowhere"),
    ],
)
def test_the_files_own_checks_are_told(opened, recorded, attempt, sentence):
    with pytest.raises(HypothesisError) as told:
        tried(opened, recorded, attempt)
    assert sentence in str(told.value)


def test_another_model_is_refused(recorded, tiny_llama):
    other = open_both(ModelSpec(name=str(tiny_llama), device="cpu"), "neurons", Silent())
    with pytest.raises(UsageError, match="other weights"):
        tried(other, recorded, SWAP)


def test_what_was_seen_becomes_a_hypothesis_that_the_loader_takes(opened, recorded, tmp_path):
    attempt = replace(SWAP, n_controls=19, dosing=Dosing("california", (0.0, 1.0, 2.0)))
    found = tried(opened, recorded, attempt)
    seen = suggested_expectations(found.record, "plano", found.arrays)
    hypothesis = expecting(recorded, {}, attempt, "by_hand", seen)
    path = tmp_path / "draft.yaml"
    path.write_text(draft_text(hypothesis, recorded, "plano", "by_hand"))
    assert path.read_text().startswith("# by_hand was added after it was seen on prompt plano")
    again = read(str(path)).hypothesis
    assert again == hypothesis
    assert {*again.interventions} == {"swap", "by_hand"}
    assert len(again.interventions["by_hand"].expect) >= 2
    assert yaml.safe_load(snippet(hypothesis, recorded))["interventions"]["by_hand"]["clamp"] == {
        "texas": 0.0,
        "california": 1.5,
    }


def test_groups_made_by_hand_stand_in_the_draft(recorded):
    attempt = Attempt("dallas", (Clamping("mine", "ablate"),), (" Austin",))
    seen = [SuggestedExpectation("", TopIs(top=" Austin"))]
    hypothesis = expecting(recorded, {"mine": ("0_5_2",)}, attempt, "by_hand", seen)
    told = parse(snippet(hypothesis, recorded)).data
    assert told["supernodes"] == {"mine": {"features": ["0_5_2"]}}


def test_a_draft_that_expects_nothing_is_refused(recorded):
    with pytest.raises(HypothesisError, match="expects nothing"):
        expecting(recorded, {}, SWAP, "by_hand", [])


def test_suggestions_tell_what_changed_and_by_how_much():
    """A synthetic run: ' Austin' .26 → ' Sacramento' .44; say Austin at .34 of unclamped."""
    record, arrays = make_record()
    spec = record.hypothesis.interventions["texas_to_california"]
    record = change(record, "hypothesis.interventions", {NAME: spec})
    trials = record.interventions["texas_to_california"]
    record = change(record, "interventions", {NAME: trials})
    renamed = {k.replace("texas_to_california", NAME): v for k, v in arrays.items()}
    found = {
        each.words: each.expectation for each in suggested_expectations(record, "dallas", renamed)
    }
    assert found["' Sacramento' comes first"] == TopIs(top=" Sacramento")
    assert found["' Austin' comes first no more"] == TopIsNot(top_is_not=" Austin")
    assert found["say Austin is below 67 % of unclamped"].fraction_below == 0.67
    effect = np.log(0.44 / 0.06) - np.log(0.08 / 0.26)
    rise = next(e for words, e in found.items() if words.startswith("logit(' Sacramento') − "))
    assert rise.rises_by == pytest.approx(effect / 2, abs=0.06)
    assert any("beats matched random sets" in words for words in found)
    assert found["' Sacramento' rises with the dose"] == Rises(rises=" Sacramento")
