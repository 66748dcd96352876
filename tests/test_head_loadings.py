"""Loadings of heads: what an edge loses when a head of the model passes nothing on."""

import warnings

import numpy as np
import pytest
import torch

from tests.opened import (
    BASES,
    attributed_of,
    basis_of,
    edges_by_autograd,
    held_at,
    held_outputs,
    ids_of,
    kept_by,
)
from tracer.engine.attribution import head_loadings as loadings
from tracer.engine.attribution import node_streams
from tracer.engine.attribution.edge_matrix import prefix_streams
from tracer.engine.attribution.head_loadings import edge_loadings, head_loadings
from tracer.engine.model.sites import Site
from tracer.engine.progress import Silent
from tracer.record.graph.prune import prune

REL = 1e-5
"""fp32, over the row's largest edge."""
N_HEADS = 4


@pytest.fixture(scope="module", params=BASES)
def found(request, each_model, tmp_path_factory):
    """A whole graph of every architecture, of each kind of features, with all of its loadings."""
    basis = basis_of(request.param, each_model, tmp_path_factory.mktemp("dictionary"))
    ids = ids_of(each_model)
    whole = attributed_of(each_model, basis, 14)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loadings, "MOST_HEADS", 10**6)
        every = edge_loadings(whole, whole.graph, Silent())
    return each_model, basis, ids, whole, dense(whole.graph, every)


def dense(graph, found):
    """[layer · head, target, source]."""
    n = found.n_heads * graph.subject.n_layers
    whole = np.zeros((n, *graph.edges.shape), dtype=np.float32)
    targets, sources = np.nonzero(graph.edges)
    for heads, weights in zip(found.heads.T, found.weights.T, strict=True):
        there = heads >= 0
        whole[heads[there], targets[there], sources[there]] = weights[there]
    return whole


def detached(layer, head):
    def hook(z):
        z = z.clone()
        z[:, :, head] = z[:, :, head].detach()
        return z

    return [(Site("z", layer), hook)]


def error_of(graph, found, wanted):
    scale = np.abs(graph.edges).max(1, keepdims=True)
    return (np.abs(found - wanted) / scale).max()


def test_a_loading_is_what_an_edge_loses_without_the_head(found):
    model, basis, ids, (graph, _), every = found
    whole = edges_by_autograd(model, basis, graph, ids)
    for number in (0, 3, 5, 6):
        loading = every[number]
        without = edges_by_autograd(model, basis, graph, ids, detached(*divmod(number, N_HEADS)))
        assert error_of(graph, loading, whole - without) < REL


def test_several_heads_carry_what_edges_lose_without_all_of_them(found):
    """Also where paths pass one head after the other, which loadings would count twice."""
    model, basis, ids, (graph, nodes), every = found
    whole = edges_by_autograd(model, basis, graph, ids)
    sets = [[(0, 1), (1, 0)], [(1, 2)], [(0, 0), (0, 3), (1, 1), (1, 3)]]
    sources, targets = [*range(2, whole.shape[1], 3)], [0, 4, len(whole) - 1]
    carried = loadings.carried_by(nodes, sources, targets, sets).tolist()
    for heads, value in zip(sets, carried, strict=True):
        hooks = [hook for head in heads for hook in detached(*head)]
        lost = whole - edges_by_autograd(model, basis, graph, ids, hooks)
        scale = np.abs(whole[targets]).sum()
        assert abs(value - lost[targets][:, sources].sum()) < REL * scale
    one = every[N_HEADS + 2][targets][:, sources].sum()
    assert carried[1] == pytest.approx(one, abs=REL * np.abs(whole[targets]).sum())


def test_a_layers_loadings_and_its_residual_stream_are_the_edge(found):
    model, basis, ids, (graph, _), every = found
    for layer in range(model.n_layers):
        past = edges_by_autograd(
            model, basis, graph, ids, [(Site("attn_out", layer), torch.Tensor.detach)]
        )
        heads = every[layer * N_HEADS : (layer + 1) * N_HEADS].sum(0)
        assert error_of(graph, heads + past, graph.edges) < REL


@pytest.mark.parametrize("head", [(0, 1), (1, 2)], ids=["0.1", "1.2"])
def test_a_heads_ablation_is_the_sum_of_what_its_edges_lose(found, head):
    """In the model, all frozen, each position's z set to what it makes of constants alone."""
    model, basis, ids, (graph, nodes), every = found
    layer, number = head
    constant = constant_stream(nodes, layer)
    z = constant_z(nodes.frozen.blocks[layer], constant, number)
    logits = [explained(model, graph, basis, ids, layer, number, each) for each in (None, z)]
    lost = every[layer * N_HEADS + number, graph.nodes.n_features :].sum(1)
    scale = np.abs(graph.edges[graph.nodes.n_features :]).max()
    assert np.abs(lost).max() > 1e-3 * scale
    np.testing.assert_allclose(logits[0] - logits[1], lost, atol=REL * scale, rtol=0)


