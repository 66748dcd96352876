"""A tiny model opened for attribution graphs, and their edges by autograd on the model itself."""

import warnings
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch

from tests.dictionaries import write_clt, write_gemma_scope_2
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.targets import salient
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.features.places import as_places
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Silent
from tracer.hypothesis.spec import ModelSpec

TEXT = "the capital of the state containing Dallas is in the city of Texas"


def open_tiny(folder, dtype="float32"):
    """The model saved in a folder."""
    return Model(open_weights(ModelSpec(name=str(folder), dtype=dtype, device="cpu"), Silent()))


def ids_of(model, text=TEXT):
    """Its tokens."""
    return torch.tensor(model.tokenizer(text)["input_ids"])


BASES = ["neurons", "jumprelu", "clt"]
"""Kinds of features that edges and scores are held exact for."""


def basis_of(kind, model, folder):
    """One of the `BASES` of a tiny model; a dictionary is written into the folder."""
    if kind == "neurons":
        return NeuronBasis(model)
    write = {"jumprelu": write_gemma_scope_2, "clt": write_clt}[kind]
    return open_basis(str(write(folder)), model, Silent()).basis


def attributed_of(model, basis, n=80, text=TEXT, toward=None, required=(), n_heads=0):
    """The graph of a text, and what it was read off."""
    toward = toward or (lambda frozen: salient(frozen, model.tokenizer))
    ids, places = ids_of(model, text), as_places(required)
    return attributed(model, basis, ids, toward, n, Silent(), places, n_heads)


def graph_of(*args, **more):
    """The graph alone."""
    return attributed_of(*args, **more).graph


def relative_error(found, wanted):
    """Largest difference in each row over the row's largest entry."""
    scale = np.abs(wanted).max(1, keepdims=True)
    return float((np.abs(found - wanted) / np.where(scale == 0, 1, scale)).max())


