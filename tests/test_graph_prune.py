import math

import numpy as np
import pytest
from graphs import (
    dense_influence,
    empty_graph,
    hand_graph,
    make_graph,
    random_graph,
    shares,
    square,
)

from tracer.errors import UsageError
from tracer.record.graph import influence
from tracer.record.graph.graph import Pruning
from tracer.record.graph.prune import prune

SHARES = [(0.8, 0.98), (0.5, 0.5), (0.95, 0.3), (0.2, 0.9), (1.0, 0.7), (0.6, 1.0), (0.0, 0.4)]


def dense_cut(scores, share):
    """Which scores to keep, by sorting all of them."""
    if share == 1:
        return scores > 0
    ordered = np.sort(scores, axis=None)[::-1]
    reached = np.cumsum(ordered)
    first = np.searchsorted(reached, share * reached[-1])
    return (scores >= ordered[first]) & (scores > 0)


def dense_prune(graph, node_share, edge_share):
    """Masks over all nodes and all pairs, straight from the definition."""
    nodes = graph.nodes
    matrix, start = square(graph)
    n_cuttable = nodes.n_features + len(nodes.errors)
    kept = dense_cut(dense_influence(matrix, start), node_share)
    kept[n_cuttable:] = True
    matrix = matrix * kept[:, None] * kept[None, :]
    scores = shares(matrix) * (dense_influence(matrix, start) + start)[:, None]
    edges = dense_cut(scores, edge_share)
    while True:
        edges &= kept[:, None] & kept[None, :]
        after = kept.copy()
        after[:n_cuttable] &= edges.any(axis=0)[:n_cuttable]
        after[: nodes.n_features] &= edges.any(axis=1)[: nodes.n_features]
        if (after == kept).all():
            return kept, matrix * edges
        kept = after


def assert_same(graph, pruned, kept, matrix):
    nodes, f = graph.nodes, graph.nodes.n_features
    assert pruned.nodes.features.tolist() == nodes.features[kept[:f]].tolist()
    assert pruned.nodes.activations.tolist() == nodes.activations[kept[:f]].tolist()
    assert pruned.nodes.errors.tolist() == nodes.errors[kept[nodes.error_columns]].tolist()
    assert pruned.nodes.tokens.tolist() == nodes.tokens.tolist()
    assert pruned.nodes.logits == nodes.logits
    found, _ = square(pruned)
    assert found.tolist() == matrix[np.ix_(kept, kept)].tolist()
    rows = np.concatenate([kept[:f], np.ones(len(nodes.logits), bool)])
    assert pruned.constants.tolist() == graph.constants[rows].tolist()
    assert pruned.values.tolist() == graph.values[rows].tolist()


def test_the_small_graph_by_hand():
    graph = hand_graph()
    before = graph.edges.copy()
    pruned = prune(graph, 0.8, 0.9)
    # Influences C .525, t .403, B .338, e .281, s .216, A .131: C, t, B, e reach .8 of 1.894.
    assert pruned.nodes.features.tolist() == [[0, 1, 7], [1, 1, 2]]
    assert pruned.nodes.errors.tolist() == [[0, 1]]
    # Without A: C gets 2/3 from B. Of 1.85, edges down to B ← s (.10625) reach .9.
    assert pruned.edges.tolist() == [
        [0, 0, 0, -1, 3],  # B
        [-2, 0, 1, 0, 0],  # C
        [0, 3, 1, 0, 0],  # X
        [0, 0, 0, 0, 2],  # Y: the edges from B and C (.075 each) are cut
    ]
    assert pruned.pruning == Pruning(0.8, 0.9)
    assert (graph.edges == before).all() and graph.pruning is None


def test_what_a_cut_leaves_hanging_goes():
    # Down to B ← t (.319): X ← C, C ← B, B ← t are left, and nothing of the error.
    pruned = prune(hand_graph(), 0.8, 0.5)
    assert len(pruned.nodes.errors) == 0
    assert pruned.edges.tolist() == [[0, 0, 0, 3], [-2, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(12))
def test_the_same_nodes_and_edges_as_the_dense_way(seed, share):
    graph = random_graph(seed, n_features=20 * (1 + seed % 4), density=0.15 + 0.07 * seed)
    assert_same(graph, prune(graph, *share), *dense_prune(graph, *share))


@pytest.mark.parametrize("cells", [1, 100, 700])
def test_the_size_of_blocks_changes_nothing(monkeypatch, cells):
    graph = random_graph(5)
    monkeypatch.setattr(influence, "CELLS", cells)
    assert_same(graph, prune(graph), *dense_prune(graph, 0.8, 0.98))


def test_a_matrix_kept_by_columns_gives_the_same():
    graph = random_graph(6)
    by_columns = make_graph(graph.nodes, graph.edges, graph.subject)
    object.__setattr__(by_columns, "edges", np.asfortranarray(graph.edges))
    assert prune(by_columns).edges.tolist() == prune(graph).edges.tolist()


def test_shares_of_one_keep_all_that_reaches_the_output_and_no_pair_more():
    graph = random_graph(2, density=0.2)
    pruned = prune(graph, 1.0, 1.0)
    rows = np.concatenate([pruned.nodes.find(graph.nodes.features) >= 0, [True] * 3])
    errors = {tuple(e) for e in pruned.nodes.errors.tolist()}
    columns = np.concatenate(
        [rows[:-3], [tuple(e) in errors for e in graph.nodes.errors.tolist()], [True] * 5]
    )
    assert (pruned.edges == graph.edges[np.ix_(rows, columns)]).all()
    assert 0 < np.count_nonzero(pruned.edges) < pruned.edges.size


def test_equal_scores_stay_or_go_together():
    graph = hand_graph()
    edges = np.zeros_like(graph.edges)
    edges[3:, 4:] = 1
    assert (prune(make_graph(graph.nodes, edges), 0.5, 0.1).edges[0] != 0).all()


def test_a_pruned_graph_can_be_pruned_on():
    once = prune(random_graph(4))
    assert_same(once, prune(once, 0.6, 0.7), *dense_prune(once, 0.6, 0.7))


def test_an_empty_graph_and_one_without_edges():
    assert prune(empty_graph()).edges.tolist() == [[1, -3]]
    assert prune(empty_graph(), edges=0.7).edges.tolist() == [[0, -3]]
    graph = hand_graph()
    for share in (0.0, 0.8, 1.0):
        bare = prune(make_graph(graph.nodes, graph.edges * 0), share, share)
        assert bare.edges.tolist() == [[0, 0], [0, 0]]
        assert bare.nodes.n_features == len(bare.nodes.errors) == 0


@pytest.mark.parametrize("share", [-0.1, 1.01, math.nan, math.inf, -math.inf])
def test_a_share_out_of_range_is_told(share):
    with pytest.raises(UsageError, match="share of nodes to keep must be between 0 and 1, not"):
        prune(hand_graph(), share, 0.5)
    with pytest.raises(UsageError, match="share of edges to keep must be between 0 and 1, not"):
        prune(hand_graph(), 0.5, share)
