"""Edges of other sets in place of a supernode."""

from itertools import combinations

import numpy as np
import pytest

from tests.opened import graph_of
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.measure.graph_controls import control_sets, control_shares
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


@pytest.mark.parametrize("k", [1, 2])
def test_controls_are_all_other_sets_of_the_same_place_and_none_comes_twice(graph, k):
    """Three features at a place are at most two other sets, which a p of 0.01 does not come of."""
    here = place_with(graph, 3)
    output = np.array([graph.nodes.n_features])
    enters = entering(graph, output)
    found = control_shares(graph, here[:k], output, enters, seed="0")
    sets = [each for each in combinations(here.tolist(), k) if set(each) != set(here[:k])]
    others = [enters.of(np.array(each)).share for each in sets]
    assert len(found) == min(len(others), N_CONTROLS)
    assert set(np.round(found, 9)) <= set(np.round(others, 9))
    assert np.array_equal(found, control_shares(graph, here[:k], output, enters, seed="0"))


def test_several_sets_are_drawn_together_and_none_has_a_member_of_another(graph):
    here = place_with(graph, 4)
    none = np.empty(0, dtype=np.int64)
    drawn = control_sets(graph, [here[:1], here[1:2]], none, "0")
    assert len({(int(a[0]), int(b[0])) for a, b in drawn}) == len(drawn) > 0
    assert all(a[0] != here[1] and b[0] != here[0] for a, b in drawn)


def test_where_there_are_no_others_there_are_no_controls(graph):
    here = place_with(graph, 2)
    output = np.array([graph.nodes.n_features])
    assert len(control_shares(graph, here, output, entering(graph, output), seed="0")) == 0