def edges_by_autograd(model, basis, graph, ids, more=(), toward=None):
    """Every edge from gradients through the model, with patterns, scales and MLPs detached.

    More hooks take away paths: a detached tensor passes none on. Heads that are nodes are read
    `toward` a gradient by z, by layer.
    """
    seen, leaves = {}, {}
    nodes = graph.nodes
    heads = nodes.features[nodes.attention]

    def keep(site):
        return lambda x: seen.__setitem__(site, x)

    def cut(layer):
        def hook(x):
            leaves[layer] = x.detach().requires_grad_()
            W_skip = basis.W_skip(layer)
            if W_skip is None:
                return leaves[layer]
            read = seen[basis.input_site(layer)]
            return leaves[layer] + (read - read.detach()) @ W_skip.T

        return hook

    def embed(x):
        leaves["embedding"] = x.detach().requires_grad_()
        return leaves["embedding"]

    def cut_heads(layer):
        def hook(z):
            seen["z", layer] = z
            leaves["z", layer] = z.detach().requires_grad_()
            mine = torch.zeros(z.shape[1:3], dtype=torch.bool)
            for _, pos, head in heads[heads[:, 0] == layer].tolist():
                mine[pos, head] = True
            return torch.where(mine[None, :, :, None], leaves["z", layer], z)

        return hook

    layers = range(model.n_layers)
    hooks = [(Site("resid_pre", 0), embed), (Site("unembed_in", 0), keep(Site("unembed_in", 0)))]
    hooks += [(site, torch.Tensor.detach) for site in model.scale_sites]
    hooks += [(basis.input_site(layer), keep(basis.input_site(layer))) for layer in layers]
    hooks += [(basis.output_site(layer), cut(layer)) for layer in layers]
    hooks += [(Site("z", layer), cut_heads(layer)) for layer in layers if len(heads)]
    with held(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.forward(ids, [*hooks, *more])
        targets = _targets(model, basis, nodes, seen, toward)
        order = [leaves[layer] for layer in layers] + [leaves["embedding"]]
        order += [leaves["z", layer] for layer in layers if len(heads)]
        rows = []
        for target in targets:
            found = torch.autograd.grad(target, order, retain_graph=True, allow_unused=True)
            rows.append(
                [
                    torch.zeros_like(x[0]) if g is None else g[0]
                    for g, x in zip(found, order, strict=True)
                ]
            )
    return np.stack([_row(model, basis, nodes, leaves, seen, grads) for grads in rows])


def kept_by(sites, seen):
    """Hooks that keep what the sites hold."""
    return [(site, lambda x, site=site: seen.__setitem__(site, x.clone())) for site in sites]


def held_at(sites, seen):
    """Hooks that hold sites at what was kept."""
    return [(site, lambda x, site=site: seen[site]) for site in sites]


def held_outputs(basis, layers, seen):
    """Hooks that hold the MLPs' outputs at what was kept, but for what passes their skip paths."""
    now, hooks = {}, []

    def output(layer):
        def hook(x):
            W_skip, read = basis.W_skip(layer), basis.input_site(layer)
            kept = seen[basis.output_site(layer)]
            return kept if W_skip is None else kept + (now[read] - seen[read]) @ W_skip.T

        return hook

    for layer in layers:
        hooks += [
            *kept_by([basis.input_site(layer)], now),
            (basis.output_site(layer), output(layer)),
        ]
    return hooks


@contextmanager
def held():
    """With gradients, and every softmax a constant.

    A hook on the pattern would do nothing where TransformerLens leaves attention to Hugging Face.
    """
    softmax = torch.nn.functional.softmax
    constant = patch("torch.nn.functional.softmax", lambda *x, **more: softmax(*x, **more).detach())
    with torch.enable_grad(), constant:
        yield


def _targets(model, basis, nodes, seen, toward):
    found = []
    features = zip(nodes.features.tolist(), nodes.activations.tolist(), strict=True)
    for row, ((layer, pos, index), active) in enumerate(features):
        if row in nodes.attention:
            found.append(toward[layer][pos, index] @ seen["z", layer][0, pos, index])
            continue
        x = seen[basis.input_site(layer)][0]
        one = torch.tensor([pos]), torch.tensor([index]), torch.tensor([active])
        reader = basis.readers(layer, x.detach(), *one).vectors[0]
        found.append(reader @ x[pos])
    end = model.unembedding
    last = seen[Site("unembed_in", 0)][0, -1]
    logits = last @ end.W_U
    return found + [logits[logit.token] - logits.mean() for logit in nodes.logits]


def _row(model, basis, nodes, leaves, seen, grads):
    """One target's edges: every source's write times the gradient where it writes."""
    left = [leaves[layer][0].detach().clone() for layer in range(model.n_layers)]
    row = []
    embedded = model.n_layers
    features = zip(nodes.features.tolist(), nodes.activations.tolist(), strict=True)
    for number, ((layer, pos, index), active) in enumerate(features):
        if number in nodes.attention:
            z = leaves["z", layer][0, pos, index].detach()
            row.append(float(z @ grads[embedded + 1 + layer][pos, index]))
            continue
        edge = 0.0
        for to in basis.write_layers(layer):
            write = active * basis.W_dec(layer, torch.tensor([index]), to)[0]
            left[to][pos] -= write
            edge += float(write @ grads[to][pos])
        row.append(edge)
    for layer in range(model.n_layers):
        if basis.b_dec(layer) is not None:
            left[layer] -= basis.b_dec(layer)
        if basis.W_skip(layer) is not None:
            left[layer] -= seen[basis.input_site(layer)][0].detach() @ basis.W_skip(layer).T
    row += [float(left[layer][pos] @ grads[layer][pos]) for layer, pos in nodes.errors.tolist()]
    return row + [
        float(grads[embedded][pos] @ leaves["embedding"][0, pos].detach()) for pos in nodes.tokens
    ]
