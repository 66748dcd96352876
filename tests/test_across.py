import itertools
import math
import statistics

import numpy as np
import pytest

from tests.declared import DIFF as EXPECTED
from tests.declared import PLANO, accepted, changed, mistakes
from tests.judging import DIFF, SWAP
from tests.records import change, make_reading, make_record
from tracer.evidence.judge import judge_run
from tracer.report.sections.expectations import outcome_views
from tracer.report.sections.prompts import prompt_views

PROMPTS = [f"city{n}" for n in range(8)]


def declared(*expectations, n=8, groups=None, study=None, **top):
    """The file with n held-out prompts that share the template."""
    prompts = {
        "dallas": {"city": "Dallas", "answer": " Austin"},
        "oakland": {"city": "Oakland", "answer": " Sacramento"},
    }
    for name in PROMPTS[:n]:
        prompts[name] = {"city": name, "answer": " Austin", "held_out": True}
        if groups:
            prompts[name]["group"] = groups[name]
    spec = {"prompts": PROMPTS[:n], "expect": list(expectations)}
    section = {SWAP: spec | {"clamp": {"texas": 0, "california": 1}}}
    sections = {"interventions": section, "necessity": {}}
    if study:
        sections = {"interventions": {}, "necessity": {"needed": spec | study}}
    return {"prompts": prompts, **sections, **top}


def bench(*expectations, shifts=None, name=SWAP, **keys):
    """A record in which the clamp is this far above each prompt's median control."""
    hypothesis = declared(*expectations, **keys)
    names = [p for p in hypothesis["prompts"] if p.startswith("city")]
    clean = make_reading(Austin=0.4, Sacramento=0.1)
    record, arrays = make_record(hypothesis=hypothesis, baselines=dict.fromkeys(names, clean))
    for prompt, shift in zip(names, shifts or [2.0] * len(names), strict=True):
        put_controls(record, arrays, prompt, shift, name)
    return record, arrays


def put_controls(record, arrays, prompt, shift, name=SWAP):
    """Controls whose median of logit(first) is `shift` below the clamp's, spread by 0.5."""
    tokens = record.interventions[name].trials[prompt].reading.tokens
    key, n = f"controls/{name}/{prompt}", 99
    spread = np.linspace(-0.5, 0.5, n)
    arrays[f"{key}/logits"] = np.stack(
        [np.full(n, tokens[DIFF[1]].logit), tokens[DIFF[0]].logit - shift + spread], axis=1
    )
    arrays[f"{key}/logsumexp"] = np.full(n, 20.0)


def one(record, arrays):
    (outcome,) = judge_run(record, arrays).outcomes
    return outcome


def signs_p(d):
    """By hand: the share of all signs whose sum is as high."""
    sums = [sum(s * x for s, x in zip(signs, d, strict=True))
            for signs in itertools.product((-1, 1), repeat=len(d))]  # fmt: skip
    return sum(total >= sum(d) - 1e-9 for total in sums) / len(sums)


ACROSS = {"logit_diff": DIFF, "beats_controls_across": 0.05}
SHIFTS = [2.0, 1.5, -0.25, 3.0, 0.5, 1.0, -1.0, 2.5]


def test_all_prompts_are_one_test():
    outcome = one(*bench(ACROSS, shifts=SHIFTS))
    assert outcome.p == pytest.approx(signs_p(SHIFTS)) and outcome.outcome == "held"
    assert [p.value for p in outcome.prompts] == pytest.approx(SHIFTS)
    assert outcome.least_p == 2**-8 and outcome.needed == 0
    assert (outcome.n_held, outcome.n_failed, outcome.wilson) == (6, 2, None)
    assert outcome.expected == "above controls across prompts, p ≤ 0.05, 8 prompts together"
    mean = statistics.mean(SHIFTS)
    assert outcome.observed == f"mean difference +{mean:.2f}, p {outcome.p:.2g} (8 prompts)"
    assert outcome.prompts[2].observed.startswith("−0.25 (")


def test_the_other_side_is_the_complement():
    under = {"logit_diff": DIFF, "undercuts_controls_across": 0.05}
    outcome = one(*bench(under, shifts=[-s for s in SHIFTS]))
    assert outcome.p == pytest.approx(signs_p(SHIFTS)) and outcome.outcome == "held"
    failed = one(*bench(under, shifts=SHIFTS))
    assert failed.outcome == "failed" and failed.p > 0.9


