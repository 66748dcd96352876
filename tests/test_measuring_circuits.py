"""A circuit measured on a tiny model: every score against the dense way."""

import numpy as np
import pytest
import torch

from tests.bench import ATOL, TINY, logits_by_hand, make_bench
from tests.test_ablation import by_hand
from tracer.engine.ablation import mean_of, observe
from tracer.engine.batches import BatchLimit
from tracer.engine.measure.circuit_members import Member, grouped
from tracer.engine.measure.circuit_setup import metric_of, prepare_circuit
from tracer.engine.measure.circuits import circuit_record, measure_circuit, n_circuit_rows
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.record.record import FeatureRef, SupernodeRecord

CIRCUIT = {
    "supernodes": ["texas", "california"],
    "prompts": ["dallas", "plano"],
    "reference": ["oakland", "miami"],
    "metric": {"logit_diff": [" Austin", " Sacramento"]},
    "random": 7,
    "groups": 3,
}
PROMPTS = TINY["prompts"] | {"miami": {"city": "Miami"}}


def bench_with(tiny, texts=PROMPTS, **changes):
    hypothesis = TINY | {"prompts": texts, "circuit": {"states": CIRCUIT | changes}}
    return make_bench(tiny, hypothesis=hypothesis)


def measured(bench, prompt="dallas"):
    circuit = prepare_circuit(bench, "states")
    found = measure_circuit(bench, circuit, prompt, BatchLimit(16), lambda n: None)
    arrays = {key.rsplit("/", 1)[1]: values for key, values in found.arrays.items()}
    return circuit, found.trial, arrays


@pytest.fixture(scope="module")
def states(tiny):
    bench = bench_with(tiny)
    return bench, *measured(bench)


def base_by_hand(bench, prompt="dallas"):
    start, stop = 4, len(bench.clean[prompt].ids)
    seen = [
        observe(bench.model, bench.basis, bench.clean[n].prompt.ids, range(2), range(start, stop))
        for n in ("oakland", "miami")
    ]
    return mean_of(seen)


def kept(places):
    by_layer = {n: [(p, i) for layer, p, i in places if layer == n] for n in range(2)}
    return {n: torch.tensor(each) for n, each in by_layer.items() if each}


def score_by_hand(bench, places, prompt="dallas"):
    tokenized = bench.clean[prompt].prompt
    logits = by_hand(bench, tokenized, base_by_hand(bench, prompt), kept(places))
    first, second = tokenized.asked[" Austin"], tokenized.asked[" Sacramento"]
    return float(logits[first] - logits[second])


def places_of(bench, prompt="dallas"):
    pos = bench.clean[prompt].prompt.spans["city"][1] - 1
    refs = [ref for node in bench.supernodes.values() for ref in node.features]
    return sorted({(ref.layer, pos, ref.index) for ref in refs})


def test_the_four_scores_are_those_of_hooks(states):
    bench, circuit, trial, _ = states
    places = places_of(bench)
    assert trial.n_features == len(places) and trial.positions == (4, 6)
    clean = bench.clean["dallas"]
    assert trial.scores.whole == pytest.approx(score_by_hand(bench, every(bench)), abs=ATOL)
    assert trial.scores.empty == pytest.approx(score_by_hand(bench, []), abs=ATOL)
    assert trial.scores.circuit == pytest.approx(score_by_hand(bench, places), abs=ATOL)
    base = base_by_hand(bench)
    values = {p: float(base.features[p[0]][p[1] - 4, p[2]]) for p in places}
    logits = logits_by_hand(bench, "dallas", values)
    asked = clean.prompt.asked
    rest = float(logits[asked[" Austin"]] - logits[asked[" Sacramento"]])
    assert trial.scores.rest == pytest.approx(rest, abs=ATOL)


def every(bench):
    return [(n, pos, i) for n in range(2) for pos in (4, 5) for i in range(64)]


def test_groups_are_left_out_and_fillers_added(states):
    bench, circuit, _, arrays = states
    record = circuit_record(circuit)
    assert record.n_members == 8 - duplicates(bench) and record.n_outside == 0
    assert len(record.groups) == len(arrays["without"]) and record.groups[0].startswith("texas 1–")
    for (_, group), score in zip(circuit.groups, arrays["without"], strict=True):
        gone = {member.place("dallas") for member in group}
        left = [p for p in places_of(bench) if p not in gone]
        assert score == pytest.approx(score_by_hand(bench, left), abs=ATOL)
    for drawn, score in zip(circuit.fillers, arrays["filler"], strict=True):
        more = [member.place("dallas") for member in drawn]
        assert not set(more) & set(places_of(bench))
        assert score == pytest.approx(score_by_hand(bench, places_of(bench) + more), abs=ATOL)


def duplicates(bench):
    return 8 - len(places_of(bench))


def test_random_circuits_have_as_many_features_in_each_layer_and_none_of_a_supernode(states):
    bench, circuit, _, arrays = states
    mine = places_of(bench)
    for drawn, score in zip(circuit.random, arrays["random"], strict=True):
        places = [member.place("dallas") for member in drawn]
        assert len(set(places)) == len(mine) and not set(places) & set(mine)
        assert sorted(p[:2] for p in places) == sorted(p[:2] for p in mine)
        assert score == pytest.approx(score_by_hand(bench, places), abs=ATOL)
        assert [m.index for m in drawn] == [m.place("plano")[2] for m in drawn]
    assert len(arrays["random_rest"]) == 7


