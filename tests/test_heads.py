"""Heads as members of supernodes: what a clamp does to them, by hand with TransformerLens."""

import itertools

import numpy as np
import pytest
import torch

import tracer
from tests.bench import ATOL
from tracer.engine.batches import Row, batch_limit
from tracer.engine.clamps import Ranges, assign, clamp_records, resolve_clamps, writes
from tracer.engine.clean import activation
from tracer.engine.controls import draw_controls
from tracer.engine.features.heads import WithHeads
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.places import HEADS, PlaceValues, joined
from tracer.engine.forward import run_rows
from tracer.engine.other_sets import n_other_sets, other_sets, standing_for
from tracer.engine.progress import Silent
from tracer.engine.resolve import open_context
from tracer.errors import HypothesisError
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import tokenize

HEADS_FILE = {
    "hypothesis": "heads",
    "claim": "a head carries the city to the end",
    "expected": "consistent",
    "template": "the capital of the state containing {city} is in the city of",
    "prompts": {
        "dallas": {"city": "Dallas"},
        "oakland": {"city": "Oakland"},
        "plano": {"city": "Plano", "held_out": True},
    },
    "supernodes": {
        "movers": {"heads": ["0.1", "1.3"], "source": ["oakland"]},
        "single": {"heads": ["1.0"], "at": "city"},
        "found": {
            "select": {
                "unit": "heads",
                "on": ["dallas"],
                "against": ["oakland"],
                "at": "last",
                "toward": {"logit_diff": [" Austin", " Sacramento"]},
                "top": 3,
            }
        },
        "texas": {
            "select": {
                "on": ["dallas"],
                "against": ["oakland"],
                "at": "city",
                "toward": {"token": " Austin"},
                "top": 4,
            }
        },
    },
    "interventions": {
        "no_movers": {
            "prompts": ["dallas", "plano"],
            "clamp": {"movers": 0},
            "expect": [{"logit_diff": [" Austin", " Sacramento"], "undercuts_controls": 0.5}],
        },
        "others": {
            "prompts": ["dallas"],
            "clamp": {"single": 0, "texas": 0, "found": 2},
            "expect": [{"top_is_not": " Austin"}],
        },
    },
}


def open_heads(model, data=HEADS_FILE):
    """A measurement context of the file on a model."""
    parsed = Hypothesis.model_validate(data)
    file = from_hypothesis(parsed)
    prompts = tokenize(file, model.tokenizer, model.context)
    return open_context(file, model, NeuronBasis(model), prompts, None, Silent())


@pytest.fixture(scope="module")
def context(bench):
    return open_heads(bench.model)


def values_of(context, clamp, prompt="dallas", **more):
    """What an intervention sets."""
    (spec,) = Hypothesis.model_validate(
        HEADS_FILE
        | {
            "interventions": {
                "it": {"prompts": [prompt], "clamp": clamp, "expect": [{"top": " Austin"}], **more}
            }
        }
    ).interventions.values()
    clamps = resolve_clamps(spec, context.supernodes, context.clean, prompt)
    return clamps, assign(clamps, context.clean[prompt])


def run(context, rows, prompt="dallas"):
    """Logits and activations of rows, in their order."""
    clean = context.clean[prompt]
    limit = batch_limit(context.model, clean)
    found = {}
    for batch in run_rows(context.model, context.basis, clean, rows, limit):
        found |= zip(batch.rows, zip(batch.logits, batch.activations, strict=True), strict=True)
    return [found[n] for n in range(len(rows))]


def by_hand(model, ids, change):
    """Last logits with `hook_z` changed by a function of (z, layer)."""
    bridge = model._bridge
    hooks = [
        (f"blocks.{layer}.attn.hook_z", lambda z, hook, layer=layer: change(z.clone(), layer))
        for layer in range(model.n_layers)
    ]
    with torch.no_grad(), bridge.hooks(fwd_hooks=hooks):
        return bridge.original_model(ids[None]).logits[0, -1]


def test_an_ablated_head_is_its_z_set_to_zero_by_hand(each_model):
    context = open_heads(each_model)
    clean = context.clean["dallas"]
    _, set_ = values_of(context, {"movers": 0, "single": 0})
    city = clean.prompt.spans["city"][1] - 1

    def ablate(z, layer):
        if layer == 0:
            z[0, -1, 1] = 0
        else:
            z[0, -1, 3] = 0
            z[0, city, 0] = 0
        return z

    [(logits, _)] = run(context, [Row(set_.values)])
    wanted = by_hand(each_model, clean.ids, ablate)
    assert torch.allclose(logits, wanted, atol=ATOL)
    assert not torch.allclose(logits, clean.logits, atol=0.01)


