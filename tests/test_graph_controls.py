"""Edges of random sets in place of a supernode."""

import numpy as np
import pytest

from tests.opened import graph_of
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.measure.graph_controls import control_shares
from tracer.hypothesis.studies.graph import N_CONTROLS
from tracer.record.graph.influence import entering


@pytest.fixture(scope="module")
def graph(each_model):
    return graph_of(each_model, NeuronBasis(each_model), n=60)


def place_with(graph, n):
    """Rows of the first layer and position that has at least so many features."""
    places = graph.nodes.features[:, :2]
    for place in np.unique(places, axis=0):
        rows = np.flatnonzero((places == place).all(1))
        if len(rows) >= n:
            return rows
    raise AssertionError("no place has so many")


def test_controls_are_the_other_features_of_the_same_place(graph):
    here = place_with(graph, 3)
    output = np.array([graph.nodes.n_features])
    enters = entering(graph, output)
    found = control_shares(graph, here[:1], output, enters, seed=0)
    others = [entering(graph, output).of(np.array([row])).share for row in here[1:]]
    assert len(found) == N_CONTROLS
    assert set(np.round(found, 9)) <= set(np.round(others, 9))
    assert np.array_equal(found, control_shares(graph, here[:1], output, enters, seed=0))


def test_where_too_few_others_are_there_are_none(graph):
    here = place_with(graph, 2)
    output = np.array([graph.nodes.n_features])
    assert len(control_shares(graph, here, output, entering(graph, output), seed=0)) == 0
