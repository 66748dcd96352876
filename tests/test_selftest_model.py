"""Planted models: what the construction says is what plain PyTorch finds in them."""

from __future__ import annotations

import pytest
import torch

from tracer.cli.selftest import oracle
from tracer.cli.selftest.planted import build
from tracer.cli.selftest.sentences import CITY, LENGTH
from tracer.cli.selftest.world import (
    CITIES_PER_VALUE,
    N_ANSWER,
    N_CITIES,
    N_DETECTORS,
    N_LOOK,
    N_VALUES,
    HeadRole,
    Role,
    make_plan,
    make_world,
)

SEED = 4


@pytest.fixture(scope="module", params=["two_hop", "shortcut", "memory"])
def planted(request):
    return build(make_plan(SEED, request.param))


def path_of(planted):
    return planted.plan.wirings[0].path


def readers_after(planted, layer):
    """Every weight that can read what an MLP of this layer wrote, norm weights folded in."""
    state = planted.model.state_dict()
    for later in range(layer + 1, planted.plan.n_layers):
        here = f"model.layers.{later}"
        for norm, names in (
            ("input_layernorm", [f"self_attn.{kind}_proj" for kind in "qkv"]),
            ("post_attention_layernorm", ["mlp.gate_proj", "mlp.up_proj"]),
        ):
            for name in names:
                yield state[f"{here}.{name}.weight"] * state[f"{here}.{norm}.weight"]
    yield state["lm_head.weight"] * state["model.norm.weight"]


def hidden_of(planted):
    """What every neuron is on all sentences, `[row, pos, neuron]` by layer, from one pass."""
    seen = []
    handles = [
        block.mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        for block in planted.model.model.layers
    ]
    with torch.no_grad():
        planted.model(planted.sentences.ids)
    for handle in handles:
        handle.remove()
    return seen


def writes(planted, part):
    """Without the small random part: (layer, sum of the part's writes) of every value."""
    state = planted.model.state_dict()
    for value in range(N_VALUES):
        places = planted.places[Role(0, part, value)]
        W = state[f"model.layers.{places[0][0]}.mlp.down_proj.weight"]
        yield places[0][0], W[:, [index for _, index in places]].sum(1)


def test_a_world_tells_nothing_of_one_fact_by_the_other():
    world = make_world(SEED)
    assert len(set(world.words)) == len(world.words)
    first, second = (relation.value_of for relation in world.relations)
    for values in (first, second):
        assert [values.count(v) for v in range(N_VALUES)] == [CITIES_PER_VALUE] * N_VALUES
    assert len(set(zip(first, second, strict=True))) == N_VALUES**2


def test_the_same_plan_gives_the_same_model_and_another_seed_another():
    first, second = (build(make_plan(SEED, "two_hop")) for _ in range(2))
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
    other = build(make_plan(SEED + 1, "two_hop"))
    assert other.places != first.places


def test_the_tokenizer_reads_the_sentences_and_gives_them_back(planted):
    world = planted.plan.world
    for number, relation in enumerate(world.relations):
        text = relation.template.format(city=world.cities[3])
        ids = planted.tokenizer(text)["input_ids"]
        assert ids == planted.sentences.ids[number * N_CITIES + 3].tolist()
        assert planted.tokenizer.decode(ids[1:]) == text


def test_it_answers_nearly_every_city(planted):
    logits = oracle.logits(planted, planted.sentences.ids)
    wanted = [
        planted.answer_id(number, value)
        for number, relation in enumerate(planted.plan.world.relations)
        for value in relation.value_of
    ]
    right = logits.argmax(-1) == torch.tensor(wanted)
    assert right.float().mean() >= 0.9


def test_planted_neurons_fire_where_they_are_meant_to(planted):
    if path_of(planted) == "memory":
        assert not planted.places
        return
    hidden = hidden_of(planted)
    for role, places in planted.places.items():
        wanted = {"detector": N_DETECTORS, "answer": N_ANSWER, "lens": N_ANSWER}
        wanted |= {"asker": N_LOOK, "mark": N_LOOK}
        assert len(places) == wanted.get(role.part, planted.plan.wirings[role.relation].n_value)
        if role.part in ("value", "dead end", "asker", "mark"):
            fires = planted.sentences.fires(role)
            found = torch.stack([hidden[layer][:, :, index] for layer, index in places]).mean(0)
            assert found[fires].mean() > 10 * found[~fires].abs().mean()


