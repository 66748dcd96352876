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

from tracer.record.graph import influence
from tracer.record.graph.graph import Nodes
from tracer.record.graph.influence import Scores, scores, supernode_scores
from tracer.record.graph.prune import prune


def dense_scores(matrix, start, errors, tokens):
    """From the definitions; `errors` and `tokens` are slices of the nodes."""
    found = dense_influence(matrix, start)
    at_tokens, at_errors = found[tokens].sum(), found[errors].sum()
    complete = 1 - shares(matrix)[:, errors].sum(axis=1)
    return Scores(
        at_tokens / (at_tokens + at_errors),
        (complete * (found + start)).sum() / (found + start).sum(),
    )


def dense_supernode_scores(graph, kept):
    """Every place gets an error; the others' columns move there, their rows are emptied."""
    nodes, f = graph.nodes, graph.nodes.n_features
    matrix, start = square(graph)
    places = sorted({(la, pos) for la in range(4) for pos in range(5)})
    n, before = len(matrix), f + len(nodes.errors)
    grown = np.zeros((n + len(places), n + len(places)))
    grown[:n, :n] = matrix
    own = [tuple(home) for home in (*nodes.features[:, :2].tolist(), *nodes.errors.tolist())]
    for column in (*np.flatnonzero(~kept), *range(f, before)):
        grown[:, n + places.index(own[column])] += grown[:, column]
        grown[:, column] = 0
        grown[column, :] = 0
    start = np.concatenate([start, np.zeros(len(places))])
    tokens = slice(before, before + len(nodes.tokens))
    return dense_scores(grown, start, slice(n, n + len(places)), tokens)


def test_the_small_graph_by_hand():
    found = scores(hand_graph())
    # Of .9, .28125 end in the error; of 2.79375 in all, C's and X's quarter is error.
    assert found.replacement == pytest.approx(0.61875 / 0.9)
    assert found.completeness == pytest.approx(1 - (0.525 / 4 + 0.6 / 4) / 2.79375)


def test_one_feature_of_the_small_graph_by_hand():
    # A's edge makes an error at (0, 0); B's −2 into C joins the error's 1 at (0, 1) to −1.
    found = supernode_scores(hand_graph(), np.array([False, False, True]))
    whole = 0.525 + 0.525 / 2 + 0.4875 + 0.15 + 0.9
    assert found.replacement == pytest.approx(0.15 / 0.9)
    assert found.completeness == pytest.approx(1 - (0.525 + 0.6 / 4 + 0.3 / 4) / whole)


@pytest.mark.parametrize("seed", range(10))
def test_scores_are_those_of_the_dense_way(seed):
    graph = random_graph(seed, density=0.1 + 0.08 * seed)
    for one in (graph, prune(graph, 0.6, 0.8)):
        tokens = slice(one.nodes.token_columns.start, one.nodes.token_columns.stop)
        assert scores(one) == pytest.approx(
            dense_scores(*square(one), one.nodes.error_columns, tokens), rel=1e-5
        )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("cells", [100, 2**19])
def test_supernode_scores_are_those_of_the_dense_way(monkeypatch, seed, cells):
    graph = prune(random_graph(seed, density=0.3 + 0.06 * seed), 0.9, 0.9)
    kept = np.random.default_rng(seed).random(graph.nodes.n_features) < seed / 9
    monkeypatch.setattr(influence, "CELLS", cells)
    assert supernode_scores(graph, kept) == pytest.approx(
        dense_supernode_scores(graph, kept), rel=1e-4
    )


def test_all_features_kept_is_the_whole_graph():
    graph = random_graph(1)
    assert supernode_scores(graph, np.ones(60, dtype=bool)) == scores(graph)


def test_without_features_and_without_any_flow():
    assert scores(empty_graph()) == Scores(1.0, 1.0)
    assert supernode_scores(empty_graph(), np.zeros(0, dtype=bool)) == Scores(1.0, 1.0)
    graph = hand_graph()
    assert scores(make_graph(graph.nodes, graph.edges * 0)) == Scores(None, 1.0)
    mute = Nodes(**{**vars(graph.nodes), "logits": ()})
    assert scores(make_graph(mute, graph.edges[:3])) == Scores(None, None)
