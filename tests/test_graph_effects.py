"""Sums of edges and predicted ablations, on a graph worked out by hand."""

import numpy as np
import pytest

from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Subject
from tracer.record.graph.influence import ablation_effects, entering


@pytest.fixture
def graph():
    """Two features of layer 0 (a, b), one of layer 1 (c), one error, one token, one logit.

    c = 0.5 a − 1 b + 2 error; logit = 1 a + 3 c + 4 token; activations a 2, b 1, c 4.
    """
    nodes = Nodes(
        features=np.array([[0, 0, 1], [0, 0, 2], [1, 0, 0]]),
        activations=np.array([2.0, 1.0, 4.0], dtype=np.float32),
        errors=np.array([[0, 0]]),
        tokens=np.array([0]),
        logits=(Logit("x", 0, 1.0),),
    )
    edges = np.zeros((4, 5), dtype=np.float32)
    edges[2] = [0.5, -1.0, 0, 2.0, 0]
    edges[3] = [1.0, 0, 3.0, 0, 4.0]
    subject = Subject("x", ("x",), (0,), "m", "", "neurons", 2, 3, 1.0)
    zeros = np.zeros(4, dtype=np.float32)
    return AttributionGraph(subject, nodes, edges, zeros, zeros)


def test_edges_are_summed_and_shared(graph):
    found = entering(graph, np.array([2])).of(np.array([0, 1]))
    assert found.weight == pytest.approx(-0.5)
    assert found.share == pytest.approx(-0.5 / 3.5)
    assert entering(graph, np.array([0])).of(np.array([2])).share is None


def test_ablations_go_through_what_reads_them(graph):
    groups = [np.array([0]), np.array([1]), np.array([0, 2]), np.array([2])]
    found = ablation_effects(graph, groups, 3)
    assert found.direct.tolist() == pytest.approx([-1, 0, -4, -3])
    # c changes by −0.5 of 4 without a, by +1 of 4 without b; the logit by 3 × that share.
    assert found.total.tolist() == pytest.approx([-1 - 3 * 0.125, 3 * 0.25, -4, -3])
