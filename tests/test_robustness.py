"""How often the verdict would have been the same, from records alone."""

import pytest

from tests.records import AWAY, make_reading, make_record
from tracer.errors import UsageError
from tracer.evidence.judge import judge_run
from tracer.evidence.robustness import told
from tracer.hypothesis.implied import variations
from tracer.hypothesis.spec import Hypothesis
from tracer.record.arrays import Observed
from tracer.record.record import VariantRecord

KEPT = {("texas_to_california", p): make_reading(Austin=0.6, Sacramento=0.1) for p in ("plano",)}
"""A clamp that does not change what the model says on one prompt."""
SECTION = {
    "seeds": [0, 1, 2, 3],
    "templates": {"asked": "Name the capital of the state with {city}:"},
}


def make(section, others=(), opened=(), gone=(), problems=(), **bent):
    """A run and its variations: all the same but those named."""
    record, arrays = make_record(hypothesis={"robustness": section}, **bent)
    entries, observed = {}, {}
    for each in variations(record.hypothesis):
        problem = "no token 'x'" if each.name in problems else None
        whole = each.skipped is None and problem is None
        entries[each.name] = VariantRecord(
            axis=each.axis,
            change=each.change,
            fingerprint="f" if whole else None,
            skipped=each.skipped,
            problem=problem,
        )
        if not whole or each.name in gone:
            continue
        clamped = KEPT if each.name in others else None
        baselines = dict.fromkeys(("plano", "el_paso", "lubbock"), AWAY)
        inner, tensors = make_record(
            hypothesis={"seed": each.hypothesis.seed, "template": each.hypothesis.template},
            clamped=clamped,
            baselines=baselines if each.name in opened else None,
        )
        observed[each.name] = Observed(inner, tensors)
    return record.model_copy(update={"variants": entries}), arrays, observed


def verdict_of(made, **changes):
    record, arrays, observed = made
    asked = None
    if changes:
        data = record.hypothesis.model_dump(mode="json", by_alias=True)
        asked = Hypothesis.model_validate(data | changes)
    return judge_run(record, arrays, hypothesis=asked, variants=observed)


def test_all_the_same():
    verdict = verdict_of(make(SECTION | {"expect": [{"same": 1}]}))
    found, [outcome] = verdict.robustness, verdict.outcomes[-1:]
    assert verdict.verdict == "consistent"
    assert verdict.reason.endswith("; the same verdict in 4 of 4 variations")
    assert [(c.axis, c.n_same, c.n_other, c.n_open) for c in (found.total, *found.by_axis)] == [
        (None, 4, 0, 0),
        ("template", 1, 0, 0),
        ("seed", 3, 0, 0),
    ]
    # Wilson (1927) for 4 of 4: n / (n + z²).
    assert found.total.wilson == pytest.approx((4 / (4 + 1.959964**2), 1.0))
    assert found.skipped == ("seed-0: it is the file's own seed",)
    assert (outcome.intervention, outcome.split, outcome.outcome) == (
        "robustness",
        "held out",
        "held",
    )
    assert outcome.observed == "4 of 4 the same"


def test_another_verdict_is_named():
    made = make(SECTION | {"expect": [{"same": 0.75}]}, others=["seed-2"])
    verdict = verdict_of(made)
    assert verdict.verdict == "consistent"
    assert told(verdict.robustness) == "3 of 4 the same; another: seed-2 (refuted)"
    assert "the verdict hangs on choices: with seed-2 (refuted) it is another" in verdict.caveats
    stricter = SECTION | {"expect": [{"same": 0.8}]}
    failed = verdict_of(made, robustness=stricter)
    assert failed.verdict == "refuted"
    assert failed.outcomes[-1].expected == "the same in 4 of 4 variations"
    assert "over its variations, the verdict: the same: 3 of 4 the same" in failed.reason
    assert failed.reason.endswith(
        "what the variations repeat is consistent, in 3 of 4 variations too"
    )
    assert any("robustness.expect[0].same" in change for change in failed.post_hoc)


