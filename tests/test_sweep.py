"""The sweep gives the edges that autograd finds, and they add up to what each target is."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.dictionaries import (
    write_clt,
    write_gemma_scope_2,
    write_sparsify,
    write_transcoders,
)
from tests.opened import edges_by_autograd, graph_of, ids_of, relative_error
from tracer.engine.attribution import node_streams, sweep, tiles
from tracer.engine.attribution.frozen import freeze
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.nodes import most_relevant, relevance
from tracer.engine.attribution.targets import salient
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.progress import Silent
from tracer.record.graph.influence import scores

REL = 1e-4
"""fp32, over the row's largest edge: sums of some thousand products in another order."""


@pytest.fixture(scope="module")
def neurons(each_model):
    basis = NeuronBasis(each_model)
    return each_model, basis, graph_of(each_model, basis, n=40)


DICTIONARIES = {
    "transcoder": lambda folder: write_transcoders(folder),
    "jumprelu": lambda folder: write_gemma_scope_2(folder),
    "topk": lambda folder: write_sparsify(folder, transcode=False),
    "clt": lambda folder: write_clt(folder, activation="topk", k=20),
}


@pytest.fixture(scope="module", params=DICTIONARIES)
def dictionary(request, each_model, tmp_path_factory):
    """Every kind of dictionary on every architecture."""
    folder = DICTIONARIES[request.param](tmp_path_factory.mktemp("dictionary"))
    basis = open_basis(str(folder), each_model, Silent()).basis
    return each_model, basis, graph_of(each_model, basis, n=30)


def adds_up(graph):
    total = graph.edges.sum(1) + graph.constants
    scale = np.abs(graph.edges).max(1)
    return (np.abs(total - graph.values) / scale).max() < REL


def test_dictionaries_are_swept_as_autograd_goes_through_the_frozen_model(dictionary):
    model, basis, graph = dictionary
    assert graph.nodes.n_features == 30
    wanted = edges_by_autograd(model, basis, graph, ids_of(model))
    assert relative_error(graph.edges, wanted) < REL
    assert adds_up(graph)


def test_relevance_counts_every_path_through_the_whole_graph(dictionary):
    model, basis, _ = dictionary
    frozen = freeze(model, basis, ids_of(model))
    targets = salient(frozen, model.tokenizer)
    whole = graph_of(model, basis, n=10**6)
    n, activations = whole.nodes.n_features, whole.nodes.activations.astype(np.float64)
    slopes = whole.edges[:, :n] / activations
    paths = slopes[n:] @ np.linalg.inv(np.eye(n) - slopes[:n])
    weights = np.array([logit.weight for logit in targets.logits])
    wanted = weights @ np.abs(paths * activations)
    found = relevance(basis, frozen, targets)
    places = np.concatenate(
        [
            np.stack([np.full(len(each.pos), layer), each.pos, each.index], 1)
            for layer, each in enumerate(frozen.active)
        ]
    )
    rows = whole.nodes.find(places)
    values = torch.cat(found).numpy()
    assert (values[rows < 0] == 0).all()
    assert np.allclose(values[rows >= 0], wanted[rows[rows >= 0]], atol=1e-4 * wanted.max())


@pytest.mark.parametrize("n", [0, 1, 7, 60, 10**6])
def test_the_most_relevant_are_the_first_of_all_in_order(neurons, n):
    """Coarse values, so that many are alike: of these the first, by layer, then position."""
    model, basis, _ = neurons
    frozen = freeze(model, basis, ids_of(model))
    values = relevance(basis, frozen, salient(frozen, model.tokenizer))
    coarse = tuple((each / each.max() * 5).round() for each in values)
    places = [
        (float(value), layer, pos, index)
        for layer, (active, found) in enumerate(zip(frozen.active, coarse, strict=True))
        for value, pos, index in zip(found, active.pos.tolist(), active.index.tolist(), strict=True)
        if value > 0
    ]
    wanted = sorted(places, key=lambda place: -place[0])[:n]
    assert most_relevant(frozen, coarse, n) == [place[1:] for place in wanted]


def test_a_dictionarys_value_is_its_pre_activation(dictionary):
    _, _, graph = dictionary
    found = graph.values[: graph.nodes.n_features]
    assert np.allclose(found, graph.nodes.activations, rtol=1e-4, atol=1e-5)


def test_neurons_are_swept_as_autograd_goes_through_the_frozen_model(neurons):
    model, basis, graph = neurons
    wanted = edges_by_autograd(model, basis, graph, ids_of(model))
    assert relative_error(graph.edges, wanted) < REL
    assert adds_up(graph)


def test_a_neurons_value_is_its_activation(neurons):
    _, _, graph = neurons
    found = graph.values[: graph.nodes.n_features]
    assert np.allclose(found, graph.nodes.activations, atol=1e-5)


def test_small_pieces_and_a_small_budget_change_nothing(neurons, monkeypatch):
    model, basis, graph = neurons
    monkeypatch.setattr(tiles, "STRIP", 2)
    monkeypatch.setattr(node_streams, "BATCH_CELLS", 30)
    monkeypatch.setattr(node_streams, "BUDGET", 20_000)
    monkeypatch.setattr(sweep, "SLAB", 3)
    again = graph_of(model, basis, n=40)
    assert relative_error(again.edges, graph.edges) < 1e-5
    assert np.allclose(again.constants, graph.constants, atol=1e-5)