def test_from_another_prompt_a_head_has_the_other_ones_z(context):
    clean, other = context.clean["dallas"], context.clean["oakland"]
    kept = {}
    by_hand(context.model, other.ids, lambda z, layer: kept.setdefault(layer, z.clone()))

    def put_in(z, layer):
        head = (1, 3)[layer]
        z[0, -1, head] = 1.5 * kept[layer][0, -1, head]
        return z

    _, set_ = values_of(context, {"movers": 1.5})
    [(logits, _)] = run(context, [Row(set_.values)])
    assert torch.allclose(logits, by_hand(context.model, clean.ids, put_in), atol=ATOL)


def test_a_head_onward_is_set_at_every_later_position(context):
    clean = context.clean["dallas"]
    start = clean.prompt.spans["city"][1] - 1

    def ablate(z, layer):
        if layer == 1:
            z[0, start:, 0] = 0
        return z

    _, set_ = values_of(context, {"single": {"times": 0, "onward": True}})
    [(logits, _)] = run(context, [Row(set_.values)])
    assert torch.allclose(logits, by_hand(context.model, clean.ids, ablate), atol=ATOL)


def test_rows_come_out_the_same_one_by_one_and_in_a_batch(context):
    clamps = [{"movers": 0}, {"movers": 2}, {"single": 0}, {"texas": 0, "movers": 0}, {"found": -1}]
    read = joined(context.places("dallas").values())
    rows = [Row(values_of(context, each)[1].values, read=read) for each in clamps]
    together = run(context, rows)
    for row, (logits, active) in zip(rows, together, strict=True):
        [(alone, alone_active)] = run(context, [row])
        assert torch.allclose(logits, alone, atol=ATOL)
        assert torch.allclose(active, alone_active, atol=ATOL)


def test_frozen_whole_an_ablation_is_linear_and_the_heads_own_write(context):
    _, off = values_of(context, {"movers": 0})
    _, twice = values_of(context, {"movers": {"times": 2, "from": ["here"]}})
    clean = context.clean["dallas"].logits
    [(less, _), (more, _)] = run(context, [Row(off.values, "all"), Row(twice.values, "all")])
    cap = context.model.soft_cap
    assert cap is None
    assert torch.allclose(clean - less, more - clean, atol=1e-4)


def test_the_fraction_of_a_head_is_its_projection_on_its_clean_activation(context):
    _, set_ = values_of(context, {"single": 0})
    places = context.places("dallas")["movers"]
    [(_, after)] = run(context, [Row(set_.values, read=places)])
    kept = {}
    clean = context.clean["dallas"]
    city = clean.prompt.spans["city"][1] - 1

    def ablate(z, layer):
        if layer == 1:
            z[0, city, 0] = 0
        kept[layer] = z.clone()
        return z

    z0 = {}
    by_hand(context.model, clean.ids, lambda z, layer: z0.setdefault(layer, z.clone()))
    by_hand(context.model, clean.ids, ablate)
    pairs = [(kept[0][0, -1, 1], z0[0][0, -1, 1]), (kept[1][0, -1, 3], z0[1][0, -1, 3])]
    dots = [(float(a @ b), float(b @ b)) for a, b in pairs]
    found = activation(after, clean.at(places), None, width=8)
    assert found.of_clean == pytest.approx(
        sum(a for a, _ in dots) / sum(b for _, b in dots), abs=ATOL
    )
    assert found.mean_of_clean == pytest.approx(np.mean([a / b for a, b in dots]), abs=ATOL)


