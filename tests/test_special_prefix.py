"""What is alike on every prompt, special tokens and openings: nothing is carried through it."""

import numpy as np
import pytest
import torch

from tests.dictionaries import write_gemma_scope_2
from tests.opened import edges_by_autograd, ids_of, relative_error
from tracer.engine.attribution.frozen import n_prefix
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.targets import salient
from tracer.engine.features import untrained
from tracer.engine.features.heads import WithHeads
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.features.untrained import GEMMA_3_CHAT, opening_note, untrained_opening
from tracer.engine.progress import Silent
from tracer.record.record import ModelRecord


def graph_of_ids(model, ids):
    basis = NeuronBasis(model)
    toward = lambda frozen: salient(frozen, model.tokenizer)  # noqa: E731
    return basis, attributed(model, basis, ids, toward, 40, Silent()).graph


def test_the_prefix_is_the_leading_run_of_special_tokens():
    assert n_prefix([2, 9, 2, 8], [2, 1]) == 1
    assert n_prefix([2, 1, 9], [2, 1]) == 2
    assert n_prefix([9, 2], [2, 1]) == 0
    assert n_prefix([2, 2], [2]) == 1, "one token is left to be explained"


def test_an_opening_counts_where_a_prompt_begins_with_all_of_it():
    assert n_prefix([2, 105, 2364, 107, 9], [2], GEMMA_3_CHAT) == 4
    assert n_prefix([2, 105, 2364, 107], [2], GEMMA_3_CHAT) == 3
    assert n_prefix([2, 105, 2364, 9, 9], [2], GEMMA_3_CHAT) == 1
    assert n_prefix([2, 2, 2, 2, 2, 9], [2], (2, 2)) == 5


@pytest.mark.parametrize(
    ("name", "dictionary", "is_cut"),
    [
        ("google/gemma-3-1b-it", "./mine", True),
        ("/models/gemma-3-270m-it", "./mine", True),
        ("google/gemma-3-1b-pt", "gemma-scope-2-1b-pt-transcoder-width-16k", False),
        ("gemma-3-270m", "./mine", False),
        ("./my-fine-tune", "gemma-scope-2-270m-it-transcoder-width-16k-l0-big", True),
        ("./my-fine-tune", "mwhanna/gemma-scope-2-4b-it@main", True),
        ("./my-fine-tune", "mwhanna/gemma-scope-2-4b-pt/transcoder_all/x-it", False),
    ],
)
def test_which_dictionaries_were_not_trained_on_the_chat_format(
    name: str, dictionary: str, is_cut: bool
):
    for architecture in ("Gemma3ForCausalLM", "LlamaForCausalLM"):
        record = ModelRecord(
            name=name,
            source="somewhere",
            revision=None,
            fingerprint="0",
            architecture=architecture,
            n_layers=2,
            d_model=32,
            d_vocab=512,
            dtype="float32",
            device="cpu",
        )
        wanted = is_cut and ("gemma-3" in name or architecture.startswith("Gemma3"))
        assert untrained_opening(record, dictionary) == (GEMMA_3_CHAT if wanted else ())


def test_graphs_have_nothing_where_a_dictionary_was_not_trained(each_model, tmp_path, monkeypatch):
    ids = ids_of(each_model)
    opening = tuple(ids[:4].tolist())
    monkeypatch.setattr(untrained, "GEMMA_3_CHAT", opening)
    record = each_model.record.model_copy(update={"name": "gemma-3-tiny-it"})
    monkeypatch.setattr(each_model, "record", record)
    basis = open_basis(str(write_gemma_scope_2(tmp_path / "d")), each_model, Silent()).basis
    assert WithHeads(basis, each_model).opening == basis.opening == opening
    toward = lambda frozen: salient(frozen, each_model.tokenizer)  # noqa: E731
    graph = attributed(each_model, basis, ids, toward, 30, Silent()).graph
    assert graph.nodes.errors[:, 1].min() == 4 <= graph.nodes.features[:, 1].min()
    assert len(graph.nodes.tokens) == len(ids)
    wanted = edges_by_autograd(each_model, basis, graph, ids)
    assert relative_error(graph.edges, wanted) < 1e-4
    prompts = {"chat": ids.tolist(), "text": ids[1:].tolist()}
    note = opening_note(prompts, "d", basis.opening)
    assert note is not None and "first 4 tokens, so the graphs of prompt 'chat' have no" in note
    assert opening_note({"text": prompts["text"]}, "d", basis.opening) is None
    assert NeuronBasis(each_model).opening == ()


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
