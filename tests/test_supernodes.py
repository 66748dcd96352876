"""Selection rules against the score written out by hand."""

import pytest
import torch

from tests.bench import TINY, make_bench
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.patching import along, feature_gradients
from tracer.engine.attribution.targets import tokens
from tracer.engine.members import from_ids, position_of
from tracer.engine.progress import Silent
from tracer.engine.supernodes import RuleScores, select
from tracer.hypothesis.spec import SupernodeSpec
from tracer.record.graph.influence import influence

SWAP = TINY["interventions"]["swap"] | {"prompts": ["dallas", "plano", "fresno"]}
WITH_FRESNO = TINY | {
    "prompts": TINY["prompts"] | {"fresno": {"city": "Fresno"}},
    "interventions": {"swap": SWAP},
}


def rule(**changes):
    select_ = {
        "on": ["dallas"],
        "against": ["oakland"],
        "at": "city",
        "toward": {"token": " Austin"},
        "top": 4,
    } | changes
    return SupernodeSpec.model_validate({"select": {k: v for k, v in select_.items() if v}})


def fresh(bench):
    """Scores of which none is kept yet."""
    return RuleScores(bench.model, bench.basis, bench.clean, bench.hypothesis.prompts)


def score(rule, bench):
    """The scores of a rule, nothing kept from another one."""
    return fresh(bench).score(rule)


def resolve(bench, **changes):
    return select("s", rule(**changes), fresh(bench))


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
    scored = score(rule().select, bench)
    expected = torch.cat([by_hand(bench, ["dallas"], ["oakland"], layer) for layer in (0, 1)])
    torch.testing.assert_close(scored.scores[0], expected)


def test_prompts_are_averaged(bench):
    scored = score(rule(on=["dallas", "plano"], layers=[1, 1]).select, bench)
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


def test_nothing_is_found_at_tokens_that_a_dictionary_was_not_trained_on(bench, monkeypatch):
    at = bench.clean["dallas"].prompt.spans["city"][1]
    ids = bench.clean["dallas"].prompt.ids
    found = score(rule().select, bench).scores
    for n, is_kept in ((at - 1, True), (at, False)):
        monkeypatch.setattr(bench.basis, "opening", tuple(ids[:n]), raising=False)
        alone = rule(against=None).select
        assert score(alone, bench).scores.any() == is_kept
    # Oakland does not begin so, and stays what Dallas is held against.
    against = score(rule().select, bench).scores
    assert against.any() and not torch.equal(against, found)


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
    found = score(rule(by="influence", against=None).select, bench).scores[0]
    clean = bench.clean["dallas"]
    token = clean.prompt.asked[" Austin"]
    graph = attributed(
        bench.model,
        bench.basis,
        clean.ids,
        lambda frozen: tokens(frozen, bench.model.tokenizer, [token]),
        2048,
        Silent(),
    ).graph
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
    both = score(rule(by="influence").select, bench).scores
    alone = rule(by="influence", against=None).select
    on = score(alone, bench).scores
    against = score(alone.model_copy(update={"on": ("oakland",)}), bench).scores
    torch.testing.assert_close(both, on - against)


def test_the_key_of_older_files_is_still_read():
    for by in ("half", "influence", "activation"):
        assert rule(rule=by, toward=None).select == rule(by=by, toward=None).select


def test_by_activation_the_score_is_the_weakest_contrast_times_the_write(tiny):
    """By hand, feature by feature: no gradient, and none that moves both ways."""
    each = [["oakland"], ["fresno", "oakland"]]
    mine = make_bench(tiny, hypothesis=WITH_FRESNO)
    asked = {"on": ["dallas", "plano"], "against_each": each, "toward": None, "by": "activation"}
    found = score(rule(**asked).select, mine).scores[0]
    assert torch.equal(
        found, score(rule(**asked | {"against_each": each[::-1]}).select, mine).scores[0]
    )

    def active(name, layer):
        clean = mine.clean[name]
        return clean.activation(layer, clean.prompt.spans["city"][1] - 1)

    n_kept, n_zero, flat = 0, 0, 0
    for layer in (0, 1):
        width = mine.basis.n_features(layer)
        write = mine.basis.W_dec(layer, torch.arange(width), layer).norm(dim=-1)
        for index in range(width):
            weakest, signs = float("inf"), set()
            for group in (["oakland"], *each):
                mean = sum(float(active(n, layer)[index]) for n in group) / len(group)
                d = [float(active(n, layer)[index]) - mean for n in ("dallas", "plano")]
                whole, spread = sum(d) / 2, (sum(x * x for x in d) / 2) ** 0.5
                weakest = min(weakest, abs(whole) * abs(whole) / spread if spread else 0.0)
                signs.add((whole > 0) - (whole < 0))
            expected = weakest * float(write[index]) if len(signs) == 1 else 0.0
            assert float(found[flat]) == pytest.approx(expected, rel=1e-3, abs=1e-6)
            n_kept, n_zero, flat = n_kept + (expected > 0), n_zero + (expected == 0), flat + 1
    assert n_kept > 10 and n_zero > 10


def test_by_activation_the_output_is_never_looked_at(bench, monkeypatch):
    def refuse(*_):
        raise AssertionError("a gradient was asked for")

    monkeypatch.setattr("tracer.engine.supernodes.output_gradients", refuse)
    asked = rule(by="activation", toward=None).select
    assert asked.is_blind and asked.explained == ()
    assert float(score(asked, bench).scores.amax()) > 0
    with pytest.raises(AssertionError, match="gradient"):
        score(rule().select, bench)


def test_scores_kept_for_the_next_rule_are_those_of_that_rule(bench):
    kept = fresh(bench)
    rules = [
        rule(),
        rule(on=["plano"]),
        rule(on=["oakland"], against=["dallas", "plano"]),
        rule(toward={"token": " Sacramento"}),
        rule(by="half"),
        rule(by="activation", toward=None),
        rule(at="last"),
        rule(layers=[1, 1]),
    ]
    for each in rules:
        torch.testing.assert_close(
            kept.score(each.select).scores, score(each.select, bench).scores, atol=1e-6, rtol=1e-5
        )
