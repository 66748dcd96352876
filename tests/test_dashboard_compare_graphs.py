"""Edges of two graphs matched by what their ends are, held against the dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.graphs import hand_graph, make_graph, random_graph
from tracer.dashboard.compare.graphs import edge_rows, edge_sides, matched
from tracer.record.graph.graph import Logit, Nodes, listed


def test_a_graph_against_itself_agrees_in_all():
    graph = listed(random_graph(0))
    found = edge_sides(matched(graph, graph))
    assert (found.only_a, found.both, found.only_b) == (0, len(graph.weights), 0)
    assert (found.share_a, found.share_b) == (1.0, 1.0)
    assert found.correlation == pytest.approx(1.0)
    assert edge_rows(matched(graph, graph)) == []


def test_counts_shares_and_correlation_are_those_of_the_matrices():
    a = random_graph(0)
    rng = np.random.default_rng(1)
    edges = a.edges * (rng.random(a.edges.shape) < 0.7) + rng.normal(0, 0.1, a.edges.shape) * (
        rng.random(a.edges.shape) < 0.1
    )
    b = make_graph(a.nodes, edges, a.subject)
    found = edge_sides(matched(listed(a), listed(b)))
    both = (a.edges != 0) & (b.edges != 0)
    assert found.both == both.sum()
    assert found.only_a == ((a.edges != 0) & ~both).sum()
    assert found.only_b == ((b.edges != 0) & ~both).sum()
    assert found.share_a == pytest.approx(abs(a.edges[both]).sum() / abs(a.edges).sum(), rel=1e-5)
    assert found.share_b == pytest.approx(abs(b.edges[both]).sum() / abs(b.edges).sum(), rel=1e-5)
    wanted = np.corrcoef(a.edges[both], b.edges[both])[0, 1]
    assert found.correlation == pytest.approx(wanted, rel=1e-5)


def test_nodes_that_one_graph_lacks_shift_nothing():
    """B lacks feature A of the hand graph: of 12 edges the one from it and the one to it go."""
    a = hand_graph()
    nodes = Nodes(
        a.nodes.features[1:],
        a.nodes.activations[1:],
        a.nodes.errors,
        a.nodes.tokens,
        a.nodes.logits,
    )
    edges = a.edges[1:, 1:].copy()
    edges[0, -1] = 6  # token t1 to feature B, 3 before
    found = matched(listed(a), listed(make_graph(nodes, edges)))
    sides = edge_sides(found)
    assert (sides.only_a, sides.both, sides.only_b) == (2, 9, 0)
    first = edge_rows(found)[0]
    assert first == {
        "from": "token ' t1'",
        "to": "L0 feature 7 on ' t1'",
        "A": 3.0,
        "B": 6.0,
        "B − A": 3.0,
    }
    assert {row["from"] for row in edge_rows(found) if row["B"] is None} == {
        "token ' t0'",
        "L0 feature 5 on ' t0'",
    }


def test_outputs_of_one_label_stay_apart():
    a = hand_graph()
    same = replace(a, nodes=replace(a.nodes, logits=(Logit(" X", 3, 0.6), Logit(" X", 4, 0.3))))
    found = edge_sides(matched(listed(same), listed(same)))
    assert found.both == np.count_nonzero(a.edges)


def test_too_few_or_equal_weights_have_no_correlation():
    a = hand_graph()
    ones = make_graph(a.nodes, (a.edges != 0).astype(float))
    assert edge_sides(matched(listed(ones), listed(a))).correlation is None
