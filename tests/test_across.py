import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from tests.declared import DIFF as EXPECTED
from tests.declared import accepted, changed, mistakes
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


def bench(*expectations, shifts=None, name=SWAP, n_controls=99, spread=None, **keys):
    """A record in which the clamp is this far above each prompt's median control."""
    hypothesis = declared(*expectations, **keys)
    names = [p for p in hypothesis["prompts"] if p.startswith("city")]
    clean = make_reading(Austin=0.4, Sacramento=0.1)
    record, arrays = make_record(
        hypothesis=hypothesis | {"controls": {"random": n_controls}},
        baselines=dict.fromkeys(names, clean),
        n_controls=n_controls,
    )
    for n, (prompt, shift) in enumerate(zip(names, shifts or [2.0] * len(names), strict=True)):
        mine = None if spread is None else spread[n]
        put_controls(record, arrays, prompt, shift, name, mine)
    return record, arrays


def put_controls(record, arrays, prompt, shift, name=SWAP, spread=None):
    """Controls whose median of logit(first) is `shift` below the clamp's; spread by 0.5, or so."""
    trial = record.interventions[name].trials[prompt]
    tokens, n = trial.reading.tokens, trial.n_controls
    key = f"controls/{name}/{prompt}"
    spread = np.linspace(-0.5, 0.5, n) if spread is None else spread - np.median(spread)
    arrays[f"{key}/logits"] = np.stack(
        [np.full(n, tokens[DIFF[1]].logit), tokens[DIFF[0]].logit - shift + spread], axis=1
    )
    arrays[f"{key}/logsumexp"] = np.full(n, 20.0)


def one(record, arrays):
    (outcome,) = judge_run(record, arrays).outcomes
    return outcome


def p_by_hand(shifts, spread, prompts=range(8)):
    """Control by control: whether its own sum over the prompts is as high as the clamp's."""
    n_controls, total, n_ahead = len(spread[0]), sum(shifts[i] for i in prompts), 0
    for j in range(n_controls):
        own = sum(spread[i][j] - statistics.median(spread[i]) for i in prompts)
        n_ahead += own >= total - 1e-5
    return (1 + n_ahead) / (n_controls + 1)


ACROSS = {"logit_diff": DIFF, "beats_controls_across": 0.05}
UNDER = {"logit_diff": DIFF[::-1], "undercuts_controls_across": 0.05}
SHIFTS = [2.0, 1.5, -0.25, 3.0, 0.5, 1.0, -1.0, 2.5]
RNG = np.random.default_rng(4)
SPREAD = RNG.normal(0, 0.5, 99) + RNG.normal(0, 0.8, (8, 99))
"""Each control moves all prompts alike, by 0.5, beside what it does to each."""


def test_all_prompts_are_one_test():
    outcome = one(*bench(ACROSS, shifts=SHIFTS, spread=SPREAD))
    p = p_by_hand(SHIFTS, SPREAD)
    assert 0.01 < p <= 0.05
    assert outcome.p == pytest.approx(p) and outcome.outcome == "held"
    assert [p.value for p in outcome.prompts] == pytest.approx(SHIFTS)
    assert outcome.least_p == 1 / 100 and outcome.needed == 0
    assert (outcome.n_held, outcome.n_failed, outcome.wilson) == (6, 2, None)
    assert outcome.expected == "above controls across prompts, p ≤ 0.05, 8 prompts together"
    mean = statistics.mean(SHIFTS)
    assert outcome.observed == (
        f"mean difference +{mean:.2f} from 99 controls, p {outcome.p:.2g} (8 prompts)"
    )
    assert outcome.prompts[2].observed.startswith("−0.25 (")


def test_the_other_side_is_the_complement():
    outcome = one(*bench(UNDER, shifts=SHIFTS, spread=SPREAD))
    assert outcome.p == pytest.approx(p_by_hand(SHIFTS, SPREAD)) and outcome.outcome == "held"
    assert [p.value for p in outcome.prompts] == pytest.approx([-s for s in SHIFTS])
    failed = one(*bench(UNDER, shifts=[-s for s in SHIFTS], spread=SPREAD))
    assert failed.outcome == "failed" and failed.p > 0.9


def test_controls_that_agree_over_prompts_are_no_news():
    """Eight prompts that all move up are as one where a random set moves them all alike."""
    alike = np.repeat(np.linspace(-2, 2, 99)[None], 8, axis=0)
    failed = one(*bench(ACROSS, shifts=[1.0] * 8, spread=alike))
    assert failed.outcome == "failed" and failed.p == pytest.approx(p_by_hand([1.0] * 8, alike))
    assert failed.p == 0.26  # 25 of 99 move each prompt by 1 or more


