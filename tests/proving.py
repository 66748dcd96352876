"""Small cases to prove edges on, and the engine that doubles things in them.

Three layers, so that something is held in between; float64, so that what is left is rounding of the
float32 edges.
"""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from transformers import Gemma3TextConfig, GPT2Config

from tests.dictionaries import CONFIG, skip, threshold, write_clt, write_transcoders
from tests.opened import TEXT, graph_of, ids_of, open_tiny
from tests.tiny_models import CONTEXT, save_other
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.forward import run_rows
from tracer.engine.model.model import Model
from tracer.engine.progress import Silent
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.graph.graph import AttributionGraph

N_LAYERS, N_EACH = 3, 10
N_FEATURES = N_LAYERS * N_EACH
FEATURES = slice(0, N_FEATURES)
MODELS = {
    "gemma3": {
        "kind": Gemma3TextConfig,
        "num_hidden_layers": N_LAYERS,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "sliding_window": 8,
        "query_pre_attn_scalar": 8,
    },
    "gpt2": {
        "kind": GPT2Config,
        "n_embd": 32,
        "n_layer": N_LAYERS,
        "n_head": 4,
        "n_positions": CONTEXT,
        **dict.fromkeys(
            ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        ),
        **dict.fromkeys(("num_key_value_heads", "head_dim", "max_position_embeddings")),
    },
}
"""Norms before and after, one that centres, gates, biases, sliding windows."""
JUMPRELU = {"activation_function.threshold": threshold, "W_skip": skip}
DICTIONARIES = {
    "jumprelu with skip": lambda at: write_transcoders(at, more=JUMPRELU, n_layers=N_LAYERS),
    "topk": lambda at: write_transcoders(
        at, config=CONFIG | {"activation": "topk", "k": 5}, n_layers=N_LAYERS
    ),
    "clt": lambda at: write_clt(at, N_LAYERS),
}


class Case(NamedTuple):
    """A prompt, run and attributed."""

    model: Model
    basis: FeatureBasis
    clean: CleanRun
    graph: AttributionGraph

    @property
    def places(self):
        """(layer, position, index) of the graph's features."""
        return [tuple(row) for row in self.graph.nodes.features.tolist()]

    def activation(self, place):
        """Of a feature, as the engine found it."""
        layer, pos, index = place
        return float(self.clean.activation(layer, pos)[index])

    def edges(self, rows, columns):
        """A part of the matrix."""
        return self.graph.edges[rows, columns]

    @property
    def largest(self):
        """Of each feature's incoming edges."""
        return np.abs(self.graph.edges[FEATURES]).max(1)

    def explained(self, logits):
        """Of last logits: those that the graph explains, less the vocabulary's mean."""
        tokens = [logit.token for logit in self.graph.nodes.logits]
        return (logits - logits.mean(-1, keepdim=True))[..., tokens]


def case_of(model, basis):
    """The graph has `N_EACH` features of each layer, over all positions."""
    ids = ids_of(model)
    tokens = tuple(ids.tolist())
    prompt = TokenizedPrompt("it", TEXT, tokens, tuple(map(str, tokens)), {}, None, {})
    clean = clean_run(model, basis, prompt, range(len(ids)))
    spread = [place for layer in range(N_LAYERS) for place in active(clean, layer)]
    return Case(model, basis, clean, graph_of(model, basis, N_FEATURES, required=spread))


def active(clean, layer):
    """Some of a layer's active features."""
    places = (clean.activations[layer][1:] != 0).nonzero() + torch.tensor([1, 0])
    some = places[:: len(places) // N_EACH][:N_EACH]
    return [(layer, pos, index) for pos, index in some.tolist()]


def three_layers(name, folder):
    """One of `MODELS`, in float64."""
    return open_tiny(save_other(folder=folder, **MODELS[name]), dtype="float64")


def basis_of(kind, model, folder):
    """Neurons, or one of `DICTIONARIES`."""
    if kind == "neurons":
        return NeuronBasis(model)
    return open_basis(str(DICTIONARIES[kind](folder)), model, Silent()).basis


def clamped(case, values, read=()):
    """Explained logits, and activations read, for each set of clamps under the freeze."""
    rows = [Row(each, "all", tuple(read)) for each in values]
    logits, activations = [None] * len(rows), [None] * len(rows)
    for found in run_rows(case.model, case.basis, case.clean, rows, BatchLimit(64)):
        for n, row, active in zip(found.rows, found.logits, found.activations, strict=True):
            logits[n], activations[n] = case.explained(row), active
    return torch.stack(logits).numpy(), torch.stack(activations).numpy()


def multiplied(case, factors, read=()):
    """The same, for each feature set to its activation times each factor."""
    values = [{p: f * case.activation(p)} for f in factors for p in case.places]
    logits, activations = clamped(case, values, read)
    return logits.reshape(len(factors), -1, logits.shape[1]), activations.reshape(
        len(factors), len(case.places), -1
    )


def run(case, hooks, rows=1):
    """Last logits of a whole pass with hooks."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.model.forward(
            case.clean.ids, hooks, prefix=case.clean.prefix.until(0), rows=rows
        )
