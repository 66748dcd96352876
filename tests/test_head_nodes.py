"""Attention heads as nodes: what they send and receive, and what that leaves to other edges."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.opened import (
    BASES,
    attributed_of,
    basis_of,
    edges_by_autograd,
    held,
    ids_of,
    relative_error,
)
from tests.test_head_loadings import dense, error_of
from tracer.engine.attribution import head_loadings as loadings
from tracer.engine.attribution import node_streams, sweep, tiles
from tracer.engine.attribution.graph import with_head_nodes
from tracer.engine.attribution.head_loadings import edge_loadings, head_loadings
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.model.sites import Site
from tracer.engine.progress import Silent
from tracer.hypothesis.heads import HeadName

REL = 1e-4
"""fp32, over the row's largest edge: sums of some thousand products in another order."""
N_FEATURES, N_HEADS = 14, 20
EVERY = 10**6
IN_ALL_LAYERS = pytest.mark.parametrize("found", ["clt"], indirect=True)
"""Features that write to several layers, and what goes around them."""


@pytest.fixture(scope="module", params=BASES)
def found(request, each_model, tmp_path_factory):
    """Without heads and with some, on every architecture, with each kind of features."""
    basis = basis_of(request.param, each_model, tmp_path_factory.mktemp("dictionary"))
    plain = attributed_of(each_model, basis, N_FEATURES)
    return each_model, basis, plain, with_head_nodes(plain, N_HEADS, Silent())


def by_autograd(model, basis, graph, more=()):
    toward = goal_by_z(model, basis, graph)[1]
    return edges_by_autograd(model, basis, graph, ids_of(model), more, toward)


