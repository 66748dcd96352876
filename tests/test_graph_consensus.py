"""The consensus of several graphs: counted by hand, and again with sets and `statistics`."""

from __future__ import annotations

import json
from dataclasses import replace
from math import ceil
from statistics import median

import numpy as np
import pytest

from tests.graphs import make_graph, make_subject, random_graph
from tests.test_graph_files import assert_equal
from tests.test_head_node_files import headed
from tracer.errors import UsageError
from tracer.record.graph.alignment import SpannedPrompt, align
from tracer.record.graph.consensus import PRUNINGS, consensus
from tracer.record.graph.consensus_items import PromptGraph
from tracer.record.graph.files import read, read_listed, write
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, source_ids
from tracer.record.graph.prune import prune

NAMES = ("a", "b", "c", "d", "e")


def aligned(*lengths: int):
    """Prompts `t0 CITY… t9`, whose span `city` is so many tokens long."""
    prompts = [
        SpannedPrompt(
            name,
            ("t0", *("word",) * n, "t9"),
            {"city": (1, n + 1), "last": (n + 1, n + 2)},
            "t",
        )
        for name, n in zip(NAMES, lengths, strict=False)
    ]
    return align(prompts)


def small(answer: int, features, edges, *, logits=None, n_tokens: int = 3) -> AttributionGraph:
    """Features (layer, position, index); edges as a matrix over them, the tokens and one logit."""
    features = np.array(features, dtype=np.int64).reshape(-1, 3)
    activations = np.arange(1, len(features) + 1, dtype=np.float32)
    none = np.zeros((0, 2), dtype=np.int64)
    logits = logits or (Logit(f" w{answer}", answer, 0.5),)
    nodes = Nodes(features, activations, none, np.arange(n_tokens), logits)
    return replace(make_graph(nodes, edges, make_subject(n_tokens)), pruning=PRUNINGS[0])


def of(name: str, graph: AttributionGraph, *, answer: int = 7, held_out: bool = False):
    return PromptGraph(name, held_out, answer, graph)


def three():
    """The second prompt's city has two tokens; the third lacks a feature and turns a sign."""
    first = small(7, [(0, 1, 5), (1, 2, 2)], [[0, 0, 1, 2, 0], [3, 0, 0, 0, 0], [1, 4, 0, 0, 0]])
    longer = small(
        8,
        [(0, 1, 5), (0, 2, 5), (1, 3, 2)],
        [
            [0] * 3 + [1, 1, 0, 0],
            [0] * 3 + [0, 0, 4, 0],
            [0, 5, 0, 0, 0, 0, 0],
            [0, 2, 6] + [0] * 4,
        ],
        n_tokens=4,
    )
    third = small(9, [(0, 1, 5)], [[0, 0, 3, 0], [-2, 0, 0, 0]])
    graphs = [
        of("a", first),
        of("b", longer, answer=8),
        of("c", third, answer=9, held_out=True),
    ]
    return consensus(graphs, aligned(1, 2, 1), 0.6, PRUNINGS[:1])


def edge(graph: AttributionGraph, source: str, target: str) -> tuple[float, list[int]]:
    """Its weight; on how many prompts it is, of these held out, with the median's sign."""
    sources = source_ids(graph.nodes, graph.subject)
    targets = [*graph.nodes.feature_ids(), *(each.label for each in graph.nodes.logits)]
    row, column = targets.index(target), sources.index(source)
    rows, columns = np.nonzero(graph.edges)
    [number] = np.flatnonzero((rows == row) & (columns == column)).tolist()
    assert graph.agreement is not None
    counted = graph.agreement.edges
    counts = counted.on[number, 0], counted.held_out[number], counted.same_sign[number]
    return float(graph.edges[row, column]), [int(each) for each in counts]