def test_the_rule_is_z_difference_times_gradient_by_hand(context):
    model, rule = context.model, context.hypothesis.supernodes["found"].select
    assert rule is not None
    leaves, contrast = {}, {}
    by_hand(model, context.clean["oakland"].ids, lambda z, la: contrast.setdefault(la, z.clone()))

    def leaf(z, layer):
        leaves[layer] = z.detach().requires_grad_()
        return leaves[layer]

    bridge, asked = model._bridge, context.clean["dallas"].prompt.asked
    # One layer at a time: a leaf in both would cut the path through the first.
    scores = {}
    for layer in range(model.n_layers):
        hooks = [(f"blocks.{layer}.attn.hook_z", lambda z, hook, la=layer: leaf(z, la))]
        with bridge.hooks(fwd_hooks=hooks):
            logits = bridge.original_model(context.clean["dallas"].ids[None]).logits[0, -1]
        metric = logits[asked[" Austin"]] - logits[asked[" Sacramento"]]
        (gradient,) = torch.autograd.grad(metric, leaves[layer])
        change = leaves[layer].detach()[0, -1] - contrast[layer][0, -1]
        for head, score in enumerate((change * gradient[0, -1]).sum(-1).tolist()):
            scores[layer, head] = score
    found = context.supernodes["found"]
    wanted = sorted(scores, key=scores.__getitem__, reverse=True)[:3]
    assert [(ref.layer, ref.head) for ref in found.heads] == wanted
    assert [ref.score for ref in found.heads] == pytest.approx([scores[each] for each in wanted])
    assert (found.n_candidates, found.widths) == (8, {ref.layer: 4 for ref in found.heads})


def controls_of(context, clamp, n, excluded=None):
    clean = context.clean["dallas"]
    clamps, set_ = values_of(context, clamp)
    found = draw_controls(clamps, set_, clean, context.basis, excluded or {}, n, "seed")
    return set_, found


