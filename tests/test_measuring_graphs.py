"""A hypothesis with a graph, on a tiny model: what the graph predicts is what clamps do."""

import numpy as np
import pytest
import torch

from tests.bench import TINY, make_bench
from tests.test_head_loadings import dense
from tracer.engine.attribution import head_loadings as loadings
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.targets import explained
from tracer.engine.features.places import joined
from tracer.engine.measure.graphs import measure_graphs
from tracer.engine.progress import Silent
from tracer.evidence.measures.edge import direct, total

GRAPH = {"prompts": ["dallas"], "max_features": 60, "check": 12}


@pytest.fixture(scope="module", params=["salient", {"token": " Austin"}, "pair"])
def measured(request, tiny):
    toward = request.param
    if toward == "pair":
        toward = {"logit_diff": [" Sacramento", " Austin"]}
    bench = make_bench(tiny, hypothesis=TINY | {"graph": GRAPH | {"toward": toward}})
    return bench, measure_graphs(bench, ["dallas"], Silent())["dallas"]


def test_with_everything_frozen_the_graph_is_right(measured):
    _, found = measured
    ablations = found.record.ablations
    assert [a.name for a in ablations if a.is_supernode] == ["texas", "california"]
    assert len(ablations) == 2 + GRAPH["check"]
    for each in ablations:
        assert each.measured_direct == pytest.approx(each.predicted_direct, abs=2e-5)
    assert direct(ablations).worst < 1e-3
    assert total(ablations, free=True).n == len(ablations)


def test_members_are_kept_and_their_edges_are_told(measured):
    bench, found = measured
    record = found.record
    assert record.members == {"texas": 4, "california": 4}
    assert record.n_features == GRAPH["max_features"]
    ends = {(edge.source, edge.target) for edge in record.edges}
    assert ("texas", "output") in ends and ("texas", "california") in ends
    to_output = {e.source: e.weight for e in record.edges if e.target == "output"}
    for each in record.ablations[:2]:
        assert to_output[each.name] == pytest.approx(-each.predicted_direct, abs=1e-6)


def test_what_features_promote_is_what_their_cards_say_signed_by_the_prompt(measured):
    bench, found = measured
    graph = found.pruned
    for name, said in list(found.record.features.items())[:3]:
        layer, index, pos = map(int, name.split("_"))
        [row] = graph.nodes.find(np.array([[layer, pos, index]])).tolist()
        write = bench.basis.W_dec(layer, torch.tensor([index]), layer)[0]
        write = bench.model.block(layer).ln2_post.linear(write)
        end = bench.model.unembedding
        scores = end.ln_final.linear(write) @ end.W_U * float(graph.nodes.activations[row])
        assert said.promotes[0] == bench.model.tokenizer.decode([int(scores.argmax())])
        assert said.suppresses[0] == bench.model.tokenizer.decode([int(scores.argmin())])


def test_the_target_is_what_the_section_asks_for(measured):
    bench, found = measured
    clean = bench.clean["dallas"]
    spec = bench.hypothesis.graph.toward
    if spec == "salient":
        assert found.record.target == bench.model.tokenizer.decode([int(clean.logits.argmax())])
    else:
        assert " Austin" in found.record.target
    assert np.isfinite(found.pruned.edges).all()


def test_members_of_supernodes_are_described_whether_the_graph_kept_them_or_not(measured):
    bench, found = measured
    for places in bench.places("dallas").values():
        for layer, pos, index in places:
            said = found.record.features[f"{layer}_{index}_{pos}"]
            assert said.promotes and said.suppresses


def test_heads_of_supernodes_are_those_of_their_edges_together(tiny):
    section = GRAPH | {"head_loadings": True, "check": 0}
    bench = make_bench(tiny, hypothesis=TINY | {"graph": section})
    found = measure_graphs(bench, ["dallas"], Silent())["dallas"]
    assert found.pruned.heads is not None
    assert len(found.pruned.heads.heads) == np.count_nonzero(found.pruned.edges)
    taken = again(bench)
    whole, texas = taken.graph, rows_of(bench, taken.graph, "texas")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loadings, "MOST_HEADS", 10**6)
        every = dense(whole, loadings.edge_loadings(taken, whole, Silent()))
    edges = {(each.source, each.target): each for each in found.record.edges}
    for target, rows in (("output", [whole.nodes.n_features]), ("california", None)):
        rows = rows_of(bench, whole, target) if rows is None else rows
        wanted = every[:, rows][:, :, texas].sum((1, 2))
        order = np.argsort(-np.abs(wanted), kind="stable")[:4]
        heads = edges["texas", target].heads
        assert [4 * each.layer + each.head for each in heads] == order[wanted[order] != 0].tolist()
        weights = [each.weight for each in heads]
        assert weights == pytest.approx(wanted[order][: len(heads)].tolist(), abs=1e-5)


def test_heads_as_nodes_are_shown_and_change_nothing_that_is_judged(tiny):
    plain, headed = (
        measure_graphs(
            make_bench(tiny, hypothesis=TINY | {"graph": GRAPH | {"heads": heads, "check": 2}}),
            ["dallas"],
            Silent(),
        )["dallas"]
        for heads in (False, 12)
    )
    assert headed.pruned.nodes.n_heads > 0
    assert plain.pruned.nodes.heads is None
    mine, same = headed.record, {"n_pruned": plain.record.n_pruned, "features": {}}
    assert mine.n_pruned == headed.pruned.nodes.n_features - headed.pruned.nodes.n_heads
    assert mine.model_copy(update=same) == plain.record.model_copy(update={"features": {}})


def again(bench):
    """The same graph again, with what it was read off."""
    required = joined(bench.feature_places("dallas").values())
    return attributed(
        bench.model,
        bench.basis,
        bench.clean["dallas"].ids,
        lambda frozen: explained(frozen, "salient", bench.model.tokenizer),
        GRAPH["max_features"],
        Silent(),
        required,
    )


def rows_of(bench, graph, name):
    return graph.nodes.find(bench.places("dallas")[name])