def test_nodes_are_the_same_where_kind_layer_index_and_place_are():
    found = three()
    told = found.agreement
    assert told is not None
    assert found.subject.tokens == ("t0", "{city−1}", "{city}", "{last}")
    assert told.having == (3, 1, 3, 3)
    # 0_5 at the city's last token is on all three, at its first token on one; 1_2 on two.
    assert found.nodes.feature_ids() == ["0_5_2", "1_2_3"]
    assert told.nodes.spread == (1, 1, 1)
    assert found.nodes.activations.tolist() == [1.0, 2.5]
    assert [each.label for each in found.nodes.logits] == ["answer"]
    assert told.nodes.on[:, 0].tolist() == [3, 2, 3, 3, 3, 3]
    assert told.nodes.held_out.tolist() == [1, 0, 1, 1, 1, 1]
    assert told.prompts == ("a", "b", "c") and told.held_out == ("c",)


def test_edges_have_the_median_and_count_the_prompts_of_its_sign():
    found = three()
    assert edge(found, "0_5_2", "answer") == (1.0, [3, 1, 2])
    assert edge(found, "1_2_3", "answer") == (5.0, [2, 0, 2])
    assert edge(found, "0_5_2", "1_2_3") == (4.0, [2, 0, 2])
    assert edge(found, "E_-1_2", "0_5_2") == (3.0, [3, 1, 3])
    assert found.agreement is not None
    assert found.agreement.edges.spread == (3, 2, 2)
    assert np.count_nonzero(found.edges) == 4


def test_what_is_explained_is_told_by_its_role():
    def explaining(*logits: Logit, answer: int | None = 7):
        graph = small(7, [], [[1, 0, 0]] * len(logits), logits=logits)
        made = consensus([PromptGraph("a", False, answer, graph)], aligned(1))
        return [(each.label, each.token) for each in made.nodes.logits]

    austin, other = Logit(" Austin", 7, 0.5), Logit(" Salem", 0, 0.2)
    assert explaining(austin, other) == [("answer", None), ("foil", None)]
    assert explaining(austin, other, Logit(" x", 4, 0.1)) == [
        ("answer", None),
        (" Salem", 0),
        (" x", 4),
    ]
    assert explaining(austin, other, answer=5) == [(" Austin", 7), (" Salem", 0)]
    assert explaining(Logit(" Austin − Salem", None, 1.0)) == [(" Austin − Salem", None)]
    two = [
        PromptGraph(name, False, 7, small(7, [], [[1, 0, 0]], logits=(Logit(label, None, 1.0),)))
        for name, label in (("a", "x − y"), ("b", "y − x"))
    ]
    assert [each.label for each in consensus(two, aligned(1, 1)).nodes.logits] == ["difference"]


def test_an_edge_whose_median_is_zero_is_left_out():
    pair = [
        of(name, small(7, [(0, 1, 5)], [[0, 0, 1, 0], [sign, 0, 0, 0]]))
        for name, sign in (("a", 2), ("b", -2))
    ]
    found = consensus(pair, aligned(1, 1), prunings=PRUNINGS[:1])
    assert np.count_nonzero(found.edges) == 1
    assert found.agreement is not None and len(found.agreement.edges.on) == 1


def second_way(graphs: list[AttributionGraph], core: float):
    """Edges by ids: the prompts of each pruning, and the weights at the first; places are one."""
    found: list[dict[tuple[str, str], list[float]]] = []
    for pruning in PRUNINGS:
        of_pruning: dict[tuple[str, str], list[float]] = {}
        for graph in graphs:
            cut = prune(graph, pruning.nodes, pruning.edges)
            sources = source_ids(cut.nodes, cut.subject)
            targets = [*cut.nodes.feature_ids(), *(each.label for each in cut.nodes.logits)]
            for row, column in zip(*np.nonzero(cut.edges), strict=True):
                pair = sources[column].replace("E_-1_", "E_"), targets[row]
                of_pruning.setdefault(pair, []).append(float(cut.edges[row, column]))
        found.append(of_pruning)
    least = ceil(core * len(graphs))
    return found, {pair: some for pair, some in found[0].items() if len(some) >= least}


