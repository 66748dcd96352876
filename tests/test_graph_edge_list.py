"""A graph with its edges as a list gives what the matrix gives."""

from pathlib import Path

import numpy as np
import pytest

from tests.graphs import empty_graph, hand_graph, random_graph
from tracer.record.graph.files import read, read_listed, write
from tracer.record.graph.graph import listed
from tracer.record.graph.influence import influence, inputs, listed_influence
from tracer.record.graph.prune import prune


@pytest.mark.parametrize("graph", [hand_graph(), random_graph(0), random_graph(3), empty_graph()])
def test_influence_is_that_of_the_matrix(graph):
    edges = listed(graph)
    sums = inputs(edges)
    found, carried = listed_influence(edges, sums)
    np.testing.assert_allclose(sums, np.abs(graph.edges).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found, influence(graph).sources, rtol=1e-5, atol=1e-9)
    arriving = np.bincount(edges.sources, weights=carried, minlength=graph.nodes.n_sources)
    np.testing.assert_allclose(arriving, found)


def test_what_is_read_as_a_list_is_what_was_written(tmp_path: Path):
    path = write(tmp_path / "graph.json", prune(random_graph(1)))
    whole, edges = read(path), read_listed(path)
    assert edges.subject == whole.subject
    matrix = np.zeros_like(whole.edges)
    matrix[edges.targets, edges.sources] = edges.weights
    np.testing.assert_array_equal(matrix, whole.edges)
