"""A planted model, whole: its plan as the weights of a small Llama, and where every neuron went.

Built from the first layer up, because each layer's planted part is set from what it sees. Norms
have random weights; whatever reads what a norm gives is divided by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tracer.cli.selftest.sentences import (
    BOS,
    END,
    LENGTH,
    SPECIAL,
    Sentences,
    after_norm,
    all_sentences,
    make_tokenizer,
    n_tokens,
    token_id,
)
from tracer.cli.selftest.weights import (
    D_HEAD,
    D_MLP,
    D_MODEL,
    N_HEADS,
    N_WORD_CODES,
    ROPE_BASE,
    Directions,
    Neuron,
    PlantedHeads,
    layer_attention,
    layer_neurons,
    make_directions,
)
from tracer.cli.selftest.world import HeadRole, PlantedPlan, Role
from tracer.engine.model.hf_load import quiet

ONE = 3.0
"""Norm of the constant in every embedding; it keeps the norms' scales alike from word to word."""
JITTER = 0.15
"""Norm of the random part of an embedding; the parts that mean something have norm 1 each."""
SAYS = 9.0
"""Mean logit that a city's answer gets from what says it; the random logits have deviation 1."""
NORM_SPREAD = 0.1
"""Standard deviation of the logarithm of the norms' weights."""

Place = tuple[int, int]
"""Layer and index of a neuron, or layer and head."""


@dataclass(frozen=True)
class Planted:
    """A model with known insides."""

    plan: PlantedPlan
    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast
    directions: Directions
    sentences: Sentences
    places: Mapping[Role, tuple[Place, ...]]
    random: Mapping[int, tuple[int, ...]]
    """Random neurons, by layer."""
    heads: Mapping[HeadRole, tuple[Place, ...]]

    def save(self, folder: Path) -> None:
        """Write it as any model is kept: config, safetensors, tokenizer."""
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def answer_id(self, relation: int, value: int) -> int:
        """The token of an answer."""
        world = self.plan.world
        return token_id(world, f" {world.relations[relation].answers[value]}")


def build(plan: PlantedPlan) -> Planted:
    """Make the weights; the same plan gives the same ones."""
    generator = torch.Generator().manual_seed(plan.seed)
    directions, sentences = make_directions(plan, generator), all_sentences(plan)
    model = _empty(plan, generator)
    _set(model, "model.embed_tokens.weight", _embedding(plan, directions, generator))
    layers = [
        _fill(model, plan, layer, directions, sentences, generator)
        for layer in range(plan.n_layers)
    ]
    x = after_norm(model, "model.norm", sentences)[:, END]
    W_U = _unembedding(plan, directions, x, generator)
    _set(model, "lm_head.weight", W_U / model.get_parameter("model.norm.weight"))
    return Planted(
        plan,
        model,
        make_tokenizer(plan.world),
        directions,
        sentences,
        _places([neurons for neurons, _ in layers]),
        {n: tuple(i for i, x in enumerate(o) if x.role is None) for n, (o, _) in enumerate(layers)},
        {
            role: tuple((layer, head) for head in heads)
            for layer, (_, own) in enumerate(layers)
            for role, heads in own.items()
        },
    )


def _empty(plan: PlantedPlan, generator: torch.Generator) -> LlamaForCausalLM:
    """All weights zero, but those of the norms."""
    config = LlamaConfig(
        vocab_size=n_tokens(plan.world),
        hidden_size=D_MODEL,
        intermediate_size=D_MLP,
        num_hidden_layers=plan.n_layers,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_HEADS,
        head_dim=D_HEAD,
        max_position_embeddings=LENGTH * 4,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=SPECIAL.index("<eos>"),
    )
    with torch.random.fork_rng():
        model = LlamaForCausalLM(config)
        model.set_attn_implementation("eager")  # which gives its patterns out
    for parameter in model.requires_grad_(False).parameters():
        if parameter.ndim == 1:
            parameter.copy_((NORM_SPREAD * torch.randn(D_MODEL, generator=generator)).exp())
        else:
            parameter.zero_()
    return model.eval()