@pytest.mark.parametrize(
    "shared", [*(pytest.param(n, marks=pytest.mark.library) for n in (0.0, 1.0)), 5.0]
)
def test_the_level_is_alpha_however_much_a_set_moves_all_prompts_alike(shared):
    """The clamp is one of 20 exchangeable sets: its p is uniform on 1/20, …, 20/20."""
    record, arrays = bench(ACROSS, n=6, n_controls=19)
    rng, n_runs, found = np.random.default_rng(11), 200, []
    for _ in range(n_runs):
        sets = shared * rng.normal(size=(20, 1)) + rng.standard_t(4, size=(20, 6))
        for n, prompt in enumerate(PROMPTS[:6]):
            logit = record.interventions[SWAP].trials[prompt].reading.tokens[DIFF[0]].logit
            own = logit + sets[1:, n] - sets[0, n]
            arrays[f"controls/{SWAP}/{prompt}/logits"][:, 1] = own
        found.append(one(record, arrays).p)
    times = np.bincount(np.rint(np.array(found) * 20).astype(int), minlength=21)[1:]
    spread = 4 * math.sqrt(n_runs * 0.05 * 0.95)
    assert times[0] == pytest.approx(n_runs * 0.05, abs=spread)
    assert stats.chisquare(times).pvalue > 1e-3


def test_where_nothing_would_do_as_well_the_change_itself_must_be_larger():
    """Controls that all push one way make the unclamped value beat them; that is no evidence."""
    record, arrays = bench(ACROSS, n=1)
    clean = make_reading(Austin=0.4, Sacramento=0.36)
    record = change(record, "prompts.city0.baseline", clean)
    reading = record.interventions[SWAP].trials["city0"].reading
    start, end = (r.tokens[DIFF[0]].logit - r.tokens[DIFF[1]].logit for r in (clean, reading))
    assert start < 0 and end - start == pytest.approx(2.1, abs=0.01)

    def found(controls):
        second = reading.tokens[DIFF[1]].logit
        logits = np.stack([np.full(99, second), second + controls], axis=1)
        return one(record, {**arrays, f"controls/{SWAP}/city0/logits": logits})

    fall = start - np.linspace(8, 9, 99)
    assert (found(fall).outcome, found(fall).p) == ("failed", 1.0)
    fall = start - np.linspace(0.5, 2.0, 99)
    fall[:2] = start - 3.0
    assert (found(fall).outcome, found(fall).p) == ("held", 3 / 100)
    # Five controls are above the unclamped value, which alone would not do: the plain p decides.
    fall = start - np.linspace(8, 9, 99)
    fall[:5] = start + 1.0
    assert (found(fall).outcome, found(fall).p) == ("held", 1 / 100)


def test_a_probability_is_compared_as_its_logarithm():
    record, arrays = bench({"probability": DIFF[0], "beats_controls_across": 0.05})
    outcome = one(record, arrays)
    trial = record.interventions[SWAP].trials["city0"]
    logits = arrays[f"controls/{SWAP}/city0/logits"][:, 1]
    d = math.log(trial.reading.tokens[DIFF[0]].probability) - (np.median(logits) - 20)
    assert outcome.prompts[0].value == pytest.approx(d)
    assert "ln p" in outcome.prompts[0].observed


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize(
    ("n_controls", "alpha", "outcome"),
    [(18, 0.05, "untested"), (19, 0.05, "held"), (98, 0.01, "untested"), (99, 0.01, "held")],
)
def test_controls_say_how_small_p_can_be_and_prompts_do_not(n, n_controls, alpha, outcome):
    asked = {"logit_diff": DIFF, "beats_controls_across": alpha}
    found = one(*bench(asked, n=n, n_controls=n_controls))
    assert found.outcome == outcome
    if outcome == "untested":
        assert found.p is None
        assert found.reason == (
            f"{n_controls} controls can reach p {1 / (n_controls + 1):.2g} at best, not {alpha}; "
            f"{n_controls + 1} are needed"
        )


def test_no_difference_anywhere_fails():
    found = one(*bench(ACROSS, shifts=[0.0] * 8))
    assert found.outcome == "failed" and found.mean is None
    assert found.p == pytest.approx(0.51)  # the median control is a tie
    assert {p.value for p in found.prompts} == {0.0} and found.n_failed == 8


def test_identical_controls_and_nan_leave_a_prompt_out():
    record, arrays = bench(ACROSS)
    arrays[f"controls/{SWAP}/city0/logits"][:] = 1.0
    arrays[f"controls/{SWAP}/city1/logits"][3, 0] = math.nan
    arrays[f"controls/{SWAP}/city2/logits"][:60, 0] = math.inf
    outcome = one(record, arrays)
    assert outcome.outcome == "held" and outcome.p == 1 / 100
    assert "(5 of 8 prompts)" in outcome.observed
    assert [p.reason for p in outcome.prompts[:3]] == [
        "all 99 controls come out the same, so they say nothing of chance",
        "the logits of its controls hold NaN",
        "its difference from its controls is not finite",
    ]
    for prompt in PROMPTS[3:]:
        arrays[f"controls/{SWAP}/{prompt}/logits"][:] = 1.0
    outcome = one(record, arrays)
    assert outcome.outcome == "untested" and outcome.p is None
    assert outcome.reason.startswith("all 99 controls come out the same, so they say nothing")


