"""Selection rules against the score written out by hand."""

import pytest
import torch

from tracer.engine.attribution.graph import attribute
from tracer.engine.attribution.patching import along, feature_gradients
from tracer.engine.attribution.targets import tokens
from tracer.engine.progress import Silent
from tracer.engine.supernodes import from_ids, position_of, score, select
from tracer.hypothesis.spec import SupernodeSpec
from tracer.record.graph.influence import influence


def rule(**changes):
    select_ = {
        "on": ["dallas"],
        "against": ["oakland"],
        "at": "city",
        "toward": {"token": " Austin"},
        "top": 4,
    } | changes
    return SupernodeSpec.model_validate({"select": {k: v for k, v in select_.items() if v}})


def resolve(bench, **changes):
    return select(
        "s", rule(**changes), bench.model, bench.basis, bench.clean, bench.hypothesis.prompts
    )


def by_hand(bench, on, against, layer):
    """(mean activation on − against) · mean gradient of logit(Austin) on `on`."""

    def at_city(name):
        return bench.clean[name].prompt.spans["city"][1] - 1

    active = sum(bench.clean[n].activation(layer, at_city(n)) for n in on) / len(on)
    active = active - sum(bench.clean[n].activation(layer, at_city(n)) for n in against) / max(
        len(against), 1
    )
    grads = [
        feature_gradients(
            along([(bench.clean[n].prompt.asked[" Austin"], 1.0)]),
            bench.model,
            bench.basis,
            bench.clean[n],
            [at_city(n)],
            "gradient",
            [torch.arange(bench.basis.n_features(n)) for n in range(bench.basis.n_layers)],
        )[layer][0]
        for n in on
    ]
    return active * sum(grads) / len(on)


def test_scores_are_contrast_times_gradient(bench):
    scored = score(rule().select, bench.model, bench.basis, bench.clean, bench.hypothesis.prompts)
    expected = torch.cat([by_hand(bench, ["dallas"], ["oakland"], layer) for layer in (0, 1)])
    torch.testing.assert_close(scored.scores[0], expected)


def test_prompts_are_averaged(bench):
    scored = score(
        rule(on=["dallas", "plano"], layers=[1, 1]).select,
        bench.model,
        bench.basis,
        bench.clean,
        bench.hypothesis.prompts,
    )
    expected = by_hand(bench, ["dallas", "plano"], ["oakland"], 1)
    torch.testing.assert_close(scored.scores[0], expected)


def test_the_strongest_are_kept_in_order_with_their_share(bench):
    found = resolve(bench)
    every = torch.cat([by_hand(bench, ["dallas"], ["oakland"], layer) for layer in (0, 1)])
    best = torch.sort(every, descending=True).values
    assert [ref.score for ref in found.features] == pytest.approx(best[:4].tolist())
    assert found.share == pytest.approx(float(best[:4].sum() / best[best > 0].sum()))
    assert found.n_candidates == every.numel()
    assert found.source == ("dallas",)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_keeps_the_fewest_that_reach_it(bench, share):
    found = resolve(bench, top=None, share=share)
    every = resolve(bench, top=10_000)
    scores = [ref.score for ref in every.features]
    n = len(found.features)
    assert sum(scores[:n]) >= share * sum(scores) - 1e-9
    assert sum(scores[: n - 1]) < share * sum(scores)


def test_nothing_that_scores_zero_or_less_is_kept(bench):
    assert all(ref.score > 0 for ref in resolve(bench, top=10_000).features)


def test_a_layer_range_keeps_to_its_layers(bench):
    assert {ref.layer for ref in resolve(bench, layers=[0, 0]).features} == {0}


def test_explicit_ids(bench):
    spec = SupernodeSpec.model_validate({"features": ["1_7", "0_3_2"], "source": ["dallas"]})
    found = from_ids("s", spec, spec.features)
    prompt = bench.clean["dallas"].prompt
    places = [position_of(ref, prompt, found.at, found.anchor) for ref in found.features]
    assert [(r.layer, r.index) for r in found.features] == [(1, 7), (0, 3)]
    assert places == [len(prompt.ids) - 1, 2]


def test_the_rule_influence_reads_the_graphs(bench):
    found = score(
        rule(rule="influence", against=None).select,
        bench.model,
        bench.basis,
        bench.clean,
        bench.hypothesis.prompts,
    ).scores[0]
    clean = bench.clean["dallas"]
    token = clean.prompt.asked[" Austin"]
    graph = attribute(
        bench.model,
        bench.basis,
        clean.ids,
        lambda frozen: tokens(frozen, bench.model.tokenizer, [token]),
        2048,
        Silent(),
    )
    at_city = clean.prompt.spans["city"][1] - 1
    wanted = torch.zeros_like(found)
    for (layer, pos, index), value in zip(
        graph.nodes.features.tolist(), influence(graph).features, strict=True
    ):
        if pos == at_city:
            wanted[layer * 64 + index] = value
    assert int((found > 0).sum()) > 20
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)


def test_influence_is_contrasted_with_the_other_prompts(bench):
    spec = rule(rule="influence").select
    both = score(spec, bench.model, bench.basis, bench.clean, bench.hypothesis.prompts).scores
    alone = rule(rule="influence", against=None).select
    on = score(alone, bench.model, bench.basis, bench.clean, bench.hypothesis.prompts).scores
    other = alone.model_copy(update={"on": ("oakland",)})
    against = score(other, bench.model, bench.basis, bench.clean, bench.hypothesis.prompts).scores
    torch.testing.assert_close(both, on - against)