@pytest.mark.parametrize("core", [0.5, 0.8, 1.0])
def test_counts_and_medians_are_those_of_another_way(core: float):
    rng = np.random.default_rng(3)
    base = random_graph(1)
    graphs = [
        replace(base, edges=base.edges * rng.normal(1, 0.7, base.edges.shape).astype(np.float32))
        for _ in NAMES
    ]
    alignment = align([SpannedPrompt(n, base.subject.tokens, {"last": (4, 5)}, "t") for n in NAMES])
    named = [PromptGraph(n, n > "c", None, g) for n, g in zip(NAMES, graphs, strict=True)]
    found = consensus(named, alignment, core)
    told = found.agreement
    assert told is not None
    by_pruning, wanted = second_way(graphs, core)
    ids = dict(zip([f"E_-1_{n}" for n in range(5)], [f"E_{n}_{n}" for n in range(5)], strict=True))
    sources = [ids.get(each, each) for each in source_ids(found.nodes, found.subject)]
    targets = [*found.nodes.feature_ids(), *(each.label for each in found.nodes.logits)]
    pairs = [(sources[c], targets[r]) for r, c in zip(*np.nonzero(found.edges), strict=True)]
    assert set(pairs) == wanted.keys() and len(pairs) == len(set(pairs))
    for number, pair in enumerate(pairs):
        row, column = targets.index(pair[1]), sources.index(pair[0])
        weight = median(wanted[pair])
        assert found.edges[row, column] == pytest.approx(weight, rel=1e-6)
        assert told.edges.on[number].tolist() == [len(each.get(pair, [])) for each in by_pruning]
        agree = [np.sign(each) == np.sign(weight) for each in wanted[pair]]
        assert told.edges.same_sign[number] == sum(agree)
    sizes = [len(some) for some in by_pruning[0].values()]
    assert told.edges.spread == tuple(sizes.count(n) for n in range(1, 6))


def test_heads_stand_among_the_features_as_in_each_graph():
    found = consensus(
        [PromptGraph(n, False, 3, headed()) for n in ("a", "b")],
        align([SpannedPrompt(n, ("x", "y"), {"last": (1, 2)}, "t") for n in ("a", "b")]),
    )
    cut = prune(headed(), PRUNINGS[0].nodes, PRUNINGS[0].edges)
    assert found.nodes.feature_ids() == cut.nodes.feature_ids()
    assert found.nodes.heads == cut.nodes.heads
    np.testing.assert_array_equal(found.edges, cut.edges)


def test_a_consensus_is_written_and_comes_back(tmp_path):
    graph = three()
    path = write(tmp_path / "c.json", graph)
    for back in (read(path).agreement, read_listed(path).agreement):
        assert back is not None and graph.agreement is not None
        for name in ("prompts", "held_out", "prunings", "core", "places", "having"):
            assert getattr(back, name) == getattr(graph.agreement, name)
        for items in ("nodes", "edges"):
            one, other = getattr(back, items), getattr(graph.agreement, items)
            assert one.spread == other.spread
            for name in ("on", "held_out", "same_sign"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert_equal(read(path), graph)
    pruned = prune(read(path), 0.9, 0.9)
    assert pruned.agreement is not None
    assert len(pruned.agreement.edges.on) == np.count_nonzero(pruned.edges)
    assert len(pruned.agreement.nodes.on) == pruned.nodes.n_sources + 1


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("held_out", ["z"], "names a prompt twice, or holds one out"),
        ("having", [3, 1], "4 places on 2 counts for 4 tokens"),
        ("node_spread", [1], "of 3 prompts, and its spreads are of others"),
        ("prompts", ["a", "b"], "names a prompt twice, or holds one out"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, key, value, said):
    path = write(tmp_path / "c.json", three())
    about = json.loads(path.read_text())
    about["agreement"][key] = value
    path.write_text(json.dumps(about))
    with pytest.raises(UsageError, match=said):
        read(path)
