"""What the sweep is sure of on other architectures and odd prompts, and what it refuses."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BloomConfig,
    CohereConfig,
    GPTJConfig,
    GPTNeoConfig,
    GraniteConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OlmoConfig,
    OPTConfig,
    PhiConfig,
)

from tests.bench import ATOL
from tests.dictionaries import skip, threshold, write_transcoders
from tests.opened import TEXT, edges_by_autograd, graph_of, ids_of, open_tiny, relative_error
from tests.test_heads import open_heads, run
from tests.test_patterns import KNOCKOUT, by_hand, file_with
from tests.tiny_models import CONTEXT, save_gemma3, save_other
from tracer.engine.attribution.frozen import freeze
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.targets import salient
from tracer.engine.batches import Row
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.freeze import require_freezable, require_patterns
from tracer.engine.pattern_clamps import resolve_patterns
from tracer.engine.progress import Silent
from tracer.errors import EngineError, ModelUnavailable, UsageError
from tracer.record.graph.influence import influence, scores, supernode_scores
from tracer.record.graph.prune import prune

REL = 1e-4
PLAIN = dict.fromkeys(("num_key_value_heads", "head_dim"))
OLD = PLAIN | dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads"))
SUPPORTED = {
    "phi": {"kind": PhiConfig, "head_dim": None},
    "olmo": {"kind": OlmoConfig, "head_dim": None},
    "olmo2": {"kind": Olmo2Config, "head_dim": None},
    "mistral": {"kind": MistralConfig, "sliding_window": 8},
    "gpt-j": {
        "kind": GPTJConfig,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": CONTEXT,
        "rotary_dim": 4,
        "max_position_embeddings": None,
        "intermediate_size": None,
        **OLD,
    },
    "gpt-neo": {
        "kind": GPTNeoConfig,
        **OLD,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
}
"""Parallel with one norm, norms without weights, post-norms only, patterns that no hook holds."""
REFUSED = {
    "residual multiplier": {"kind": GraniteConfig, "head_dim": None, "residual_multiplier": 0.5},
    "logits scaling": {"kind": GraniteConfig, "head_dim": None, "logits_scaling": 8.0},
    "logit scale": {"kind": CohereConfig, "head_dim": None},
    "an MLP that adds the stream itself": {
        "kind": BloomConfig,
        "n_layer": 2,
        "n_head": 4,
        **(OLD | {"hidden_size": 32}),
    },
    "positions and rows in one axis": {"kind": OPTConfig, "ffn_dim": 64, "init_std": 0.2, **PLAIN},
}
JUMPRELU = {"activation_function.threshold": threshold, "W_skip": skip}


def opened(tmp_path_factory, more):
    return open_tiny(save_other(folder=tmp_path_factory.mktemp("other"), **more))


@pytest.fixture(scope="module", params=SUPPORTED)
def supported(request, tmp_path_factory):
    model = opened(tmp_path_factory, SUPPORTED[request.param])
    if request.param == "olmo":
        _give_weights(model)
    return model


def _give_weights(model):
    """Ones, which its norms do not use, but TransformerLens where a scale is edited."""
    norms = [norm for block in model._bridge.blocks for norm in (block.ln1, block.ln2)]
    for norm in [*norms, model._bridge.ln_final]:
        assert not list(norm.original_component.parameters())
        norm.original_component.weight = torch.ones(32)


def is_autograd(model, basis, graph, ids):
    wanted = edges_by_autograd(model, basis, graph, ids)
    total = graph.edges.sum(1) + graph.constants
    scale = np.abs(graph.edges).max(1)
    assert relative_error(graph.edges, wanted) < REL
    assert (np.abs(total - graph.values) / scale).max() < REL


def test_other_architectures_are_swept_like_autograd(supported):
    basis = NeuronBasis(supported)
    graph = graph_of(supported, basis, n=30)
    assert graph.nodes.n_features == 30
    is_autograd(supported, basis, graph, ids_of(supported))


def test_other_architectures_with_a_dictionary(supported, tmp_path):
    folder = write_transcoders(tmp_path, more=JUMPRELU)
    basis = open_basis(str(folder), supported, Silent()).basis
    graph = graph_of(supported, basis, n=30)
    assert graph.nodes.n_features == 30
    is_autograd(supported, basis, graph, ids_of(supported))


@pytest.mark.parametrize("what", REFUSED)
def test_blocks_that_do_more_are_refused(what, tmp_path_factory):
    model = opened(tmp_path_factory, REFUSED[what])
    with pytest.raises(ModelUnavailable, match="no attribution graph, because"):
        graph_of(model, NeuronBasis(model), n=10)


def test_a_mixture_of_experts_has_no_neurons(tmp_path_factory):
    model = opened(tmp_path_factory, {"kind": MixtralConfig, "num_local_experts": 4})
    with pytest.raises(ModelUnavailable, match="its MLPs are mixtures of experts, and which of"):
        NeuronBasis(model)


@pytest.fixture(scope="module")
def model(tiny):
    return open_tiny(tiny)


def test_one_token_has_nothing_to_attribute_to(model):
    with pytest.raises(UsageError, match="at least two tokens"):
        graph_of(model, NeuronBasis(model), text="")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(tmp_path, bad):
    model = open_tiny(save_gemma3(tmp_path))
    with torch.no_grad():
        model.W_out(1)[3, 4] = bad
    with pytest.raises(EngineError, match="not finite"):
        graph_of(model, NeuronBasis(model), n=10)


@pytest.mark.parametrize("key", ["W_dec", "b_dec"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_decoders_that_are_not_finite(model, tmp_path, key, bad):
    path = write_transcoders(tmp_path) / "layer_0.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors[key].view(-1)[5] = bad
    save_file(tensors, path)
    basis = open_basis(str(tmp_path), model, Silent()).basis
    with pytest.raises(EngineError, match="edges of features: .* not finite"):
        graph_of(model, basis)


def all_off(folder):
    """Transcoders whose features are off everywhere."""
    write_transcoders(folder)
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        save_file(tensors | {"b_enc": torch.full_like(tensors["b_enc"], -1e3)}, path)
    return folder


def test_where_nothing_is_active_errors_and_tokens_explain_the_logits(model, tmp_path):
    basis = open_basis(str(all_off(tmp_path)), model, Silent()).basis
    graph = graph_of(model, basis)
    nodes = graph.nodes
    assert nodes.n_features == graph.subject.n_active == 0
    assert graph.subject.relevance_share == 0
    is_autograd(model, basis, graph, ids_of(model))
    sums = np.abs(graph.edges).sum(1)
    weights = [logit.weight for logit in nodes.logits]
    at_tokens = np.abs(graph.edges[:, nodes.token_columns]).sum(1) / sums @ weights
    found = influence(graph)
    assert found.tokens.sum() == pytest.approx(at_tokens, rel=1e-4)
    assert scores(graph).replacement == pytest.approx(at_tokens / np.sum(weights), rel=1e-4)
    nothing = np.zeros(0, dtype=bool)
    assert supernode_scores(graph, nothing) == pytest.approx(scores(graph), rel=1e-4)
    cut = prune(graph)
    assert cut.nodes.n_features == 0
    assert 0 < len(cut.nodes.errors) < len(nodes.errors)
    assert len(cut.nodes.tokens) == len(nodes.tokens)


def test_scores_of_a_graph_without_any_edge_are_none(model, tmp_path):
    basis = open_basis(str(all_off(tmp_path)), model, Silent()).basis
    graph = graph_of(model, basis)
    graph.edges[:] = 0
    assert scores(graph).replacement is None
    assert prune(graph).nodes.errors.shape == (0, 2)


def test_a_prompt_of_special_tokens_only(model):
    """The last one is explained; those before it are fixed."""
    basis, ids = NeuronBasis(model), ids_of(model, "<eos><pad>")
    assert set(ids.tolist()) <= set(model.tokenizer.all_special_ids)
    assert len(ids) == 3
    graph = graph_of(model, basis, n=20, text="<eos><pad>")
    assert set(graph.nodes.features[:, 1].tolist()) == {2}
    assert graph.nodes.errors.tolist() == [[0, 2], [1, 2]]
    is_autograd(model, basis, graph, ids)


def test_two_tokens(model):
    basis = NeuronBasis(model)
    graph = graph_of(model, basis, n=20, text="the")
    assert len(graph.nodes.tokens) == 2
    is_autograd(model, basis, graph, ids_of(model, "the"))


def test_a_prompt_longer_than_the_window(model):
    """Beyond the window a source has no edge that would need the sliding layer."""
    text = f"{TEXT} {TEXT}"
    basis, ids = NeuronBasis(model), ids_of(model, text)
    frozen = freeze(model, basis, ids)
    assert len(ids) > 2 * 8
    assert bool((frozen.blocks[0].pattern[:, -1, : len(ids) - 8] == 0).all())
    assert bool((frozen.blocks[1].pattern[:, -1, : len(ids) - 8] != 0).all())
    graph = graph_of(model, basis, n=40, text=text)
    is_autograd(model, basis, graph, ids)


def test_required_features_that_are_off_are_left_out(model, tmp_path):
    basis = open_basis(str(write_transcoders(tmp_path, more=JUMPRELU)), model, Silent()).basis
    x = {}
    site = basis.read_site(1)
    model.clean(ids_of(model)[None], [(site, lambda seen: x.__setitem__(0, seen[0]))])
    off = (basis.encode(1, x[0])[5] == 0).nonzero()[:, 0].tolist()
    on = (basis.encode(1, x[0])[5] != 0).nonzero()[:, 0].tolist()
    assert off
    assert on
    graph = graph_of(model, basis, n=5, required=[(1, 5, off[0]), (1, 5, on[0]), (1, 0, on[0])])
    assert graph.nodes.n_features == 5
    found = graph.nodes.find(np.array([(1, 5, off[0]), (1, 5, on[0]), (1, 0, on[0])]))
    assert (found >= 0).tolist() == [False, True, False]


def test_no_features_at_all_can_be_asked_for(model):
    basis = NeuronBasis(model)
    graph = attributed(
        model, basis, ids_of(model), lambda at: salient(at, model.tokenizer), 0, Silent()
    ).graph
    assert graph.nodes.n_features == 0
    is_autograd(model, basis, graph, ids_of(model))


HELD = {
    "phi": (True, True),
    "olmo": (True, False),
    "olmo2": (True, True),
    "gpt-j": (False, True),
    "gpt-neo": (False, True),
}
"""Whether hooks set patterns, and norm scales."""


@pytest.mark.parametrize("name", HELD)
def test_what_cannot_be_held_is_not_frozen(name, tmp_path_factory):
    model = opened(tmp_path_factory, SUPPORTED[name])
    patterns, scales = HELD[name]
    for require, purpose, holds in (
        (require_freezable, "freeze: all", patterns and scales),
        (require_patterns, "freeze: attention", patterns),
    ):
        if holds:
            require(model, purpose)
        else:
            with pytest.raises(ModelUnavailable, match=f"{purpose} needs attention patterns"):
                require(model, purpose)


def test_patterns_are_set_where_norms_cannot_be_held(tmp_path_factory):
    """Without weights in its norms (OLMo), by hand with TransformerLens."""
    model = opened(tmp_path_factory, SUPPORTED["olmo"])
    context = open_heads(model, file_with(KNOCKOUT))
    edits = resolve_patterns(context, context.hypothesis.interventions["it"], "dallas")
    clean = context.clean["dallas"]
    start, stop = clean.prompt.spans["city"]

    def mask(scores, layer):
        scores[:, (1, 3)[layer], -1, start:stop] = torch.finfo(scores.dtype).min
        return scores

    [(logits, _)] = run(context, [Row({}, patterns=edits)])
    wanted = by_hand(model, clean.ids, "hook_attn_scores", mask)
    assert torch.allclose(logits, wanted, atol=ATOL)
    assert not torch.allclose(logits, clean.logits, atol=1e-3)