def test_a_negative_result_can_be_robust():
    made = make(
        SECTION | {"expect": [{"same": 1}]},
        others=[f"seed-{n}" for n in (1, 2, 3)] + ["template-asked"],
        clamped=KEPT,
    )
    verdict = verdict_of(made)
    assert verdict.verdict == "refuted"
    assert verdict.reason.endswith("; the same verdict in 4 of 4 variations")
    assert verdict.outcomes[-1].outcome == "held"


def test_an_open_verdict_is_neither_the_same_nor_another():
    made = make(SECTION | {"expect": [{"same": 0.75}]}, opened=["seed-1"])
    verdict = verdict_of(made)
    by_name = {each.name: each for each in verdict.robustness.variants}
    assert (by_name["seed-1"].verdict, by_name["seed-1"].same) == ("inconclusive", None)
    assert (verdict.robustness.total.n_same, verdict.robustness.total.n_open) == (3, 1)
    assert verdict.outcomes[-1].outcome == "held"
    assert "1 of 4 variations could not be judged, and count for neither side" in verdict.caveats
    all_of_them = verdict_of(made, robustness=SECTION | {"expect": [{"same": 1}]})
    assert all_of_them.outcomes[-1].outcome == "untested"
    assert all_of_them.verdict == "inconclusive"
    assert all_of_them.outcomes[-1].reason.startswith("1 of 4 variations open: ")


def test_untested_where_nothing_could_be_judged():
    names = ["template-asked", "seed-1", "seed-2"]
    made = make(SECTION | {"expect": [{"same": 0.1}]}, problems=names, gone=["seed-3"])
    verdict = verdict_of(made)
    outcome = verdict.outcomes[-1]
    assert outcome.outcome == "untested" and outcome.wilson is None
    assert outcome.reason == (
        "4 of 4 variations open: no token 'x' (template-asked, seed-1, seed-2); "
        "its measurements are not in the run's folder (seed-3)"
    )
    assert verdict.reason.endswith("none of 4 variations could be judged")


def test_an_open_claim_has_no_robustness():
    away = dict.fromkeys(("plano", "el_paso", "lubbock"), AWAY)
    verdict = verdict_of(make(SECTION | {"expect": [{"same": 0.5}]}, baselines=away))
    assert verdict.verdict == "inconclusive"
    assert {each.same for each in verdict.robustness.variants} == {None}
    assert "what is varied is itself inconclusive" in verdict.outcomes[-1].reason


def test_every_choice_already_made_leaves_nothing_to_test():
    verdict = verdict_of(make({"seeds": [0], "expect": [{"same": 0.5}]}))
    assert verdict.outcomes[-1].reason == (
        "1 of 1 variation open: none of the choices turned out to be a variation (variations)"
    )
    assert verdict.reason.endswith("; nothing was varied")


def test_variations_are_judged_by_the_thresholds_asked_for():
    made = make(SECTION)
    interventions = made[0].hypothesis.model_dump(mode="json", by_alias=True)["interventions"]
    interventions["texas_to_california"]["expect"][1]["above"] = 50.0
    verdict = verdict_of(made, interventions=interventions)
    assert verdict.verdict == "refuted"
    assert {each.verdict for each in verdict.robustness.variants} == {"refuted"}
    assert verdict.robustness.total.n_same == 4


def test_the_effect_shown_is_the_headline_s():
    found = verdict_of(make(SECTION)).robustness
    assert found.headline.startswith("texas_to_california: logit(' Sacramento') − logit(' Austin')")
    assert "above controls, p ≤ 0.05" in found.headline
    assert found.p == pytest.approx(found.variants[0].p)
    assert found.variants[0].effect == found.effect


@pytest.mark.parametrize(
    "section",
    [
        SECTION | {"seeds": [0, 1, 2, 3, 4]},
        SECTION | {"templates": {"asked": "Another {city}:"}},
        SECTION | {"leave_one_out": True},
        SECTION | {"sizes": [3]},
    ],
)
def test_other_variations_need_measuring(section):
    with pytest.raises(UsageError, match="make a new run for it"):
        verdict_of(make(SECTION), robustness=section)


def test_fewer_variations_do_not():
    verdict = verdict_of(make(SECTION), robustness={"seeds": [1, 2]})
    assert verdict.robustness.total.n_same == 2
    assert verdict_of(make(SECTION), robustness=None).robustness is None
