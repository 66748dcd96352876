"""All sentences of a made-up world as one batch of tokens, and what a norm gives on them.

Every word is one token, its space included. All sentences have the same length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tracer.cli.selftest.world import N_CITIES, PlantedPlan, Role, World

SPECIAL = ("<unk>", "<bos>", "<eos>")
BOS = SPECIAL.index("<bos>")


def make_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """Text splits before every space; `<bos>` is put in front."""
    vocab = {word: number for number, word in enumerate([*SPECIAL, *world.words])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(" ?[^ ]+"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    names = {f"{token.strip('<>')}_token": token for token in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def n_tokens(world: World) -> int:
    """The size of its vocabulary."""
    return len(SPECIAL) + len(world.words)


def token_id(world: World, word: str) -> int:
    """The token of a word as it is written, its space included."""
    return len(SPECIAL) + world.words.index(word)


CITY, END = 4, 5
"""Positions of the city and of the last word."""
LENGTH = 6


@dataclass(frozen=True)
class Sentences:
    """Row `relation · N_CITIES + city` asks for that fact of that city."""

    plan: PlantedPlan
    ids: Int[Tensor, "row pos"]

    def fires(self, role: Role) -> Bool[Tensor, "row pos"]:
        """Where a planted neuron is meant to fire."""
        relations = self.plan.world.relations
        match role.part:
            case "detector":
                cities = [role.which]
            case "asker" | "mark":
                cities = list(range(N_CITIES))
            case _:
                cities = relations[role.relation].cities(role.which)
        found = torch.zeros_like(self.ids, dtype=torch.bool)
        for relation in range(len(relations)):
            rows = [relation * N_CITIES + city for city in cities]
            if role.part not in ("answer", "asker"):
                found[rows, CITY] = True
            elif relation == role.relation:
                found[rows, END] = True
        return found


def all_sentences(plan: PlantedPlan) -> Sentences:
    """Both relations of every city."""
    rows: list[list[int]] = []
    for relation in plan.world.relations:
        for city in plan.world.cities:
            first, *others = relation.template.format(city=city).split()
            words = [first, *(f" {word}" for word in others)]
            rows.append([BOS, *(token_id(plan.world, word) for word in words)])
    return Sentences(plan, torch.tensor(rows))


def after_norm(
    model: LlamaForCausalLM, norm: str, sentences: Sentences
) -> Float[Tensor, "row pos d_model"]:
    """What a norm gives on every sentence, before its weight."""
    seen: list[Tensor] = []

    def keep(module: torch.nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        seen.append(out)

    module = model.get_submodule(norm)
    handle = module.register_forward_hook(keep)
    with torch.no_grad():
        model(sentences.ids)
    handle.remove()
    return seen[0] / module.get_parameter("weight")