def test_a_probability_is_compared_as_its_logarithm():
    record, arrays = bench({"probability": DIFF[0], "beats_controls_across": 0.05})
    outcome = one(record, arrays)
    trial = record.interventions[SWAP].trials["city0"]
    logits = arrays[f"controls/{SWAP}/city0/logits"][:, 1]
    d = math.log(trial.reading.tokens[DIFF[0]].probability) - (np.median(logits) - 20)
    assert outcome.prompts[0].value == pytest.approx(d)
    assert "ln p" in outcome.prompts[0].observed


@pytest.mark.parametrize(
    ("n", "alpha", "outcome"),
    [(4, 0.05, "untested"), (5, 0.05, "held"), (6, 0.01, "untested"), (7, 0.01, "held")],
)
def test_five_prompts_are_the_fewest_and_seven_for_a_percent(n, alpha, outcome):
    found = one(*bench({"logit_diff": DIFF, "beats_controls_across": alpha}, n=n))
    assert found.outcome == outcome
    if outcome == "untested":
        assert found.p is None
        assert found.reason == (
            f"{n} prompts that differ from the median of the controls: p can reach "
            f"{2**-n:.2g} at best, not {alpha}; {n + 1} are needed"
        )


def test_one_prompt_where_ten_are_needed():
    found = one(*bench({"logit_diff": DIFF, "beats_controls_across": 0.001}, n=1))
    assert found.outcome == "untested" and found.reason.endswith("not 0.001; 10 are needed")


def test_no_difference_anywhere_is_no_test():
    found = one(*bench(ACROSS, shifts=[0.0] * 8))
    assert found.outcome == "untested" and found.mean is None
    assert found.reason.startswith("no prompt differs from the median of its controls")


def test_identical_controls_and_nan_leave_a_prompt_out():
    record, arrays = bench(ACROSS)
    arrays[f"controls/{SWAP}/city0/logits"][:] = 1.0
    arrays[f"controls/{SWAP}/city1/logits"][3, 0] = math.nan
    arrays[f"controls/{SWAP}/city2/logits"][:60, 0] = math.inf
    outcome = one(record, arrays)
    assert outcome.outcome == "held" and outcome.p == 2**-5
    assert "(5 of 8 prompts)" in outcome.observed
    assert [p.reason for p in outcome.prompts[:3]] == [
        "all 99 controls come out the same, so they say nothing of chance",
        "the logits of its controls hold NaN",
        "its difference from the median of its controls is not finite",
    ]
    arrays[f"controls/{SWAP}/city3/logits"][:] = 1.0
    outcome = one(record, arrays)
    assert outcome.outcome == "untested" and "all 99 controls come out the same" in outcome.reason


def test_identical_controls_are_no_test_on_single_prompts_either():
    record, arrays = bench({"logit_diff": DIFF, "beats_controls": 0.05}, n=1)
    arrays[f"controls/{SWAP}/city0/logits"][:] = 1.0
    assert one(record, arrays).reason == (
        "all 99 controls come out the same, so they say nothing of chance"
    )


def test_prompts_of_a_group_change_sign_together():
    groups = {name: f"t{n // 2}" for n, name in enumerate(PROMPTS)}
    outcome = one(*bench(ACROSS, shifts=SHIFTS, groups=groups))
    sums = [SHIFTS[n] + SHIFTS[n + 1] for n in range(0, 8, 2)]
    assert outcome.outcome == "untested" and outcome.least_p == 2**-4
    assert outcome.reason.startswith("4 groups that differ")
    loose = one(*bench(ACROSS | {"beats_controls_across": 0.3}, shifts=SHIFTS, groups=groups))
    assert loose.p == pytest.approx(signs_p(sums))
    assert loose.observed.endswith("(8 prompts in 4 groups)")


def test_holm_counts_it_among_the_others_by_the_p_of_the_split():
    five = [ACROSS, {"logit_diff": [DIFF[1], DIFF[0]], "undercuts_controls_across": 0.05}]
    record, arrays = bench(*five, n=5)
    verdict = judge_run(record, arrays)
    first = verdict.outcomes[0]
    assert first.p == 2**-5 and first.p_adjusted == 2**-4
    assert first.outcome == "untested"
    assert first.reason == (
        "corrected for 2 tests of this hypothesis (Holm), p can reach 0.062 at best, not 0.05: "
        "add prompts"
    )
    held = judge_run(*bench(*five, n=6))
    assert held.verdict == "confirmed" and held.outcomes[0].p_adjusted == 2**-5
    assert "mean difference +2.00, p 0.016 (6 prompts) (held out)" in held.reason
    assert any("but of tests across prompts that of all of them" in c for c in held.caveats)


