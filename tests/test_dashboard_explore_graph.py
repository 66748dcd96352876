"""Ids, links, search, one output asked, and the part of a graph that is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import empty_graph, hand_graph, random_graph, square

from tracer.dashboard.explore.nodes import (
    LONGEST,
    AskedLogits,
    Link,
    choices,
    connections,
    entering,
    index_of,
    part_of,
    search,
    toward,
)
from tracer.record.graph.graph import listed, source_ids
from tracer.record.graph.influence import influence
from tracer.record.trials import FeatureTokens
from tracer.report.graph_view import graph_data
from tracer.report.run_graphs import feature_names

A, B, C, ERROR, S, T, X, Y = (
    "0_5_0",
    "0_7_1",
    "1_2_1",
    "0_-1_1",
    "E_0_0",
    "E_1_1",
    "L_0",
    "L_1",
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
    assert labels == ["L1/2 on ' t1'", "L0 error on ' t1'", "token on ' t0'", "output ' Y'"]
    assert index.node(C).activation == 3.0
    assert index.node(Y).layer is None


def test_features_are_named_by_what_they_promote():
    names = feature_names({C: FeatureTokens(promotes=(" women", "\nwoman"), suppresses=())})
    index = index_of(hand_graph(), names)
    assert index.node(C).label == "L1/2 – women, \\nwoman on ' t1'"
    assert index.node(A).label.startswith("L0/5 on")
    data = graph_data(listed(hand_graph()), "g", names=names)
    labels = {node["id"]: node["label"] for node in data["nodes"]}
    assert (labels[C], labels[A]) == ("L1/2 – women, \\nwoman", "L0/5")
    assert search(index, {}, "women") == (C,)


def test_a_very_long_token_is_cut():
    graph = hand_graph()
    subject = replace(graph.subject, tokens=("x" * 10_000, "y"))
    node = index_of(replace(graph, subject=subject)).node(S)
    assert len(node.token) == LONGEST
    assert node.label == "token on '" + "x" * (LONGEST - 2) + "…"


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
    assert search(index, groups, "' y'") == (Y,)
    assert search(index, groups, "1_2_1") == (C,)
    assert search(index, groups, "  ") == search(index, groups, "nowhere") == ()


def test_one_output_keeps_its_row_alone():
    graph = hand_graph()
    found = toward(listed(graph), AskedLogits(1))
    assert [logit.label for logit in found.nodes.logits] == [" Y"]
    last = found.targets == 3
    assert found.sources[last].tolist() == [1, 2, 5]
    assert found.weights[last].tolist() == [1, 1, 2]
    dense = part_of(found, source_ids(found.nodes, found.subject))
    assert dense.edges[:3].tolist() == graph.edges[:3].tolist()
    assert influence(dense).features.tolist() == pytest.approx(
        [0.3 / 16, 0.3 / 4 + 0.3 / 8, 0.3 / 4]
    )


def test_a_difference_is_a_logit_whose_edges_are_subtracted():
    graph = hand_graph()
    found = toward(listed(graph), AskedLogits(0, 1))
    dense = part_of(found, source_ids(found.nodes, found.subject))
    assert dense.edges[-1].tolist() == [0, -1, 2, 1, 0, -2]
    assert [(logit.label, logit.weight) for logit in found.nodes.logits] == [("' X' − ' Y'", 1.0)]
    assert toward(listed(graph), AskedLogits()).nodes.logits == graph.nodes.logits


def test_what_can_be_asked_of_a_graph():
    logits = hand_graph().nodes.logits
    assert choices(logits) == (AskedLogits(), AskedLogits(0), AskedLogits(1), AskedLogits(0, 1))
    assert choices(logits[:1]) == (AskedLogits(),)


def test_a_part_has_the_edges_between_its_nodes():
    graph = random_graph(5)
    names = source_ids(graph.nodes, graph.subject)
    ids = names[3:60:7] + names[62:70:2]
    part = part_of(listed(graph), ids)
    old, new = index_of(graph), index_of(part)
    assert set(ids) <= set(new.ids)
    assert part.nodes.n_features + len(part.nodes.errors) == len(ids)
    for target in (name for name in new.ids if new.row(name) is not None):
        for source in (name for name in new.ids if new.column(name) is not None):
            mine = part.edges[new.row(target), new.column(source)]
            assert mine == graph.edges[old.row(target), old.column(source)]


def test_the_ids_are_those_of_the_view():
    graph = listed(random_graph(1))
    data = graph_data(graph, "g")
    index = index_of(part_of(graph, [node["id"] for node in data["nodes"]]))
    assert {node["id"] for node in data["nodes"]} == set(index.ids)


def test_an_empty_graph_can_be_shown():
    part = part_of(listed(empty_graph()), [])
    index = index_of(part)
    assert connections(index, entering(part), index.ids[-1]).n_inputs == 2
