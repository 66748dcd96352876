"""Edges proved by intervening: nothing here goes through the sweep.

A source is doubled in the model itself, with patterns, norm scales and every MLP's output held, and
each target moves by the edge.
"""

from functools import cache

import numpy as np
import pytest
import torch

from tests.opened import relative_error
from tests.proving import (
    DICTIONARIES,
    FEATURES,
    MODELS,
    N_FEATURES,
    N_LAYERS,
    basis_of,
    case_of,
    clamped,
    multiplied,
    run,
    three_layers,
)
from tracer.engine.freeze import held_hooks
from tracer.engine.model.sites import Site

REL = 2e-6
"""Over a target's largest edge: norms and softmax compute in float32 even in a float64 model."""


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    return three_layers(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def cases(model, tmp_path_factory):
    """By kind of features, each attributed once."""
    return cache(
        lambda kind: case_of(model, basis_of(kind, model, tmp_path_factory.mktemp("dictionary")))
    )


@pytest.fixture(params=["neurons", *DICTIONARIES])
def case(request, cases):
    return cases(request.param)


@pytest.fixture(params=DICTIONARIES)
def dictionary(request, cases):
    return cases(request.param)


@pytest.fixture
def neurons(cases):
    return cases("neurons")


def test_doubling_a_feature_moves_every_logit_by_its_edge(case):
    once, twice = multiplied(case, [1, 2])[0]
    edges = case.edges(case.graph.nodes.logit_rows, FEATURES)
    assert edges.shape == (len(case.graph.nodes.logits), N_FEATURES)
    assert relative_error(edges, (twice - once).T) < REL


def test_doubling_a_feature_moves_every_later_one_by_its_edge_where_it_stays_on(dictionary):
    """JumpReLU and TopK switch: a target that is off afterwards has no pre-activation to show."""
    once, twice = multiplied(dictionary, [1, 2], dictionary.places)[1]
    edges = dictionary.edges(FEATURES, FEATURES)
    changes = (twice - once).T
    is_edge = ~np.eye(N_FEATURES, dtype=bool)
    compared = is_edge & (twice.T != 0)
    assert (compared & (edges != 0)).sum() > 0.5 * (edges != 0).sum() > 50
    wrong = np.abs(changes - edges) / dictionary.largest[:, None]
    assert wrong[compared].max() < REL


def test_there_are_edges_across_a_layer_and_across_positions(dictionary):
    features = dictionary.graph.nodes.features
    edges = dictionary.edges(FEATURES, FEATURES) != 0
    layers = features[:, None, 0] - features[None, :, 0]
    assert {1, 2} <= set(layers[edges].tolist())
    assert (features[:, None, 1] > features[None, :, 1])[edges].any()


def readings(case, doubled=None):
    """What up projections and gates give under the freeze: [layer][kind, position, neuron]."""
    model, basis = case.model, case.basis
    kinds = ("mlp_up", "mlp_gate") if model.is_gated else ("mlp_up",)
    sites = [Site(kind, layer) for layer in range(N_LAYERS) for kind in kinds]
    seen = {}

    def keep(site):
        return lambda x: seen.__setitem__(site, x[0])

    def write(x):
        layer, pos, index = doubled
        x = x.clone()
        x[0, pos] += case.activation(doubled) * model.W_out(layer)[index]
        return x

    hooks = held_hooks(model, basis, case.clean, 0, "all")
    if doubled is not None:
        hooks.append((basis.output_site(doubled[0]), write))
    run(case, [*hooks, *((site, keep(site)) for site in sites)])
    return [torch.stack([seen[Site(kind, layer)] for kind in kinds]) for layer in range(N_LAYERS)]


def test_a_neurons_edge_is_its_activation_times_the_mean_relative_change_of_its_readings(neurons):
    before = readings(neurons)
    for source, column in zip(neurons.places, neurons.graph.edges.T, strict=False):
        after = readings(neurons, doubled=source)
        wanted = []
        for layer, pos, index in neurons.places:
            was, now = before[layer][:, pos, index], after[layer][:, pos, index]
            relative = float(((now - was) / was).mean())
            wanted.append(neurons.activation((layer, pos, index)) * relative)
        assert (np.abs(column[FEATURES] - wanted) / neurons.largest).max() < REL


@pytest.mark.parametrize("step", [1, 1e-3])
def test_a_neurons_own_change_is_not_its_edge(neurons, step):
    """The half rule shares out what a neuron is; it is no derivative, and no finite change either.

    Doubling a source moves up projection and gate, and their product, with the gate's
    nonlinearity, moves by something else than the mean of the two.
    """
    once, more = multiplied(neurons, [1, 1 + step], neurons.places)[1]
    changes = (more - once) / step
    np.fill_diagonal(changes, 0)
    edges = neurons.edges(FEATURES, FEATURES).T
    there = edges != 0
    assert there.sum() > 50
    differs = np.abs(changes - edges)[there] > 0.05 * np.abs(edges[there])
    assert differs.mean() > 0.5


def errors_by_hand(case):
    """What a layer's MLP puts out besides kept features, biases and the skip path."""
    model, basis = case.model, case.basis
    seen = {}

    def keep(site):
        return lambda x: seen.__setitem__(site, x[0])

    layers = range(N_LAYERS)
    sites = {f(layer) for layer in layers for f in (basis.input_site, basis.output_site)}
    model.clean(case.clean.ids[None], [(site, keep(site)) for site in sites])
    left = [seen[basis.output_site(layer)].clone() for layer in layers]
    for layer in layers:
        if (b_dec := basis.b_dec(layer)) is not None:
            left[layer] -= b_dec
        if (W_skip := basis.W_skip(layer)) is not None:
            left[layer] -= seen[basis.input_site(layer)] @ W_skip.double().T
    for place in case.places:
        layer, pos, index = place
        for to in basis.write_layers(layer):
            vector = basis.W_dec(layer, torch.tensor([index]), to)[0]
            left[to][pos] -= case.activation(place) * vector
    return left


def moved(case, site, vectors):
    """How far each logit moves when a vector is added at a position: [position, logit]."""
    n_pos = len(vectors)
    rows = torch.arange(n_pos)

    def add(x):
        x = x.clone()
        x[rows, rows] += vectors
        return x

    hooks = held_hooks(case.model, case.basis, case.clean, 0, "all")
    before = run(case, hooks, rows=n_pos)
    after = run(case, [*hooks, (site, add)], rows=n_pos)
    return (case.explained(after) - case.explained(before)).numpy()


def test_doubling_an_error_moves_every_logit_by_its_edge(case):
    nodes = case.graph.nodes
    by_layer = [
        moved(case, case.basis.output_site(layer), left)
        for layer, left in enumerate(errors_by_hand(case))
    ]
    wanted = np.array([by_layer[layer][pos] for layer, pos in nodes.errors.tolist()])
    assert len(wanted) == N_LAYERS * (len(case.clean.ids) - 1)
    edges = case.edges(nodes.logit_rows, nodes.error_columns)
    assert relative_error(edges, wanted.T) < REL


def test_doubling_an_embedding_moves_every_logit_by_its_edge(case):
    """The opening token's too: its MLPs are held, its keys and values move."""
    site, seen = Site("resid_pre", 0), {}
    case.model.clean(case.clean.ids[None], [(site, lambda x: seen.__setitem__("x", x[0]))])
    wanted = moved(case, site, seen["x"])
    edges = case.edges(case.graph.nodes.logit_rows, case.graph.nodes.token_columns)
    assert relative_error(edges, wanted.T) < REL


def test_effects_on_logits_are_linear_and_add_up(case):
    one, other = case.places[0], case.places[N_FEATURES // 2]
    a, b = case.activation(one), case.activation(other)
    rows = [
        {one: a},
        {one: 0.0},
        {one: 2 * a},
        {one: 9 * a},
        {other: 2 * b},
        {one: 2 * a, other: 2 * b},
    ]
    (as_is, off, twice, nine, second, both), _ = clamped(case, rows)
    scale = np.abs(twice - as_is).max() + np.abs(second - as_is).max()
    assert np.abs(twice - 2 * as_is + off).max() < REL * scale
    assert np.abs(nine - as_is - 8 * (twice - as_is)).max() < REL * scale
    assert np.abs(both - twice - second + as_is).max() < REL * scale
