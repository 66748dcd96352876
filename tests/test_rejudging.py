import copy

import pytest

from tests.nested import GONE, put
from tests.records import HYPOTHESIS, make_record
from tracer.errors import UsageError
from tracer.evidence.judge import judge_run
from tracer.hypothesis.spec import Hypothesis

SWAP = "texas_to_california"


def changed(path, value):
    """The file with one value put in place, or left out."""
    return Hypothesis.model_validate(put(HYPOTHESIS, path, value))


def rejudge(path, value):
    return judge_run(*make_record(), hypothesis=changed(path, value))


def test_the_same_file_changes_nothing():
    record, arrays = make_record()
    again = judge_run(record, arrays, hypothesis=Hypothesis.model_validate(HYPOTHESIS))
    assert again == judge_run(record, arrays)
    assert again.post_hoc == ()


def test_another_way_to_write_the_same_is_no_change():
    long = changed(f"interventions.{SWAP}.clamp", {"texas": {"times": 0}, "california": 1})
    record, arrays = make_record()
    assert judge_run(record, arrays, hypothesis=long).post_hoc == ()
    model = changed("model", {"name": "gemma-3-270m", "device": "cuda"})
    assert judge_run(record, arrays, hypothesis=model).post_hoc == ()
    skipping = changed("if_absent", "skip")
    assert judge_run(record, arrays, hypothesis=skipping).post_hoc == ()


def test_a_stricter_threshold_is_judged_and_listed():
    verdict = rejudge(f"interventions.{SWAP}.expect.1.above", 5.0)
    assert verdict.verdict == "refuted"
    assert verdict.post_hoc == (
        f"interventions.{SWAP}.expect[1].above: measured with 1.0, judged with 5.0",
    )


@pytest.mark.parametrize(
    ("path", "value", "listed"),
    [
        ("claim", "Another.", "claim: measured with 'Naming the capital goes through"),
        ("expected", "refuted", "expected: measured with 'consistent', judged with 'refuted'"),
        ("supernodes.texas.label", "T", "supernodes.texas.label: measured with 'Texas'"),
        ("prompts.plano.held_out", False, "prompts.plano.held_out: measured with true"),
        (
            f"interventions.{SWAP}.prompts",
            ["dallas", "plano", "el_paso"],
            f"interventions.{SWAP}.prompts.lubbock: left out",
        ),
        ("interventions.ablate_texas", GONE, "interventions.ablate_texas: left out"),
        (
            f"interventions.{SWAP}.doses",
            GONE,
            f"interventions.{SWAP}.doses: left out",
        ),
        (
            f"interventions.{SWAP}.doses.factors",
            [0, 1, 1.5, 2],
            f"interventions.{SWAP}.doses.factors.0.5: left out",
        ),
        (
            f"interventions.{SWAP}.doses.expect.0.p",
            0.01,
            f"interventions.{SWAP}.doses.expect[0].p: measured with 0.05, judged with 0.01",
        ),
        (
            "interventions.ablate_texas.expect",
            [{"top_is_not": "{answer}"}],
            "interventions.ablate_texas.expect[1]: left out",
        ),
        (
            f"interventions.{SWAP}.expect.0",
            {"top_is_not": " Austin"},
            f"interventions.{SWAP}.expect[0]: left out, {{'top':",
        ),
    ],
)
def test_what_only_judging_reads_may_change(path, value, listed):
    verdict = rejudge(path, value)
    assert any(text.startswith(listed) for text in verdict.post_hoc), verdict.post_hoc


def test_fewer_doses_are_judged_by_what_they_can_reach():
    verdict = rejudge(f"interventions.{SWAP}.doses.factors", [0, 1, 2])
    reason = next(o.reason for o in verdict.outcomes if "doses" in o.expectation)
    assert reason == "3 doses can reach p 0.17 at best, not 0.05"