def test_identical_controls_are_no_test_on_single_prompts_either():
    record, arrays = bench({"logit_diff": DIFF, "beats_controls": 0.05}, n=1)
    arrays[f"controls/{SWAP}/city0/logits"][:] = 1.0
    assert one(record, arrays).reason == (
        "all 99 controls come out the same, so they say nothing of chance"
    )


def test_groups_change_nothing_of_a_test_in_which_the_sets_are_drawn():
    groups = {name: f"t{n // 2}" for n, name in enumerate(PROMPTS)}
    grouped = one(*bench(ACROSS, shifts=SHIFTS, spread=SPREAD, groups=groups))
    assert grouped.p == one(*bench(ACROSS, shifts=SHIFTS, spread=SPREAD)).p


def test_holm_counts_it_among_the_others_by_the_p_of_the_split():
    verdict = judge_run(*bench(ACROSS, UNDER, n=5, n_controls=19))
    first = verdict.outcomes[0]
    assert first.p == 1 / 20 and first.p_adjusted == 1 / 10
    assert first.outcome == "untested"
    assert first.reason == (
        "corrected for 2 tests of this hypothesis (Holm), p can reach 0.1 at best, not 0.05: "
        "draw more controls"
    )
    held = judge_run(*bench(ACROSS, UNDER, n=6))
    assert held.verdict == "consistent" and held.outcomes[0].p_adjusted == 1 / 50
    assert "mean difference +2.00 from 99 controls, p 0.01 (6 prompts) (held out)" in held.reason
    assert any("but of tests across prompts that of all of them" in c for c in held.caveats)


def test_the_weakest_ablation_decides_what_is_necessary():
    study = {"ablate": ["texas"], "kinds": ["zero", "inhibit"]}
    record, arrays = bench(ACROSS, study=study, name="needed.zero")
    weak = [0.3 if n else -0.5 for n in range(8)]
    for n, prompt in enumerate(PROMPTS):
        put_controls(record, arrays, prompt, weak[n], "needed.inhibit", SPREAD[n])
    outcome = one(record, arrays)
    assert 0.05 < outcome.p == pytest.approx(p_by_hand(weak, SPREAD))
    assert outcome.outcome == "failed" and outcome.observed.endswith("(8 prompts) (inhibit)")


def test_the_mean_is_told_with_its_interval_by_group():
    shifts = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    each = one(*bench(ACROSS, shifts=shifts)).mean
    assert each.value == pytest.approx(4.5) and each.n_groups == 8
    assert (each.low, each.high) == pytest.approx(subsets_by_hand(shifts))
    assert "95 % interval +" in each.text
    groups = {name: "ab" if n < 2 else name for n, name in enumerate(PROMPTS)}
    record, arrays = bench(ACROSS, shifts=shifts, groups=groups)
    seven = one(record, arrays).mean
    means = [1.5, *shifts[2:]]
    assert (seven.value, seven.n_groups) == (pytest.approx(statistics.mean(means)), 7)
    assert (seven.low, seven.high) == pytest.approx(subsets_by_hand(means))
    told = (
        f"mean +{seven.value:.2f}, 95 % interval by group +{seven.low:.2f} to +{seven.high:.2f} "
        "(8 prompts in 7 groups)"
    )
    assert seven.text == told
    rows = outcome_views(judge_run(record, arrays).outcomes).kept
    assert rows[0].summary == f"8 prompts: 8 held (one test of all of them); {told}"
    assert [p.split for p in prompt_views(record).kept if p.prompt.name == "city0"] == [
        "held out, group ab"
    ]
    few = {name: f"t{n % 5}" for n, name in enumerate(PROMPTS)}
    assert one(*bench(ACROSS, shifts=shifts, groups=few)).mean is None


def subsets_by_hand(values):
    """2.5 % of the 2ⁿ pieces that the means of all subsets cut the line into, on either side."""
    n = len(values)
    means = sorted(
        statistics.mean(chosen)
        for size in range(1, n + 1)
        for chosen in itertools.combinations(values, size)
    )
    outside = int(0.025 * 2**n)
    return means[outside - 1], means[-outside]


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
        "it says nothing beside 'beats_controls_across', 'undercuts_controls_across', "
        "'beats_procedure', 'undercuts_procedure': all prompts are one test"
    )


def test_a_split_of_one_prompt_is_enough(tmp_path):
    accepted(
        tmp_path,
        changed(
            (EXPECTED, EXPECTED.replace("above", "beats_controls_across", 1).replace("1.0", "0.05"))
        ),
    )