def goal_by_z(model, basis, graph):
    """z of every layer, and the gradient by it of Σ weight · logit.

    Features pass on what they read, as the graph has them; all else of an MLP is held.
    """
    seen, added, z = {}, {}, {}
    nodes = graph.nodes
    features = np.delete(nodes.features, nodes.attention, 0)
    active = np.delete(nodes.activations, nodes.attention)

    def through(layer):
        def hook(x):
            read = seen[basis.input_site(layer)][0]
            mine = features[:, 0] == layer
            pos, index = (torch.from_numpy(features[mine, n]) for n in (1, 2))
            e = basis.readers(layer, read.detach(), pos, index, torch.from_numpy(active[mine]))
            moved = (e.vectors * (read - read.detach())[pos]).sum(1)
            for to in basis.write_layers(layer):
                vectors = moved[:, None] * basis.W_dec(layer, index, to)
                into = torch.zeros_like(read).index_add(0, pos, vectors)
                added[to] = added.get(to, 0) + into
            W_skip = basis.W_skip(layer)
            skipped = 0 if W_skip is None else (read - read.detach()) @ W_skip.T
            return x.detach() + added.get(layer, 0) + skipped

        return hook

    def keep(name):
        return lambda x: seen.__setitem__(name, x)

    def keep_z(layer):
        def hook(x):
            z[layer] = x.clone()
            return z[layer]

        return hook

    layers, end = range(model.n_layers), Site("unembed_in", 0)
    hooks = [(Site("resid_pre", 0), lambda x: x.detach().requires_grad_()), (end, keep(end))]
    hooks += [(site, torch.Tensor.detach) for site in model.scale_sites]
    hooks += [(basis.input_site(layer), keep(basis.input_site(layer))) for layer in layers]
    hooks += [(basis.output_site(layer), through(layer)) for layer in layers]
    hooks += [(Site("z", layer), keep_z(layer)) for layer in layers]
    with held(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.forward(ids_of(model), hooks)
        logits = seen[end][0, -1] @ model.unembedding.W_U
        goal = sum(each.weight * (logits[each.token] - logits.mean()) for each in nodes.logits)
        order = [z[layer] for layer in layers]
        return [x[0].detach() for x in order], [x[0] for x in torch.autograd.grad(goal, order)]


def totals(graph):
    """What each source does to Σ weight · logit, summed over all paths of the graph."""
    nodes, n = graph.nodes, graph.nodes.n_features
    edges = graph.edges.astype(np.float64)
    slopes = edges[:, :n] / graph.nodes.activations
    weights = np.array([logit.weight for logit in nodes.logits])
    # of one unit of each feature or head, by all paths
    whole = weights @ slopes[n:] @ np.linalg.inv(np.eye(n) - slopes[:n])
    return whole @ edges[:n] + weights @ edges[n:]


def test_edges_are_those_of_autograd_with_the_heads_cut_out(found):
    """Into a head: of its z, toward the goal. Out of it: what is lost without W_O z."""
    model, basis, _, (graph, _) = found
    assert len(graph.nodes.attention) == N_HEADS
    assert relative_error(graph.edges, by_autograd(model, basis, graph)) < REL


def test_edges_and_constants_add_up_to_every_value(found):
    model, basis, plain, (graph, _) = found
    total = graph.edges.sum(1) + graph.constants
    assert (np.abs(total - graph.values) / np.abs(graph.edges).max(1)).max() < REL
    assert np.allclose(graph.values[graph.nodes.rows_of(plain.graph.nodes)], plain.graph.values)


def test_a_heads_value_is_what_its_z_does_to_the_goal(found):
    model, basis, _, (graph, _) = found
    z, gradients = goal_by_z(model, basis, graph)
    heads = graph.nodes.attention
    places = graph.nodes.features[heads].tolist()
    wanted = [float(z[at][pos, head] @ gradients[at][pos, head]) for at, pos, head in places]
    assert np.allclose(graph.values[heads], wanted, atol=1e-5 * np.abs(wanted).max())
    assert (graph.nodes.activations[heads] == graph.values[heads]).all()


def test_heads_change_no_sources_total_effect(found):
    """What goes through a head is told once: the direct edges lose what the head's edges carry."""
    _, _, (plain, _), (graph, _) = found
    columns = graph.nodes.columns_of(plain.nodes)
    before, after = totals(plain), totals(graph)
    heads, atol = graph.nodes.attention, REL * np.abs(before).max()
    assert np.allclose(after[columns], before, atol=atol)
    assert np.allclose(after[heads], graph.values[heads], atol=atol)


@IN_ALL_LAYERS
def test_with_every_head_a_node_nothing_else_passes_between_positions(found):
    _, _, plain, _ = found
    graph = with_head_nodes(plain, EVERY, Silent()).graph
    nodes = graph.nodes
    assert nodes.heads.relevance_share == pytest.approx(1)
    last = [len(graph.subject.tokens) - 1] * len(nodes.logits)
    moves = nodes.source_places[None, :, 1] != np.array([*nodes.homes[:, 1], *last])[:, None]
    moves[nodes.attention] = False
    moves[:, nodes.attention] = False
    assert moves.any()
    assert (graph.edges[moves] == 0).all()
    before, after = totals(plain.graph), totals(graph)[nodes.columns_of(plain.graph.nodes)]
    assert np.allclose(after, before, atol=REL * np.abs(before).max())


@IN_ALL_LAYERS
def test_the_most_relevant_heads_are_kept(found):
    model, basis, _, (graph, _) = found
    nodes = graph.nodes
    n = nodes.heads.n_all
    assert n == 2 * 4 * (len(graph.subject.tokens) - 1)
    z, _ = goal_by_z(model, basis, graph)
    relevant = np.zeros((2, z[0].shape[0], 4))
    for logit in nodes.logits:
        alone = replace(graph, nodes=replace(nodes, logits=(replace(logit, weight=1.0),)))
        for layer, gradient in enumerate(goal_by_z(model, basis, alone)[1]):
            relevant[layer] += logit.weight * (gradient * z[layer]).sum(-1).abs().numpy()
    relevant[:, 0] = 0
    layer, pos, head = nodes.features[nodes.attention].T
    kept = relevant[layer, pos, head]
    assert kept.min() >= np.sort(relevant.flatten())[-N_HEADS] * (1 - 1e-4)
    assert nodes.heads.relevance_share == pytest.approx(kept.sum() / relevant.sum(), rel=1e-4)


@IN_ALL_LAYERS
@pytest.mark.parametrize("split", [0, 2])
def test_neither_the_split_layer_nor_small_pieces_matter(found, monkeypatch, split):
    _, _, plain, (graph, _) = found
    monkeypatch.setattr(sweep, "split_layer", lambda *nodes: split)
    monkeypatch.setattr(tiles, "STRIP", 2)
    monkeypatch.setattr(node_streams, "BATCH_CELLS", 30)
    monkeypatch.setattr(node_streams, "BUDGET", 20_000)
    monkeypatch.setattr(sweep, "SLAB", 3)
    same(with_head_nodes(plain, N_HEADS, Silent()).graph, graph)


def same(again, graph):
    assert relative_error(again.edges, graph.edges) < REL
    assert np.allclose(again.constants, graph.constants, atol=REL * np.abs(graph.edges).max())
    assert np.allclose(again.values, graph.values, atol=1e-5)


@IN_ALL_LAYERS
def test_a_score_is_the_sum_of_pairs_of_nodes_with_heads_among_them(found):
    model, _, _, (graph, nodes) = found
    score = qk_attribution(model, nodes, HeadName(1, 2), len(graph.subject.tokens) - 1, 4)
    every = torch.arange(nodes.constant + 1)
    pairs = score.pairs(every, every)
    atol = 1e-5 * float(pairs.abs().max())
    assert float(score.total) == pytest.approx(score.score, abs=atol)
    assert float(pairs.sum()) == pytest.approx(score.score, abs=10 * atol)
    assert torch.allclose(pairs.sum(1), score.query_marginals, atol=10 * atol)
    assert (pairs[graph.nodes.attention] != 0).any()


def detached_elsewhere(graph, layer, head):
    """A head passes nothing on where it is no node."""
    places = graph.nodes.features[graph.nodes.attention]
    nodes = places[(places[:, 0] == layer) & (places[:, 2] == head), 1]

    def hook(z):
        z, kept = z.clone(), z[:, nodes, head]
        z[:, :, head] = z[:, :, head].detach()
        z[:, nodes, head] = kept
        return z

    return [(Site("z", layer), hook)]


@IN_ALL_LAYERS
def test_loadings_are_of_what_passes_no_node(found):
    """Also into a head and out of one; a head at a place where it is a node carries nothing."""
    model, basis, _, whole = found
    graph = whole.graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loadings, "MOST_HEADS", 10**6)
        every = dense(graph, edge_loadings(whole, graph, Silent()))
    without = by_autograd(model, basis, graph, detached_elsewhere(graph, 0, 1))
    assert error_of(graph, every[1], graph.edges - without) < REL
    rows, columns = [*range(graph.nodes.n_targets)], [*range(1, graph.nodes.n_sources, 2)]
    together = head_loadings(whole.nodes, columns, rows).flatten().numpy()
    scale = np.abs(graph.edges).max(1).sum()
    assert np.allclose(together, every[:, :, columns].sum((1, 2)), atol=1e-5 * scale)
