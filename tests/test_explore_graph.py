"""Ids, links, search, one output asked, and what is left for a browser to show."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import empty_graph, hand_graph, random_graph, square

from tracer.explore.connections import Link, connections, entering
from tracer.explore.index import index_of
from tracer.explore.search import search
from tracer.explore.shrink import shrink
from tracer.explore.toward import difference, one_output
from tracer.graph.influence import influence

A, B, C, ERROR, S, T, X, Y = (
    "0_5_0",
    "0_7_1",
    "1_2_1",
    "0_-1_1",
    "E_0_0",
    "E_1_1",
    "3_3_1",
    "3_4_1",
)


def test_ids_stand_where_the_matrix_has_them():
    index = index_of(hand_graph())
    assert index.ids == (A, B, C, ERROR, S, T, X, Y)
    assert [index.column(name) for name in index.ids] == [0, 1, 2, 3, 4, 5, None, None]
    assert [index.row(name) for name in index.ids] == [0, 1, 2, None, None, None, 3, 4]
    assert [index.of_row(row) for row in range(5)] == [A, B, C, X, Y]


def test_unknown_ids_fall_away():
    index = index_of(hand_graph())
    hostile = ["<script>", "../../etc/passwd", "9_9_9", "", C, C, Y]
    assert index.known(hostile) == (C, Y)
    assert [index.is_feature(name) for name in (A, ERROR, X, "<b>")] == [True, False, False, False]


def test_nodes_say_what_they_are():
    index = index_of(hand_graph())
    labels = [index.node(name).label for name in (C, ERROR, S, Y)]
    assert labels == ["L1 feature 2 on ·t1", "L0 error on ·t1", "token on ·t0", "output ·Y"]
    assert index.node(C).activation == 3.0
    assert index.node(Y).layer is None


def test_links_are_shares_of_what_enters_the_target():
    graph = hand_graph()
    index, sums = index_of(graph), entering(graph)
    found = connections(index, sums, C)
    assert found.inputs == (Link(B, -2, -0.5), Link(A, 1, 0.25), Link(ERROR, 1, 0.25))
    assert found.outputs == (Link(X, 3, 0.75), Link(Y, 1, 0.25))
    assert connections(index, sums, X).outputs == ()
    assert connections(index, sums, S).inputs == ()


def test_links_agree_with_the_dense_matrix_and_say_what_is_left_out():
    graph = random_graph(3)
    index, sums = index_of(graph), entering(graph)
    matrix, _ = square(graph)
    totals = np.abs(matrix).sum(axis=1)
    for place in (0, 30, 59, 62, 80, len(index.ids) - 1):
        found = connections(index, sums, index.ids[place], most=3)
        assert found.n_inputs == np.count_nonzero(matrix[place])
        assert found.n_outputs == np.count_nonzero(matrix[:, place])
        assert len(found.outputs) == min(3, found.n_outputs)
        for link in found.outputs:
            target = index.places[link.id]
            assert link.share == pytest.approx(matrix[target, place] / totals[target])
        shares = np.abs(matrix[place]) / max(totals[place], 1e-30)
        assert [abs(link.share) for link in found.inputs] == pytest.approx(
            np.sort(shares)[::-1][: len(found.inputs)]
        )


def test_search_reads_labels_ids_tokens_and_groups():
    index = index_of(hand_graph())
    groups = {"texas": (A, C)}
    assert search(index, groups, "TEXAS") == (A, C)
    assert search(index, groups, "texas t1") == (C,)
    assert search(index, groups, "error") == (ERROR,)
    assert search(index, groups, "·y") == (Y,)
    assert search(index, groups, "1_2_1") == (C,)
    assert search(index, groups, "  ") == search(index, groups, "nowhere") == ()


def test_one_output_keeps_its_row_alone():
    graph = hand_graph()
    found = one_output(graph, 1)
    assert [logit.label for logit in found.nodes.logits] == [" Y"]
    assert found.edges[-1].tolist() == graph.edges[4].tolist()
    assert influence(found).features.tolist() == pytest.approx(
        [0.3 / 16, 0.3 / 4 + 0.3 / 8, 0.3 / 4]
    )


def test_a_difference_is_a_logit_whose_edges_are_subtracted():
    graph = hand_graph()
    found = difference(graph, 0, 1)
    assert found.edges[-1].tolist() == [0, -1, 2, 1, 0, -2]
    assert found.values[-1] == graph.values[3] - graph.values[4]
    assert found.constants[-1] == graph.constants[3] - graph.constants[4]
    assert [(logit.label, logit.weight) for logit in found.nodes.logits] == [(" X −  Y", 1.0)]
    assert graph.nodes.logits[0].label == " X"


def test_shrinking_keeps_the_most_influential():
    graph = random_graph(5)
    whole = shrink(graph, 1.0, 10_000)
    assert whole.n_beyond == 0
    found = shrink(graph, 1.0, 12)
    nodes, before = found.graph.nodes, whole.graph.nodes
    assert nodes.n_features + len(nodes.errors) == 12
    assert found.n_beyond == before.n_features + len(before.errors) - 12
    kept = {*index_of(found.graph).ids}
    scores = influence(whole.graph)
    both = np.concatenate([scores.features, scores.errors])
    names = index_of(whole.graph).ids
    strongest = {names[n] for n in np.argsort(-both)[:12]}
    assert strongest <= kept
    old, new = index_of(whole.graph), index_of(found.graph)
    for target in (name for name in new.ids if new.row(name) is not None):
        for source in (name for name in new.ids if new.column(name) is not None):
            mine = found.graph.edges[new.row(target), new.column(source)]
            assert mine == whole.graph.edges[old.row(target), old.column(source)]


def test_an_empty_graph_can_be_shown():
    found = shrink(empty_graph(), 0.8)
    assert found.graph.nodes.n_features == 0
    index = index_of(found.graph)
    assert connections(index, entering(found.graph), index.ids[-1]).n_inputs == 2
