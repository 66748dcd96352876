import pytest
from records import AWAY, HYPOTHESIS, change, make_record

from tracer.evidence.caveats import caveats as worked_out
from tracer.evidence.judge import judge_run
from tracer.evidence.statistics import wilson
from tracer.hypothesis.spec import Hypothesis

SWAP = "texas_to_california"


def caveats(record_and_arrays=None, **changes):
    record, arrays = record_and_arrays or make_record()
    for path, value in changes.items():
        record = change(record, path, value)
    return judge_run(record, arrays).caveats


def test_few_held_out_prompts_are_weighed():
    text = next(c for c in caveats() if c.startswith("only"))
    assert text == (
        "only 3 held-out prompts: even 3 of 3 allows a true rate as low as 0.44 (95 % Wilson)"
    )
    assert f"{wilson(3, 3)[0]:.2f}" == "0.44"


def test_without_held_out_prompts_that_comes_first():
    prompts = {name: {**p, "held_out": False} for name, p in HYPOTHESIS["prompts"].items()}
    found = caveats(make_record(hypothesis={"prompts": prompts}))
    assert found[0] == (
        "no held-out prompts: the supernodes are judged on the prompts they were found on"
    )
    assert any(c.startswith("only 4 discovery prompts") for c in found)


def test_explicit_features_were_not_found_on_a_prompt():
    nodes = {name: {"features": ["1_2"], "source": ["dallas"]} for name in HYPOTHESIS["supernodes"]}
    found = caveats(make_record(hypothesis={"supernodes": nodes}))
    assert not any("found on one prompt" in c for c in found)


def test_supernodes_found_on_one_prompt_are_named_with_it():
    found = caveats()
    assert (
        "texas, say_austin were found on one prompt (dallas) and may carry its own identity"
        in found
    )
    assert "california was found on one prompt (oakland) and may carry its own identity" in found
    assert (
        "each supernode's share of its rule's positive scores: "
        "texas 31 %, california 31 %, say_austin 31 %" in found
    )


def test_each_p_is_told_to_be_of_one_prompt():
    # Two tests: the doses' p of 1/120 counts twice, the controls' 0.01 once.
    assert (
        "each p is that of the prompt that decides, none is pooled, and all expectations are "
        "corrected together (Holm): the highest is 0.017" in caveats()
    )


def test_no_controls_are_a_caveat():
    assert "no controls: a random clamp of the same size might do the same" in caveats(
        make_record(n_controls=0)
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_a_caveat(dtype):
    expected = f"measured in {dtype}: small differences may be rounding"
    found = caveats(make_record(dtype=dtype))
    assert expected in found
    assert any("1.3 to 5.6 times is reported of small edges" in each for each in found)
    assert expected not in caveats()


def test_what_the_run_noted_is_passed_on():
    found = caveats(lock_notes=("texas: 3 features differ",), notes=("halved batch",) * 2)
    assert found[-2:] == ("texas: 3 features differ", "halved batch")


def test_shared_features_are_a_caveat():
    record, arrays = make_record()
    trial = record.interventions[SWAP].trials["plano"]
    clamps = (trial.clamps[0].model_copy(update={"n_overridden": 3}), *trial.clamps[1:])
    found = caveats((change(record, f"interventions.{SWAP}.trials.plano.clamps", clamps), arrays))
    assert f"{SWAP}: its clamps share 3 features; the later clamp sets it" in found


def test_features_shared_by_many_interventions_are_one_caveat():
    record, _ = make_record()
    trial = record.interventions[SWAP].trials["plano"]
    clamps = (trial.clamps[0].model_copy(update={"n_overridden": 3}), *trial.clamps[1:])
    record = change(record, f"interventions.{SWAP}.trials.plano.clamps", clamps)
    more = {f"swap{n}": record.interventions[SWAP] for n in range(6)}
    record = record.model_copy(update={"interventions": more})
    told = "the clamps of 6 interventions share up to 3 features; the later clamp sets them"
    assert told in worked_out(record, record.hypothesis, [])


def test_untested_prompts_are_counted():
    found = caveats(make_record(baselines={"plano": AWAY}))
    assert "6 of 24 tests on single prompts could not be made" in found


def test_an_incomplete_run_and_a_negative_claim_are_told_first():
    record, arrays = make_record(hypothesis={"expected": "refuted"})
    found = caveats((record, arrays), status="measuring")
    assert found[0] == "the run is incomplete: it was stopped before everything was measured"
    assert found[1] == "the file expects to be refuted: it states a negative result"


def test_chat_prompts_are_a_caveat():
    record, arrays = make_record()
    data = record.hypothesis.model_dump(by_alias=True)
    data["prompts"]["plano"]["messages"] = [{"role": "user", "content": "{city}"}]
    record = record.model_copy(update={"hypothesis": Hypothesis.model_validate(data)})
    assert (
        "chat prompts: the model's own chat template is part of what was tested"
        in judge_run(record, arrays).caveats
    )