def test_a_strip_of_a_pattern_has_the_span_that_is_not_zero(monkeypatch):
    """Six positions, each attends to itself and the two before it."""
    monkeypatch.setattr(tiles, "STRIP", 2)
    window = torch.ones(6, 6).tril().triu(-2).bool()
    whole = tiles.tiles(tiles.extents(window), slice(0, 6))
    strips = [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert whole == [*zip(strips, [slice(0, 2), slice(0, 4), slice(2, 6)], strict=True)]
    part = tiles.tiles(tiles.extents(window.T), slice(1, 4))
    assert part == [(slice(1, 3), slice(1, 4)), (slice(3, 4), slice(3, 4))]


def same_at_any_split(graph, again):
    """Compared with the graph that autograd is compared with."""
    assert relative_error(again.edges, graph.edges) < REL
    scale = np.abs(graph.edges).max()
    assert np.allclose(again.constants, graph.constants, atol=REL * scale)
    assert np.allclose(again.values, graph.values, atol=1e-5)
    assert adds_up(again)


@pytest.mark.parametrize("split", [0, 1, 2])
def test_the_split_layer_does_not_matter_for_neurons(neurons, monkeypatch, split):
    model, basis, graph = neurons
    monkeypatch.setattr(sweep, "split_layer", lambda *nodes: split)
    same_at_any_split(graph, graph_of(model, basis, n=40))


@pytest.mark.parametrize("split", [0, 1, 2])
def test_the_split_layer_does_not_matter_for_a_dictionary(dictionary, monkeypatch, split):
    model, basis, graph = dictionary
    monkeypatch.setattr(sweep, "split_layer", lambda *nodes: split)
    same_at_any_split(graph, graph_of(model, basis, n=30))


def test_no_edge_goes_to_an_earlier_layer_or_position(neurons):
    _, _, graph = neurons
    features = graph.nodes.features
    earlier_layer = features[:, None, 0] <= features[None, :, 0]
    earlier_pos = features[:, None, 1] < features[None, :, 1]
    among = graph.edges[: len(features), : len(features)]
    assert (among[earlier_layer | earlier_pos] == 0).all()


def test_prefix_tokens_have_no_features_and_their_embedding_is_a_node(neurons):
    model, _, graph = neurons
    assert model.tokenizer.bos_token_id == int(ids_of(model)[0])
    assert graph.nodes.features[:, 1].min() > 0
    assert graph.nodes.tokens[0] == 0
    assert (graph.edges[:, graph.nodes.token_columns.start] != 0).any()


def test_a_prompt_without_a_prefix_is_swept_as_autograd_goes(each_model):
    ids, basis = ids_of(each_model)[1:], NeuronBasis(each_model)
    toward = partial(salient, tokenizer=each_model.tokenizer)
    graph = attributed(each_model, basis, ids, toward, 40, Silent()).graph
    wanted = edges_by_autograd(each_model, basis, graph, ids)
    assert (graph.nodes.errors[:, 1] == 0).any(), "nothing is left out at the first position"
    assert relative_error(graph.edges, wanted) < REL
    assert adds_up(graph)


def test_what_is_left_out_is_in_the_errors(neurons):
    model, basis, graph = neurons
    every = graph_of(model, basis, n=10**6)
    assert every.subject.relevance_share == pytest.approx(1.0)
    errors = every.edges[:, every.nodes.error_columns]
    assert np.abs(errors).max() < 1e-5 * np.abs(every.edges).max()
    assert (graph.edges[:, graph.nodes.error_columns] != 0).any()
    rows = every.nodes.find(graph.nodes.features)
    shared = every.edges[np.ix_(rows, rows)]
    kept = len(rows)
    assert np.allclose(graph.edges[:kept, :kept], shared, atol=1e-5 * np.abs(shared).max())


def scores_of_the_kept(every, graph):
    """The scores of the whole graph with all that is dropped cut out of it."""
    rows = every.nodes.find(graph.nodes.features)
    n = every.nodes.n_features
    kept = np.zeros(n, dtype=bool)
    kept[rows] = True
    targets = [*rows, *range(n, every.nodes.n_targets)]
    sources = [*rows, *range(n, every.nodes.n_sources)]
    cut = replace(
        every,
        nodes=every.nodes.keep(kept, np.ones(len(every.nodes.errors), dtype=bool)),
        edges=every.edges[np.ix_(targets, sources)],
        constants=every.constants[targets],
        values=every.values[targets],
    )
    return scores(cut)


def test_scores_without_dropped_features_are_those_of_the_graph_cut_down(dictionary):
    model, basis, graph = dictionary
    every = graph_of(model, basis, n=10**6)
    assert every.nodes.n_features > graph.nodes.n_features
    wanted = scores_of_the_kept(every, graph)
    assert graph.subject.without_dropped == pytest.approx(wanted, rel=1e-3)
    assert every.subject.without_dropped == pytest.approx(scores(every), rel=1e-6)
    assert wanted != pytest.approx(scores(graph), rel=1e-3)


def test_neurons_leave_nothing_unexplained_but_what_is_dropped(neurons):
    _, _, graph = neurons
    assert graph.subject.without_dropped == (1, 1)
    assert scores(graph).replacement < 1


def test_required_features_are_kept_where_they_are_active(each_model):
    basis = NeuronBasis(each_model)
    place = (0, 3, 5)
    graph = graph_of(each_model, basis, n=10, required=[place, (0, 0, 1)])
    assert graph.nodes.n_features == 10
    assert graph.nodes.find(np.array([place]))[0] >= 0
    assert torch.isfinite(torch.tensor(graph.edges)).all()