def test_nothing_reads_what_dead_ends_mean_to_write(planted):
    if path_of(planted) == "memory":
        return
    [dead] = {layer for layer, _ in writes(planted, "dead end")}
    for W in readers_after(planted, dead):
        assert (W @ planted.directions["dead"].T).abs().max() < 1e-5


def test_the_values_are_read_with_two_hops_and_not_with_a_shortcut(planted):
    if path_of(planted) == "memory":
        return
    [layer] = {layer for layer, _ in writes(planted, "value")}
    values = planted.directions["0.value"]
    most = max(float((W @ values.T).abs().max()) for W in readers_after(planted, layer))
    assert most > 0.5 if path_of(planted) == "two_hop" else most < 1e-5


def test_brute_force_swaps_by_the_values_and_by_nothing_else(planted):
    if path_of(planted) == "memory":
        return
    answered = oracle.answered(planted, 0)
    pairs = [(one, other) for one in answered for other in answered if one != other]
    by_value = {pair: oracle.swap(planted, 0, "value", *pair) for pair in pairs}
    sound = [pair for pair in pairs if oracle.does_swap(planted, 0, by_value[pair], *pair)]
    assert bool(sound) == (path_of(planted) == "two_hop")
    for pair in sound:
        assert by_value[pair].rise.abs().min() > 5
    if path_of(planted) != "two_hop":
        assert max(swap.rise.abs().max() for swap in by_value.values()) < 1.5
    assert oracle.swap(planted, 0, "dead end", 0, 1).rise.abs().max() < 1.5
    if path_of(planted) == "two_hop":
        assert oracle.swap(planted, 0, "lens", 0, 1).rise.abs().max() == 0


def test_movers_carry_the_fact_and_lookers_do_not(planted):
    """By setting z, by masking the look, and by what reads what they write."""
    by_word = path_of(planted) == "memory"
    pairs = [(0, 1), (1, 2), (2, 3)]
    found = [oracle.head_swap(planted, 0, *pair) for pair in pairs]
    swapped = torch.stack([each.swapped_top for each in found])
    wanted = torch.tensor([planted.answer_id(0, other) for _, other in pairs])[:, None]
    assert (swapped == wanted).float().mean() > 0.9
    for (one, _), each in zip(pairs, found, strict=True):
        own = planted.answer_id(0, one)
        assert (each.ablated_top != own).all()
        if not by_word:
            assert (each.blind_top != own).all() and (each.look_lost > 0.3).all()
        ids = oracle.rows_of(planted, 0, one)
        before = oracle.logits(planted, ids).argmax(-1) == own
        lookers = planted.heads[HeadRole(0, "looker")]
        blind = oracle.blinded(planted, ids, lookers, CITY).argmax(-1) == own
        assert (blind == before).float().mean() > 0.9
        left = each.left.mean()
        assert left < 0.4 if path_of(planted) == "two_hop" else left > 0.9
    layer = planted.heads[HeadRole(0, "looker")][0][0]
    read = [W @ planted.directions["dead"].T for W in readers_after(planted, layer)]
    assert max(float(each.abs().max()) for each in read) < 1e-5


def test_a_mask_of_what_is_not_seen_changes_nothing(planted):
    """Beyond the end there is no key; the mask is the causal one."""
    ids = oracle.rows_of(planted, 0, 2)
    movers = planted.heads[HeadRole(0, "mover")]
    later = oracle.blinded(planted, ids, movers, slice(LENGTH, None))
    assert torch.allclose(later, oracle.logits(planted, ids), atol=1e-4)


def test_setting_nothing_changes_nothing(planted):
    ids = oracle.rows_of(planted, 0, 2)
    places = [(0, 1), (2, 5)]
    same = [
        oracle.Setting([place], oracle.activations(planted, ids[:1], [place], CITY)[0], CITY)
        for place in places
    ]
    assert torch.allclose(oracle.logits(planted, ids[:1], same), oracle.logits(planted, ids[:1]))