def constant_stream(nodes, layer):
    """What biases, and all but the embeddings at the special-token prefix, put before a layer."""
    frozen = nodes.frozen
    x, here, n = torch.zeros_like(frozen.resid_pre[0]), slice(0, frozen.n_pos), frozen.n_prefix
    rests = [each.rest for each in prefix_streams(nodes.basis, frozen)]
    for below in range(layer):
        x[:n] = rests[below]
        block = frozen.blocks[below]
        middle = x + block.attend(x)
        skipped = nodes.skip_jvp(below, (x if block.is_parallel else middle)[None], here)
        x = middle if skipped is None else middle + skipped[0]
        bias = nodes.mlp_bias(below)
        x = x if bias is None else x + bias
    x[:n] = rests[layer]
    return x


def constant_z(block, x, head):
    """A head's z where it reads a stream."""
    group = head // block.n_shared
    v = block.before(x) @ block.weights.W_V[group].to(x.dtype)
    if block.weights.b_V is not None:
        v = v + block.weights.b_V[group]
    return block.pattern[head] @ v


def explained(model, graph, basis, ids, layer, head, z):
    """The explained logits, less the mean, with patterns, scales and features held.

    One head's z is set, if it is given.
    """
    seen, last, layers = {}, {}, range(model.n_layers)
    held = [*model.scale_sites, *(Site("pattern", each) for each in layers)]
    outputs = [site(each) for site in (basis.input_site, basis.output_site) for each in layers]

    def put_in(x):
        x = x.clone()
        if z is not None:
            x[0, :, head] = z
        return x

    hooks = [*held_at(held, seen), *held_outputs(basis, layers, seen), (Site("z", layer), put_in)]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.forward(ids, kept_by([*held, *outputs], seen))
        model.forward(ids, [*hooks, *kept_by([Site("unembed_in", 0)], last)])
    logits = (last[Site("unembed_in", 0)][0, -1] @ model.unembedding.W_U).double()
    tokens = [logit.token for logit in graph.nodes.logits]
    return (logits[tokens] - logits.mean()).numpy()


def test_a_groups_loadings_are_those_of_its_edges_together(found):
    model, _, _, (graph, nodes), every = found
    n = graph.nodes.n_features
    sources = [0, 3, n + 2, graph.nodes.n_sources - 1, graph.nodes.token_columns.start]
    targets = [n - 1, n - 2, n, n + 1]
    together = head_loadings(nodes, sources, targets)
    assert together.shape == (model.n_layers, N_HEADS)
    wanted = every[:, targets][:, :, sources].sum((1, 2))
    scale = np.abs(graph.edges[targets]).max(1).sum()
    assert np.abs(together.flatten().numpy() - wanted).max() < REL * scale


def test_a_pruned_graph_has_the_strongest_loadings_of_its_edges(found):
    _, _, _, whole, every = found
    graph = whole.graph
    pruned = prune(graph, 0.9, 0.9)
    some = edge_loadings(whole, pruned, Silent())
    places = pruned.nodes.features
    assert len(places) > 0 and (pruned.edges != 0).sum() < (graph.edges != 0).sum()
    assert some.heads.shape == some.weights.shape == ((pruned.edges != 0).sum(), 4)
    mine = dense(pruned, some)
    rows = graph.nodes.rows_of(pruned.nodes)
    columns = graph.nodes.columns_of(pruned.nodes)
    part = every[:, rows][:, :, columns] * (pruned.edges != 0)
    fourth = np.sort(np.abs(part), 0)[-4]
    kept = mine != 0
    assert np.allclose(mine[kept], part[kept], atol=1e-5)
    assert (np.abs(part) <= fourth + 1e-5)[~kept].all()
    assert (np.diff(np.abs(some.weights), axis=1) <= 0).all()


def test_small_pieces_change_nothing(found, monkeypatch):
    _, _, _, whole, every = found
    graph = whole.graph
    monkeypatch.setattr(loadings, "MOST_HEADS", 10**6)
    monkeypatch.setattr(node_streams, "BUDGET", 20_000)
    monkeypatch.setattr(node_streams, "BATCH_CELLS", 100)
    again = dense(graph, edge_loadings(whole, whole.graph, Silent()))
    for mine, wanted in zip(again, every, strict=True):
        assert error_of(graph, mine, wanted) < REL