def test_the_curve_ends_at_the_model_and_ranks_on_discovery_only(states):
    bench, circuit, trial, arrays = states
    assert circuit.ranked_on == ("dallas",)
    assert len(circuit.ranking.places) == 2 * 2 * 64
    assert circuit.ranking.sizes == tuple(max(1, round(s * 256)) for s in SHARES)
    assert arrays["curve"][-1] == pytest.approx(trial.scores.whole, abs=ATOL)
    first = [tuple(p) for p in circuit.ranking.places[: circuit.ranking.sizes[5]].tolist()]
    assert arrays["curve"][5] == pytest.approx(score_by_hand(bench, first), abs=ATOL)


def test_the_ranking_is_change_times_gradient(states):
    bench, circuit, _, _ = states
    layer, pos, index = circuit.ranking.places[0].tolist()
    base = base_by_hand(bench)
    clean = bench.clean["dallas"]
    read = metric_of(bench, circuit.spec, "dallas")
    now = float(clean.activation(layer, pos)[index])
    step = 1e-2

    def at(value):
        return float(read(logits_by_hand(bench, "dallas", {(layer, pos, index): value})))

    slope = (at(now + step) - at(now - step)) / (2 * step)
    best = (now - float(base.features[layer][pos - 4, index])) * slope
    assert best > 0
    for other in circuit.ranking.places[1:40:13].tolist():
        there, where, which = other
        value = float(clean.activation(there, where)[which])
        change = value - float(base.features[there][where - 4, which])
        up = logits_by_hand(bench, "dallas", {(there, where, which): value + step})
        down = logits_by_hand(bench, "dallas", {(there, where, which): value - step})
        assert change * float(read(up) - read(down)) / (2 * step) < best + 1e-3


def test_an_answer_is_read_less_the_mean(tiny):
    prompts = {name: spec | {"answer": " Austin"} for name, spec in PROMPTS.items()}
    bench = bench_with(tiny, prompts, metric="answer")
    logits = bench.clean["dallas"].logits
    expected = logits[bench.clean["dallas"].prompt.answer_id] - logits.mean()
    assert float(
        metric_of(bench, bench.hypothesis.studies_of(CircuitSpec)["states"], "dallas")(logits)
    ) == (pytest.approx(float(expected)))


def test_other_token_lengths_are_told(tiny):
    prompts = PROMPTS | {"long": {"city": "San Diego", "held_out": True}}
    bench = bench_with(tiny, prompts, prompts=["dallas", "long"])
    circuit, trial, arrays = measured(bench, "long")
    assert arrays == {} and trial.scores is None
    assert trial.problem == (
        "the reference prompt 'oakland' has 6 tokens and this one 7, so there is no mean at the "
        "same positions"
    )
    assert measured(bench, "dallas")[1].problem is None


def test_nothing_to_ablate_is_told(tiny):
    prompts = PROMPTS | {"again": {"city": "Oakland"}, "again2": {"city": "Oakland"}}
    bench = bench_with(tiny, prompts, reference=["again", "again2"], prompts=["oakland", "miami"])
    _, trial, _ = measured(bench, "oakland")
    assert "same tokens as it: nothing would be ablated" in trial.problem


def test_members_outside_the_scope_are_counted_and_left_out(tiny):
    bench = bench_with(tiny, within={"at": "city", "layers": [1, 1]})
    circuit, trial, _ = measured(bench)
    inside = [p for p in places_of(bench) if p[0] == 1]
    assert trial.n_features == len(inside) and trial.positions == (4, 5)
    assert circuit.n_outside == sum(
        ref.layer == 0 for node in bench.supernodes.values() for ref in node.features
    )


def test_a_circuit_that_is_a_whole_layer_has_no_random_ones(tiny):
    whole = {"features": [f"1_{i}" for i in range(64)], "at": "city"}
    hypothesis = TINY | {
        "prompts": PROMPTS,
        "supernodes": TINY["supernodes"] | {"layer": whole},
        "circuit": {"states": CIRCUIT | {"supernodes": ["layer"], "groups": 4}},
    }
    bench = bench_with(tiny)
    refs = tuple(FeatureRef(layer=1, index=i) for i in range(64))
    node = SupernodeRecord(
        name="layer", label="layer", at="city", anchor="last", features=refs, source=()
    )
    bench = MeasurementContext(
        Hypothesis.model_validate(hypothesis),
        bench.model,
        bench.basis,
        bench.clean,
        {**bench.supernodes, "layer": node},
    )
    circuit, trial, arrays = measured(bench)
    assert circuit.random == [] and circuit.fillers == []
    assert "too few other features" in circuit.notes[0]
    assert trial.scores is not None and len(arrays["without"]) == 4
    assert n_circuit_rows(circuit) == 3 + 4 + len(SHARES)
    assert np.isfinite(arrays["curve"]).all()


def test_a_supernode_without_a_member_in_scope_makes_no_group():
    members = [Member(f"texas 0_{n}", (0, "city", "last", 0, None), n, {}) for n in range(6)]
    groups = grouped([[], members], 3)
    assert [name for name, _ in groups] == ["texas 1–2", "texas 3–4", "texas 5–6"]
    assert [member for _, group in groups for member in group] == members
