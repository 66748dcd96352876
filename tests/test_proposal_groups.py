"""Groups of features that act alike: clustering against SciPy's, profiles against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from tests.opened import graph_of
from tracer.engine.proposal.groups import PlacedGraph, Profiles, alike, profiles, told_apart
from tracer.engine.proposal.linkage import average_linkage
from tracer.record.graph.influence import influence


@pytest.mark.parametrize("cut", [0.2, 0.6, 1.0, 5.0])
def test_average_linkage_is_scipy_s(cut):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(40, 3))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = average_linkage(distance, cut)
    labels = fcluster(linkage(squareform(distance, checks=False), "average"), cut, "distance")
    theirs = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels)}
    assert {frozenset(each.tolist()) for each in found} == theirs
    assert distance.diagonal().sum() == 0  # what was given is not changed


def test_told_apart_is_the_r_squared_of_a_regression():
    rng = np.random.default_rng(4)
    concepts = [*"aaabbbccc"]
    profile = rng.normal(size=9) + np.array([0, 0, 0, 4, 4, 4, 0, 0, 0])
    concept, share = told_apart(profile, concepts)
    is_b = np.array([each == "b" for each in concepts], float)
    fitted = np.polyval(np.polyfit(is_b, profile, 1), is_b)
    residual = ((profile - fitted) ** 2).sum() / ((profile - profile.mean()) ** 2).sum()
    assert concept == "b" and share == pytest.approx(1 - residual)
    assert told_apart(np.ones(9), concepts)[1] == 0.0


def test_profiles_are_the_graphs_own_numbers(bench):
    texts = ("the capital of Dallas is", "the capital of Oakland is")
    graphs = [graph_of(bench.model, bench.basis, 60, text) for text in texts]
    last = [len(graph.subject.tokens) - 1 for graph in graphs]
    placed = [PlacedGraph(g, {"city": n - 1, "last": n}) for g, n in zip(graphs, last, strict=True)]
    found = profiles(placed, "city")
    assert found.features.tolist() == sorted(found.features.tolist()) and len(found.features)
    whole = sum(float(influence(graph).features.sum()) for graph in graphs)
    for row, (layer, index) in enumerate(found.features.tolist()):
        share = 0.0
        for prompt, (graph, at) in enumerate(placed):
            nodes = graph.nodes.features.tolist()
            place = [layer, at["city"], index]
            if place not in nodes:
                assert found.activations[row, prompt] == 0
                continue
            column = nodes.index(place)
            assert found.activations[row, prompt] == graph.nodes.activations[column]
            logits = graph.edges[len(nodes) :, column].sum()
            later = [n for n, (_, pos, _) in enumerate(nodes) if pos == at["last"]]
            sent = found.sent[row, prompt]
            assert sent[0] == pytest.approx(logits, abs=1e-6)
            assert sent[2] == pytest.approx(graph.edges[later, column].sum(), abs=1e-6)
            share += float(influence(graph).features[column])
        assert found.influence[row] == pytest.approx(share / whole)


def test_features_that_act_alike_are_one_group():
    rng = np.random.default_rng(5)
    base = rng.normal(size=(2, 6))
    rows = np.repeat(base, 5, axis=0) * rng.uniform(0.5, 2, (10, 1))
    ids, influences = np.stack([np.zeros(10, int), np.arange(10)], 1), np.linspace(0.01, 0.1, 10)
    groups = alike(Profiles(ids, rows, rows[:, :, None], influences), [*"aabbcc"])
    assert [sorted(each.members.tolist()) for each in groups] == [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]
    assert groups[0].members[0] == 9  # the most influential first
