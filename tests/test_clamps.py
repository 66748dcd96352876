"""Clamps and their matched controls, recomputed feature by feature."""

import pytest
import torch

from tests.bench import ATOL, TINY, make_bench
from tracer.engine.clamps import (
    Clamp,
    assign,
    clamp_records,
    resolve_clamps,
    writes,
)
from tracer.engine.controls import draw_controls, natural_change
from tracer.engine.features.places import PlaceValues
from tracer.hypothesis.clamps import Amount, InterventionSpec
from tracer.record.record import FeatureRef, SupernodeRecord


def clamps_of(bench, clamp, prompt="dallas"):
    spec = InterventionSpec.model_validate({"prompts": [prompt], "clamp": clamp})
    return resolve_clamps(spec, bench.supernodes, bench.clean, prompt)


def records_of(clamps, bench):
    clean = bench.clean["dallas"]
    return clamp_records(clamps, assign(clamps, clean), clean, bench.basis)


def controls_of(clamps, bench, prompt, excluded=()):
    clean = bench.clean[prompt]
    return draw_controls(clamps, assign(clamps, clean), clean, bench.basis, dict(excluded), 3, "a")


def city(bench, prompt="dallas"):
    return bench.clean[prompt].prompt.spans["city"][1] - 1


def test_a_factor_multiplies_the_activation_on_the_source(bench):
    clamps = clamps_of(bench, {"california": 1.5})
    values = assign(clamps, bench.clean["dallas"]).values
    for ref in bench.supernodes["california"].features:
        own = bench.clean["oakland"].activation(ref.layer, city(bench, "oakland"))[ref.index]
        assert values[ref.layer, city(bench), ref.index] == pytest.approx(1.5 * float(own))


def test_several_sources_are_averaged(bench):
    clamps = clamps_of(bench, {"california": {"times": -1, "from": ["oakland", "here"]}})
    values = assign(clamps, bench.clean["dallas"]).values
    ref = bench.supernodes["california"].features[0]
    a = bench.clean["oakland"].activation(ref.layer, city(bench, "oakland"))[ref.index]
    b = bench.clean["dallas"].activation(ref.layer, city(bench))[ref.index]
    assert values[ref.layer, city(bench), ref.index] == pytest.approx(-float(a + b) / 2)


def test_a_clamp_can_be_put_at_another_span(bench):
    clamps = clamps_of(bench, {"california": {"times": 1, "at": "last"}})
    values = assign(clamps, bench.clean["dallas"]).values
    assert {pos for _, pos, _ in values} == {len(bench.clean["dallas"].ids) - 1}
    ref = bench.supernodes["california"].features[0]
    own = bench.clean["oakland"].activation(ref.layer, city(bench, "oakland"))[ref.index]
    assert values[ref.layer, len(bench.clean["dallas"].ids) - 1, ref.index] == pytest.approx(
        float(own)
    )


def test_a_later_clamp_takes_over_and_the_record_says_so(bench):
    same = bench.supernodes | {"texas": bench.supernodes["california"]}
    spec = InterventionSpec.model_validate(
        {"prompts": ["dallas"], "clamp": {"texas": 0, "california": 1}}
    )
    clamps = resolve_clamps(spec, same, bench.clean, "dallas")
    first, second = records_of(clamps, bench)
    assert (first.n_features, first.n_overridden) == (4, 4)
    assert (second.n_features, second.n_overridden) == (4, 0)
    assert first.write_norm == 0
    assert all(v != 0 for v in assign(clamps, bench.clean["dallas"]).values.values())


def with_maxima(bench, maximum):
    """The bench's supernodes, every feature with this maximum."""
    return {
        name: each.model_copy(
            update={
                "features": tuple(r.model_copy(update={"maximum": maximum}) for r in each.features)
            }
        )
        for name, each in bench.supernodes.items()
    }


def in_unit(bench, clamp):
    """The clamps on dallas of texas alone, with maxima of 8."""
    spec = InterventionSpec.model_validate({"prompts": ["dallas"], "clamp": {"texas": clamp}})
    return resolve_clamps(spec, with_maxima(bench, 8.0), bench.clean, "dallas")


def test_a_value_is_set_as_it_is_and_an_amount_is_added_to_the_prompts_own(bench):
    clean = bench.clean["dallas"]
    assert set(assign(in_unit(bench, {"to": 2.5}), clean).values.values()) == {2.5}
    added = assign(in_unit(bench, {"add": -0.5}), clean).values
    for (layer, pos, index), value in added.items():
        assert value == pytest.approx(float(clean.activation(layer, pos)[index]) - 0.5 * 8)
    here = assign(in_unit(bench, {"times": 3, "from": ["here"]}), clean).values
    for (layer, pos, index), value in here.items():
        assert value == pytest.approx(3 * float(clean.activation(layer, pos)[index]))


def test_the_record_says_the_amount_in_its_unit_and_no_source_where_none_was_read(bench):
    [record] = records_of(in_unit(bench, {"add": -0.5}), bench)
    assert (record.times, record.to, record.add, record.source) == (None, None, -0.5, ())
    assert record.amount.words() == "+ −0.5 × maximum"