@pytest.mark.parametrize(
    ("path", "value", "lacking"),
    [
        ("seed", 1, "seed: measured with 0, judged with 1"),
        ("model", "Qwen/Qwen3-0.6B", "model.name: measured with 'gemma-3-270m', judged with"),
        ("template", "{city}", "template: measured with"),
        ("controls.random", 999, "controls.random: measured with 99, judged with 999"),
        ("prompts.plano.answer", " Waco", "prompts.plano.answer: measured with"),
        ("prompts.plano.city", "Waco", "prompts.plano.city: measured with"),
        ("prompts.waco", {"city": "Waco"}, "prompts.waco: added"),
        ("supernodes.texas.select.top", 20, "supernodes.texas.select.top: measured"),
        ("supernodes.x", {"features": ["1_2"]}, "supernodes.x: added"),
        (
            f"interventions.{SWAP}.clamp.texas",
            {"to": 0},
            f"interventions.{SWAP}.clamp[0][1].times",
        ),
        (f"interventions.{SWAP}.clamp.texas", -1, f"interventions.{SWAP}.clamp[0][1].times"),
        (
            f"interventions.{SWAP}.clamp",
            {"california": 1, "texas": 0},
            f"interventions.{SWAP}.clamp[0][0]: measured with 'texas', judged with 'california'",
        ),
        (f"interventions.{SWAP}.freeze", "all", f"interventions.{SWAP}.freeze: measured"),
        (
            f"interventions.{SWAP}.prompts",
            ["dallas", "oakland"],
            f"interventions.{SWAP}.prompts.oakland: added",
        ),
        (
            f"interventions.{SWAP}.doses.factors",
            [0, 3],
            f"interventions.{SWAP}.doses.factors.3.0: added",
        ),
        (f"interventions.{SWAP}.doses.of", "texas", f"interventions.{SWAP}.doses.of"),
        (
            "interventions.ablate_texas.doses",
            {"of": "texas", "factors": [0, 1]},
            "interventions.ablate_texas.doses: ",
        ),
        (
            f"interventions.{SWAP}.expect.0",
            {"top": " Waco"},
            "the token ' Waco' was not read on dallas",
        ),
        (
            f"interventions.{SWAP}.expect.0",
            {"supernode": "waco", "fraction_below": 1},
            "no supernode 'waco' was measured",
        ),
    ],
)
def test_what_would_need_measuring_is_refused_with_its_place(path, value, lacking):
    with pytest.raises(UsageError) as caught:
        rejudge(path, value)
    first, *lines = str(caught.value).splitlines()
    assert first == (
        "run two_hop/20260102T030405Z-0123ab does not have what this asks for; "
        "make a new run for it:"
    )
    assert any(lacking in line for line in lines), lines


def test_all_that_is_lacking_is_told_at_once():
    data = copy.deepcopy(HYPOTHESIS)
    data["seed"] = 1
    data["interventions"][SWAP]["expect"][0] = {"top": " Waco"}
    data["interventions"][SWAP]["expect"][1]["above"] = 2
    with pytest.raises(UsageError) as caught:
        judge_run(*make_record(), hypothesis=Hypothesis.model_validate(data))
    assert len(str(caught.value).splitlines()) == 1 + 1 + 4


def test_a_token_read_without_controls_cannot_be_compared_with_them():
    record, arrays = make_record()
    trials = {}
    for name, trial in record.interventions[SWAP].trials.items():
        trials[name] = trial.model_copy(update={"control_tokens": (" Austin", " Tallahassee")})
    swap = record.interventions[SWAP].model_copy(update={"trials": trials})
    bent = record.model_copy(update={"interventions": {**record.interventions, SWAP: swap}})
    with pytest.raises(UsageError, match="the token ' Sacramento' was not read under controls"):
        judge_run(bent, arrays)


def test_generated_text_may_be_left_out_but_not_asked_for():
    data = copy.deepcopy(HYPOTHESIS)
    data["interventions"][SWAP]["generate"] = {"tokens": 8}
    record, arrays = make_record(hypothesis=data)
    assert judge_run(record, arrays, hypothesis=Hypothesis.model_validate(HYPOTHESIS)).post_hoc == (
        f"interventions.{SWAP}.generate: left out",
    )
    with pytest.raises(UsageError, match="generate: added"):
        judge_run(*make_record(), hypothesis=Hypothesis.model_validate(data))
    data["interventions"][SWAP]["generate"] = {"tokens": 9}
    with pytest.raises(UsageError, match=r"generate\.tokens: measured with 8"):
        judge_run(record, arrays, hypothesis=Hypothesis.model_validate(data))
