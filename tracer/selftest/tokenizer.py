"""A tokenizer made in memory: every word of a made-up world is one token, its space included."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tracer.selftest.world import World

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