@pytest.mark.parametrize("clamp", [{"to": 2.5}, {"add": 2}])
def test_controls_of_values_and_amounts_match_the_write(bench, clamp):
    clean, clamps = bench.clean["dallas"], in_unit(bench, clamp)
    size = {
        k: float(w.norm())
        for k, w in writes(bench.basis, clean, assign(clamps, clean).values).items()
    }
    controls = draw_controls(clamps, assign(clamps, clean), clean, bench.basis, {}, 5, "seed")
    assert controls is not None
    for control in controls:
        for key, write in writes(bench.basis, clean, control).items():
            assert float(write.norm()) == pytest.approx(size[key], rel=1e-4)


def test_an_inactive_feature_does_not_stand_for_an_active_one():
    clean = torch.tensor([0.0, 3.0, 0.0, 1.0])
    features = (FeatureRef(layer=0, index=1, maximum=8.0), FeatureRef(layer=0, index=2))
    node = SupernodeRecord(
        name="n", label="n", at="last", anchor="last", features=features, source=()
    )
    adds = Clamp(node, Amount("add", 2.0), "last", (), "last")
    assert natural_change(adds, 0, clean).tolist() == [0, 16, 0, 16]
    sets = Clamp(node, Amount("to", 2.0), "last", (), "last")
    assert natural_change(sets, 0, clean).tolist() == [0, -1, 0, 1]
    assert natural_change(sets, 1, clean).tolist() == [2, -1, 2, 1]


def test_controls_match_count_place_and_size_and_avoid_the_supernodes(bench):
    clean = bench.clean["dallas"]
    clamps = clamps_of(bench, {"texas": 0, "california": 2})
    real = assign(clamps, clean).values
    members = {}
    for supernode in bench.supernodes.values():
        for ref in supernode.features:
            members.setdefault(ref.layer, set()).add(ref.index)
    excluded = {layer: frozenset(indices) for layer, indices in members.items()}
    controls = draw_controls(clamps, assign(clamps, clean), clean, bench.basis, excluded, 7, "seed")
    assert controls is not None
    assert len(controls) == 7
    size = {key: float(w.norm()) for key, w in writes(bench.basis, clean, real).items()}
    for control in controls:
        assert sorted((la, p) for la, p, _ in control) == sorted((la, p) for la, p, _ in real)
        assert all(index not in excluded[layer] for layer, _, index in control)
        for key, write in writes(bench.basis, clean, control).items():
            assert float(write.norm()) == pytest.approx(size[key], rel=1e-4)


def test_controls_depend_on_the_seed_alone(bench):
    clean = bench.clean["dallas"]
    clamps = clamps_of(bench, {"california": 2})
    first, again, other = (
        draw_controls(clamps, assign(clamps, clean), clean, bench.basis, {}, 3, seed)
        for seed in ("a", "a", "b")
    )
    assert first == again
    assert first != other


def test_prompts_whose_clamps_sit_alike_draw_the_same_features(bench):
    drawn = []
    for prompt in ("dallas", "oakland"):
        clamps = clamps_of(bench, {"california": 2}, prompt)
        controls = controls_of(clamps, bench, prompt)
        assert controls is not None
        drawn.append([sorted((la, i) for la, _, i in control) for control in controls])
    assert drawn[0] == drawn[1]


def test_too_few_features_to_draw_from(bench):
    everything = {
        layer: frozenset(range(bench.basis.n_features(layer)))
        for layer in range(bench.basis.n_layers)
    }
    clamps = clamps_of(bench, {"texas": 0})
    assert controls_of(clamps, bench, "dallas", everything) is None


def test_a_write_is_change_times_decoder(bench):
    clean = bench.clean["dallas"]
    now = float(clean.activation(1, 4)[2])
    (write,) = writes(bench.basis, clean, PlaceValues.of({(1, 4, 2): now + 3})).values()
    torch.testing.assert_close(write, 3 * bench.model.W_out(1)[2], atol=ATOL, rtol=0)


def test_a_span_of_several_tokens_is_aligned_at_its_end(tiny):
    rule = {"on": ["dallas"], "at": "city", "tokens": "all", "toward": {"token": " Austin"}}
    hypothesis = TINY | {
        "prompts": TINY["prompts"] | {"far": {"city": "the city of Dallas"}},
        "supernodes": {"texas": {"select": rule | {"top": 6}}},
        "interventions": {
            "off": {
                "prompts": ["dallas", "far", "oakland", "plano"],
                "clamp": {"texas": 0},
                "expect": [{"top_is_not": " Austin"}],
            }
        },
    }
    bench = make_bench(tiny, hypothesis=hypothesis)
    span = bench.clean["far"].prompt.spans["city"]
    clamps = resolve_clamps(
        bench.hypothesis.interventions["off"], bench.supernodes, bench.clean, "far"
    )
    assert {p for _, p, _ in assign(clamps, bench.clean["far"]).values} <= {
        span[1] - 1 - ref.offset for ref in bench.supernodes["texas"].features
    }