def test_the_weakest_ablation_decides_what_is_necessary():
    study = {"ablate": ["texas"], "kinds": ["zero", "inhibit"]}
    record, arrays = bench(ACROSS, study=study, name="needed.zero")
    for n, prompt in enumerate(PROMPTS):
        put_controls(record, arrays, prompt, 1.0 if n else -0.5, "needed.inhibit")
    outcome = one(record, arrays)
    assert outcome.p == pytest.approx(signs_p([-0.5] + [1.0] * 7))
    assert outcome.observed.endswith("(8 prompts) (inhibit)")


def test_the_mean_is_told_with_its_interval_by_group():
    shifts = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    each = one(*bench(ACROSS, shifts=shifts)).mean
    assert each.value == pytest.approx(4.5) and each.low < 4.5 < each.high
    assert each.n_groups == 8 and "95 % bootstrap interval" in each.text
    groups = {name: "low" if n < 4 else "high" for n, name in enumerate(PROMPTS)}
    record, arrays = bench(ACROSS, shifts=shifts, groups=groups)
    two = one(record, arrays).mean
    # Two groups of means 2.5 and 6.5: a quarter of the draws is one of them twice.
    assert (two.low, two.high) == (pytest.approx(2.5), pytest.approx(6.5))
    told = "mean +4.50, 95 % bootstrap interval by group +2.50 to +6.50 (8 prompts in 2 groups)"
    assert two.text == told
    rows = outcome_views(judge_run(record, arrays).outcomes).kept
    assert rows[0].summary == f"8 prompts: 8 held (one test of all of them); {told}"
    assert [p.split for p in prompt_views(record).kept if p.prompt.name == "city0"] == [
        "held out, group low"
    ]


def test_one_group_or_one_value_has_no_interval():
    assert one(*bench(ACROSS, groups=dict.fromkeys(PROMPTS, "all"), shifts=SHIFTS)).mean is None
    assert one(*bench({"logit_diff": DIFF, "above": 0.0})).mean is None
    bent, arrays = bench({"logit_diff": DIFF, "above": 0.0})
    other = make_reading(Sacramento=0.3, Austin=0.1)
    bent = change(bent, f"interventions.{SWAP}.trials.city0.reading", other)
    assert one(bent, arrays).mean.n_prompts == 8


def test_mostly_says_nothing_beside_it(tmp_path):
    across = '{logit_diff: [" Sacramento", "{answer}"], beats_controls_across: 0.05, mostly: 0.5}'
    found = {m.where: m.message for m in mistakes(tmp_path, changed((EXPECTED, across)))}
    assert found["interventions.swap.expect[1].mostly"] == (
        "it says nothing beside 'beats_controls_across', 'undercuts_controls_across': "
        "all prompts are one test"
    )


def test_a_split_with_too_few_prompts_is_told_before_anything_is_measured(tmp_path):
    across = EXPECTED.replace("above: 1.0", "beats_controls_across: 0.05")
    found = mistakes(tmp_path, changed((EXPECTED, across)))
    where = "interventions.swap.expect[1].beats_controls_across"
    assert [m.where for m in found] == [where, where] and found[0].line is not None
    assert found[1].message == (
        "it needs 5 held-out prompts, those of one group or text counting once, and `prompts` has "
        "1: name more, or no held-out one"
    )


def test_prompts_of_one_group_are_one_where_they_are_too_few(tmp_path):
    across = EXPECTED.replace("above: 1.0", "beats_controls_across: 0.05")
    names = ["plano", *(f"p{n}" for n in range(5))]
    more = [
        f'  {name}: {{city: {name}, answer: " Austin", held_out: true, group: {name[:1]}}}'
        for name in names
    ]
    prompts = f"    prompts: [{', '.join(names)}]"
    edits = (
        (EXPECTED, across),
        (PLANO, "\n".join(more)),
        ("    prompts: [dallas, plano]", prompts),
    )
    [found] = mistakes(tmp_path, changed(*edits))
    assert "it needs 5 held-out prompts" in found.message and "has 1:" in found.message
    apart = tuple((old, new.replace(", group: p", "")) for old, new in edits)
    accepted(tmp_path, changed(*apart))
