"""Crude interventions at the place where a concept is put in."""

import pytest
import torch

from tests.bench import TINY, make_bench
from tests.records import make_confirmable
from tracer.engine.batches import Row, batch_limit
from tracer.engine.clean import reading
from tracer.engine.forward import run_rows
from tracer.engine.measure.prompts import measure_prompt
from tracer.engine.measure.rivals import with_rivals
from tracer.engine.single_passes import single_passes
from tracer.evidence.judge import judge_run
from tracer.evidence.rivals import measured_as, rival_rows
from tracer.record.trials import Rival
from tracer.report.render import render

PROMPTS = TINY["prompts"] | {
    "dallas": {"city": "Dallas", "answer": " Austin"},
    "miami": {"city": "Miami", "answer": " Tallahassee"},
}
SWAP = TINY["interventions"]["swap"] | {"clamp": {"california": 1}, "doses": None}


def bench_of(tiny, **controls):
    swap = SWAP | {
        "expect": [{"logit_diff": [" Sacramento", " Austin"], "beats_procedure": 0.5}],
    }
    file = TINY | {
        "prompts": PROMPTS,
        "supernodes": {"california": TINY["supernodes"]["california"]},
        "interventions": {"swap": swap},
        "controls": {"random": 9, "donors": ["miami"], "rivals": True} | controls,
    }
    return make_bench(tiny, hypothesis=file)


def rivals_of(bench, prompt="dallas"):
    limit = batch_limit(bench.model, bench.clean[prompt])
    found = measure_prompt(bench, prompt, limit, lambda n: None)
    return {
        each.kind: each for each in with_rivals(bench, prompt, found, limit).trials["swap"].rivals
    }


@pytest.fixture(scope="module")
def bench(tiny):
    return bench_of(tiny)


def all_neurons(bench, source, prompt):
    """Every neuron of the layers at the city, set to what it is on another prompt."""
    run, clean = bench.clean[source], bench.clean[prompt]
    there, here = (each.prompt.spans["city"][1] - 1 for each in (run, clean))
    layers = {ref.layer for ref in bench.supernodes["california"].features}
    values = {
        (layer, here, index): float(value)
        for layer in range(min(layers), max(layers) + 1)
        for index, value in enumerate(run.activation(layer, there))
    }
    (found,) = run_rows(
        bench.model, bench.basis, clean, [Row(values)], batch_limit(bench.model, clean)
    )
    return reading(found.logits[0], clean.prompt.asked, bench.model.tokenizer)


def logits(found):
    return torch.tensor([each.logit for each in found.tokens.values()])


def test_whole_mlp_outputs_are_all_neurons_set_to_the_donors(bench):
    rivals = rivals_of(bench)
    assert torch.allclose(
        logits(rivals["mlp"].reading), logits(all_neurons(bench, "oakland", "dallas")), atol=1e-4
    )
    wrong = rivals["mlp"].wrong[" Tallahassee"]
    assert torch.allclose(logits(wrong), logits(all_neurons(bench, "miami", "dallas")), atol=1e-4)


def test_the_residual_stream_of_one_donor_alone(bench):
    """After the last layer of the set the city's stream is the donor's; the rest reads it so."""
    rivals = rivals_of(bench)
    assert rivals["residual"].write_norm > rivals["mlp"].write_norm > 0
    swapped = rivals["residual"].reading
    assert not torch.allclose(logits(swapped), logits(bench_baseline(bench, "dallas")), atol=1e-4)


def bench_baseline(bench, prompt):
    clean = bench.clean[prompt]
    return reading(clean.logits, clean.prompt.asked, bench.model.tokenizer)


def test_a_difference_of_donors_and_contrast_is_that_of_the_streams_where_both_are_one_prompt(
    bench,
):
    """Oakland less Dallas, added on Dallas, is Oakland's stream there."""
    rivals = rivals_of(bench)
    difference, residual = rivals["difference"], rivals["residual"]
    assert difference.write_norm == pytest.approx(residual.write_norm, rel=1e-4)
    assert torch.allclose(logits(difference.reading), logits(residual.reading), atol=1e-4)


def test_none_where_nobody_asks(tiny):
    assert rivals_of(bench_of(tiny, rivals=False)) == {}


def with_rival_trials(record):
    name = "texas_to_california"
    trials = {}
    for prompt, trial in record.interventions[name].trials.items():
        clean = record.prompts[prompt].baseline
        rival = Rival(
            kind="mlp", reading=trial.reading, write_norm=30.0,
            wrong={" Albany": clean, " Phoenix": trial.reading},
        )  # fmt: skip
        trials[prompt] = trial.model_copy(update={"rivals": (rival,)})
    found = record.interventions[name].model_copy(update={"trials": trials})
    return record.model_copy(update={"interventions": record.interventions | {name: found}})


def test_effect_wrong_donors_and_size_stand_beside_the_claims():
    record, arrays = make_confirmable()
    record = with_rival_trials(record)
    own, rival = rival_rows(record, "texas_to_california")
    assert measured_as(record, "texas_to_california") == "ln p(' Sacramento')"
    assert own.effect == rival.effect == rival.wrong != 0
    assert (own.kind, own.wrong, own.says) == (None, None, "6 of 6")
    assert own.write_norm == pytest.approx(14.2 * 2**0.5)
    page = render(record, judge_run(record, arrays), arrays)
    assert "whole MLP outputs of the donors" in page
    assert rival_rows(record, "ablate_texas") == ()


def counted(monkeypatch, model, call):
    """How often each kind of pass is made."""
    calls = dict.fromkeys(("read", "forward"), 0)

    def counting(name, make):
        def passing(*args, **named):
            calls[name] += 1
            return make(*args, **named)

        return passing

    with monkeypatch.context() as patched:
        for name in calls:
            patched.setattr(type(model), name, counting(name, getattr(type(model), name)))
        call()
    return calls


def test_as_many_passes_are_planned_as_are_made(tiny, monkeypatch):
    bench = bench_of(tiny)
    planned, prompts = (
        single_passes(bench.hypothesis),
        bench.hypothesis.interventions["swap"].prompts,
    )
    limits = {name: batch_limit(bench.model, bench.clean[name]) for name in prompts}
    found = {n: measure_prompt(bench, n, limits[n], lambda n: None) for n in prompts}

    def measure():
        for name in prompts:
            with_rivals(bench, name, found[name], limits[name])

    calls = counted(monkeypatch, bench.model, measure)
    assert calls == {"read": len(planned.sources), "forward": planned.n_rivals}
    assert planned.n_rivals == 2 * len(prompts) * len(rivals_of(bench))
    assert planned.neutral == 0
    assert single_passes(bench_of(tiny, rivals=False).hypothesis).total == 0
