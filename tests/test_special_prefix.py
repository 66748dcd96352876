"""The special-token prefix: alike on every prompt, so nothing is carried through it."""

import numpy as np
import torch

from tests.opened import edges_by_autograd, ids_of, relative_error
from tracer.engine.attribution.frozen import n_prefix
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.targets import salient
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.progress import Silent


def graph_of_ids(model, ids):
    basis = NeuronBasis(model)
    toward = lambda frozen: salient(frozen, model.tokenizer)  # noqa: E731
    return basis, attributed(model, basis, ids, toward, 40, Silent()).graph


def test_the_prefix_is_the_leading_run_of_special_tokens():
    assert n_prefix([2, 9, 2, 8], [2, 1]) == 1
    assert n_prefix([2, 1, 9], [2, 1]) == 2
    assert n_prefix([9, 2], [2, 1]) == 0
    assert n_prefix([2, 2], [2]) == 1, "one token is left to be explained"


def test_without_a_prefix_every_position_is_carried(each_model):
    ids = ids_of(each_model)[1:]
    basis, graph = graph_of_ids(each_model, ids)
    assert graph.nodes.errors[:, 1].min() == 0
    wanted = edges_by_autograd(each_model, basis, graph, ids)
    assert relative_error(graph.edges, wanted) < 1e-4


def test_a_prefix_of_several_tokens_has_a_node_each(each_model):
    ids = torch.cat([torch.tensor([2, 1, 2]), ids_of(each_model)[1:]])
    basis, graph = graph_of_ids(each_model, ids)
    assert graph.nodes.errors[:, 1].min() == 3
    assert len(graph.nodes.tokens) == len(ids)
    wanted = edges_by_autograd(each_model, basis, graph, ids)
    assert relative_error(graph.edges, wanted) < 1e-4
    total = graph.edges.sum(1) + graph.constants
    assert np.allclose(total, graph.values, atol=1e-4 * np.abs(graph.edges).max())