def _set(model: LlamaForCausalLM, name: str, value: Tensor) -> None:
    model.get_parameter(name).copy_(value)


def _fill(
    model: LlamaForCausalLM,
    plan: PlantedPlan,
    layer: int,
    directions: Directions,
    sentences: Sentences,
    generator: torch.Generator,
) -> tuple[list[Neuron], PlantedHeads]:
    """Put the weights of a layer whose predecessors are in place; gives its neurons and heads."""
    here = f"model.layers.{layer}"
    before = model.get_parameter(f"{here}.input_layernorm.weight")
    x = after_norm(model, f"{here}.input_layernorm", sentences)
    attention, heads = layer_attention(plan, layer, directions, x, generator)
    for kind, W in zip("qkv", attention[:3], strict=True):
        _set(model, f"{here}.self_attn.{kind}_proj.weight", W.flatten(0, 1) / before)
    _set(model, f"{here}.self_attn.o_proj.weight", attention.W_O.transpose(0, 1).flatten(1))
    after = model.get_parameter(f"{here}.post_attention_layernorm.weight")
    x = after_norm(model, f"{here}.post_attention_layernorm", sentences)
    neurons = layer_neurons(plan, layer, directions, sentences, x, generator)
    _set(model, f"{here}.mlp.gate_proj.weight", torch.stack([n.gate for n in neurons]) / after)
    _set(model, f"{here}.mlp.up_proj.weight", torch.stack([n.up for n in neurons]) / after)
    _set(model, f"{here}.mlp.down_proj.weight", torch.stack([n.write for n in neurons], dim=1))
    return neurons, heads


def _places(layers: Sequence[Sequence[Neuron]]) -> dict[Role, tuple[Place, ...]]:
    found: dict[Role, list[Place]] = {}
    for layer, neurons in enumerate(layers):
        for index, neuron in enumerate(neurons):
            if neuron.role is not None:
                found.setdefault(neuron.role, []).append((layer, index))
    return {role: tuple(places) for role, places in found.items()}


def _embedding(
    plan: PlantedPlan, directions: Directions, generator: torch.Generator
) -> Float[Tensor, "vocab d_model"]:
    """A code of its own and the constant for every word, and what marks some of them."""
    world = plan.world
    codes = torch.randn(n_tokens(world), N_WORD_CODES, generator=generator)
    W = codes / codes.norm(dim=1, keepdim=True) @ directions["word"]
    W[[token_id(world, f" {city}") for city in world.cities]] = (
        directions["city"] + directions["is_city"]
    )
    W[BOS] = 2 * directions["is_bos"][0]
    for number, relation in enumerate(world.relations):
        W[token_id(world, f" {relation.end}")] += directions[f"{number}.is_end"][0]
    jitter = torch.randn(n_tokens(world), D_MODEL, generator=generator) * D_MODEL**-0.5
    return W + ONE * directions["one"] + JITTER * jitter


def _unembedding(
    plan: PlantedPlan,
    directions: Directions,
    x: Float[Tensor, "row d_model"],
    generator: torch.Generator,
) -> Float[Tensor, "vocab d_model"]:
    """Random readings of every word, and for answers what says them; `x` is at the end."""
    W = directions.random_readers(n_tokens(plan.world), generator)
    for number, (relation, wiring) in enumerate(
        zip(plan.world.relations, plan.wirings, strict=True)
    ):
        said = directions[f"{number}.{'recalled' if wiring.path == 'memory' else 'said'}"]
        own = x.unflatten(0, (len(plan.wirings), -1))[number]
        for value, answer in enumerate(relation.answers):
            cities = relation.cities(value)
            says = said[cities].sum(0) if wiring.path == "memory" else said[value]
            mean = float((own[cities] @ says).mean())
            W[token_id(plan.world, f" {answer}")] += SAYS * says / mean
    return W