def heads_in(values):
    """(layer, position, head) of what is set, with the number of its coordinates."""
    units = [(layer - HEADS, pos, index // 8) for layer, pos, index in values]
    return {unit: units.count(unit) for unit in units}


def written(context, values, heads):
    """Norm of what the change of some heads, (layer, head), writes at the last token."""
    clean = context.clean["dallas"]
    mine = {p: v for p, v in values.items() if (p[0] - HEADS, p[2] // 8) in heads}
    return float(sum(writes(context.basis, clean, PlaceValues.of(mine)).values()).norm())


def test_controls_are_whole_heads_of_the_same_layers_as_large_as_those_they_replace(context):
    set_, controls = controls_of(context, {"movers": 0}, 99, context.members(["movers"]))
    real = heads_in(set_.values)
    assert controls is not None
    for control in controls:
        drawn = heads_in(control)
        assert set(drawn.values()) == {8} and drawn != real
        assert sorted((la, p) for la, p, _ in drawn) == sorted((la, p) for la, p, _ in real)
        for layer, own in ((0, 1), (1, 3)):
            [(_, _, head)] = [each for each in drawn if each[0] == layer]
            size = written(context, set_.values, {(layer, own)})
            assert written(context, control, {(layer, head)}) == pytest.approx(size, rel=1e-4)
            if head == own:  # a shared one is set to what it is set to in the real set
                shared = [p for p in control if (p[0] - HEADS, p[2] // 8) == (layer, own)]
                assert [control[p] for p in shared] == [set_.values[p] for p in shared]


def test_no_set_of_heads_is_drawn_twice_and_all_are_taken_where_they_are_few(context):
    _, controls = controls_of(context, {"movers": 0}, 99)
    assert controls is not None
    wanted = set(itertools.product(range(4), range(4))) - {(1, 3)}
    found = [tuple(head for _, _, head in sorted(heads_in(each))) for each in controls]
    assert sorted(found) == sorted(wanted)
    without = {HEADS + 1: frozenset({0, 1, 2, 3})}
    _, kept = controls_of(context, {"movers": 0}, 9, without)
    assert kept is not None and len(kept) == 3  # 1.3 itself, beside another head of layer 0
    _, none = controls_of(context, {"single": 0}, 9, {HEADS + 1: frozenset({1, 2, 3})})
    assert none is None


def test_two_of_a_layer_are_exchanged_one_or_both():
    assert [standing_for((1, 3), drawn) for drawn in ((0, 1), (0, 3), (2, 3), (0, 2))] == [
        [1, 0],
        [0, 3],
        [2, 3],
        [0, 2],
    ]
    pools, own = [range(4), range(3)], [[3, 1], [2]]
    found = other_sets(pools, own, 99, "seed")
    assert len(set(found)) == len(found) == n_other_sets(pools, own) == 6 * 3 - 1
    assert ((1, 3), (2,)) not in found
    some = other_sets(pools, own, 16, "seed")
    assert len(set(some)) == 16 and set(some) < set(found)
    assert n_other_sets([[0, 1]], [[2]]) == 2  # what is not of the pool is no choice of it


def test_beside_features_heads_do_not_limit_the_number_of_controls(context):
    _, controls = controls_of(context, {"single": 0, "texas": 0}, 20)
    assert controls is not None
    assert len(controls) == 20


def test_the_record_counts_heads_and_not_their_coordinates(context):
    clamps, set_ = values_of(context, {"movers": {"times": 50, "from": ["here"]}})
    clean = context.clean["dallas"]
    ranges = Ranges(context.clean.values())
    [record] = clamp_records(clamps, set_, clean, context.basis, ranges)
    assert (record.n_features, record.n_overridden, record.n_out_of_range) == (2, 0, 2)
    z = context.clean["dallas"].at(context.places("dallas")["movers"]).reshape(2, 8)
    W_O = [context.model.W_O(layer)[head] for layer, head in ((0, 1), (1, 3))]
    own = torch.stack([49 * a @ W for a, W in zip(z, W_O, strict=True)])
    assert record.write_norm == pytest.approx(float(own.norm()), rel=1e-4)
    assert record.output_norm is not None and record.output_norm > 0


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        (["7.0"], "'7.0': layer 7 is out of range; the last is 1."),
        (["1.9"], "'1.9': layer 1 has heads 0 to 3."),
    ],
)
def test_a_head_that_the_model_has_not_is_told_at_its_place(bench, heads, said):
    nodes = HEADS_FILE["supernodes"] | {"single": {"heads": heads, "at": "city"}}
    with pytest.raises(HypothesisError) as error:
        open_heads(bench.model, HEADS_FILE | {"supernodes": nodes})
    [mistake] = error.value.mistakes
    assert mistake.message == said


def test_a_file_with_heads_is_measured_judged_and_reported(tiny, tmp_path):
    file = HEADS_FILE | {
        "model": str(tiny),
        "controls": {"random": 99},
        "necessity": {
            "needed": {
                "prompts": ["dallas"],
                "ablate": ["movers"],
                "kinds": ["zero", "mean", "resample"],
                "reference": ["oakland"],
                "expect": [{"logit_diff": [" Austin", " Sacramento"], "falls_by": 0.1}],
            }
        },
        "graph": {"prompts": ["dallas"], "max_features": 16, "check": 0},
    }
    run = tracer.run(Hypothesis.model_validate(file), reports=tmp_path, cache=False)
    trial = run.record.interventions["no_movers"].trials["dallas"]
    assert trial.n_controls == 15  # four heads stand for each of two, and these are one choice
    [outcome, *_] = [o for o in run.verdict.outcomes if o.intervention == "no_movers"]
    assert outcome.outcome != "untested"
    assert run.record.graphs["dallas"].members == {"texas": 4}
    page = (run.path / "report.html").read_text()
    assert "L0 head 1" in page and "L1 head 3" in page
    assert "2 heads, layers 0 to 1" in page


def test_where_too_few_heads_exist_the_sentence_says_so(tiny, tmp_path):
    expect = [{"logit_diff": [" Austin", " Sacramento"], "undercuts_controls": 0.05}]
    across = [{"logit_diff": [" Austin", " Sacramento"], "undercuts_controls_across": 0.05}]
    nodes = {"movers": HEADS_FILE["supernodes"]["movers"]}
    made = {
        name: {"prompts": ["dallas", "plano"], "clamp": {"movers": 0}, "expect": each}
        for name, each in (("one", expect), ("together", across))
    }
    file = HEADS_FILE | {"model": str(tiny), "supernodes": nodes, "interventions": made}
    run = tracer.run(Hypothesis.model_validate(file), reports=tmp_path, cache=False)
    reasons = {each.intervention: each.reason for each in run.verdict.outcomes}
    assert reasons["one"] == (
        "19 controls are needed for p ≤ 0.05; no more than 15 other sets of heads exist"
    )
    assert reasons["together"] == (
        "15 controls can reach p 0.062 at best, not 0.05; 19 are needed, and no more than 15 "
        "other sets of heads exist"
    )


def test_the_basis_of_features_is_as_it_was(bench):
    plain = NeuronBasis(bench.model)
    both = WithHeads(plain, bench.model)
    assert both.n_layers == plain.n_layers
    assert not plain.d_heads
    assert dict(both.d_heads) == {HEADS: 8, HEADS + 1: 8}
    assert both.n_features(0) == plain.n_features(0)
    assert both.n_features(HEADS) == 32
