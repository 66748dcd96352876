"""How often host and device wait for each other: a number that no row, node or layer adds to."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma3TextConfig

from tests.bench import TINY
from tests.dictionaries import write_clt
from tests.opened import attributed_of
from tests.pretend_device import pretended
from tests.tiny_models import save, shape, tiny_tokenizer
from tracer.engine.ablation import Kept, observe
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clean import clean_run
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.forward import run_rows
from tracer.engine.measure.rows import read_rows
from tracer.engine.model.model import Model
from tracer.engine.model.weights import open_weights
from tracer.engine.patterns import Knockout, Look, Replaced
from tracer.engine.progress import Silent
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis, ModelSpec
from tracer.hypothesis.tokens import tokenize

BATCH = 16
"""Waits of a batch of rows: what it sets is sent, its logits and activations are read."""
DECODER = 2
"""Of a dictionary, for each layer that it reads and each that it writes to: its decoder's rows lie
in a file, so that they are asked for and sent."""
GRAPH, LAYER = 45, 25
"""Of a graph, and of each of its layers: which features are active there, and which are kept."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same model with two layers and with four."""
    folder, tokenizer = tmp_path_factory.mktemp("layers"), tiny_tokenizer()
    for n in (2, 4):
        kinds = ["sliding_attention", "full_attention"] * (n // 2)
        sizes = shape(tokenizer) | {"num_hidden_layers": n, "sliding_window": 8}
        config = Gemma3TextConfig(**sizes, query_pre_attn_scalar=8, layer_types=kinds)
        save(config, tokenizer, folder / f"model{n}")
        write_clt(folder / f"clt{n}", n)
    return folder


def opened(models, n_layers, features="neurons"):
    spec = ModelSpec(name=str(models / f"model{n_layers}"), device="cuda")
    model = Model(open_weights(spec, Silent()))
    if features == "neurons":
        return model, NeuronBasis(model)
    return model, open_basis(str(models / f"{features}{n_layers}"), model, Silent()).basis


def clean_of(model, basis):
    file = from_hypothesis(Hypothesis.model_validate(TINY))
    prompt = tokenize(file, model.tokenizer, model.context)["dallas"]
    return clean_run(model, basis, prompt, range(len(prompt.ids)))


def clamping(n_rows, n_layers, last, freeze):
    """Rows that clamp and read a feature of every layer; all but two are controls."""
    read = [(layer, last, 3) for layer in range(n_layers)]
    values = [{(layer, last, 5 + row): 1.0 for layer in range(n_layers)} for row in range(n_rows)]
    return [Row(each, freeze, read=read, is_control=row > 1) for row, each in enumerate(values)]


def looking(n_rows, n_layers, last):
    """Rows that set and read patterns of every layer."""
    weights = torch.full((1, last + 1), 1 / (last + 1))
    here = (last, last + 1)
    rows: list[Row] = []
    for row in range(n_rows):
        edits = [Knockout(layer, row % 4, here, (1, 2)) for layer in range(n_layers)]
        edits += [Replaced(layer, (row + 1) % 4, here, weights) for layer in range(n_layers)]
        heads = tuple((layer, 0) for layer in range(n_layers))
        look = Look(heads, here, (1, 3))
        rows.append(Row({}, patterns=edits, looks=[look], is_control=row > 1))
    return rows


def keeping(model, basis, ids, n_rows):
    """Rows that ablate all but a few features of every layer."""
    base = observe(model, basis, ids.tolist(), range(model.n_layers), range(2, len(ids)))
    return [
        Row({}, kept=Kept(base, {n: torch.tensor([[2, row], [3, 1]]) for n in base.outputs}))
        for row in range(n_rows)
    ]


def waits_of_rows(models, n_layers, n_rows, kind, features="neurons"):
    with pretended() as device:
        model, basis = opened(models, n_layers, features)
        clean = clean_of(model, basis)
        last = len(clean.ids) - 1
        if kind == "kept":
            rows = keeping(model, basis, clean.ids, n_rows)
        elif kind == "patterns":
            rows = looking(n_rows, n_layers, last)
        else:
            rows = clamping(n_rows, n_layers, last, kind)
        for _ in range(2):  # the second time nothing is loaded
            with device.counted() as waits:
                if kind == "kept":
                    list(run_rows(model, basis, clean, rows, BatchLimit(64)))
                else:
                    limit = BatchLimit(64)
                    read_rows(model, basis, clean, rows, limit, None, lambda n: None)
    return waits


@pytest.mark.parametrize("kind", ["none", "attention", "all", "patterns", "kept"])
def test_a_batch_waits_a_few_times_whatever_its_rows_and_layers(kind, models):
    few = waits_of_rows(models, 2, 3, kind)
    assert few.total() <= BATCH, few
    assert waits_of_rows(models, 2, 9, kind) == few
    assert waits_of_rows(models, 4, 3, kind) == few


def test_a_dictionary_adds_its_decoder_s_rows_layer_by_layer(models):
    few = waits_of_rows(models, 2, 3, "none", "clt")
    assert waits_of_rows(models, 2, 9, "none", "clt") == few
    more = waits_of_rows(models, 4, 3, "none", "clt")
    assert more.total() - few.total() == DECODER * (4 + 3 + 2 + 1 - 2 - 1)


def waits_of_a_graph(models, n_layers, n_features):
    with pretended() as device:
        model, basis = opened(models, n_layers)
        with device.counted() as waits:
            attributed_of(model, basis, n_features)
    return waits


def test_a_graph_waits_for_its_layers_and_for_no_node(models):
    few, more = (waits_of_a_graph(models, 2, n) for n in (20, 160))
    # Which layers are carried across depends on the nodes, and with it whose extents are read.
    few, more = (without(each, "tiles.py") for each in (few, more))
    assert few == more
    for n_layers in (2, 4):
        assert waits_of_a_graph(models, n_layers, 60).total() <= GRAPH + LAYER * n_layers


def without(waits, file):
    return {place: n for place, n in waits.items() if file not in place.line}
