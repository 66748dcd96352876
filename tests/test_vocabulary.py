"""Single tokens by the text that they write, with tokenizers that hide spaces or know little."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tracer.hypothesis.vocabulary import read_text, text_inside, token_id, token_text


def llama_like() -> PreTrainedTokenizerFast:
    """Puts a space in front of every text and takes it away again, as that of Llama 2 does."""
    words = [
        "<unk>",
        "<s>",
        "\u2581",
        "\u2581te",
        "te",
        "0",
        "\u2581brother",
        "\u2581(",
        "(",
        "a",
        "n",
    ]
    merges = [("t", "e"), ("\u2581", "te"), ("\u2581", "(")]
    letters = sorted(set("".join(words[2:])) - set(words))
    brother = "\u2581brother"
    merges += [(brother[:n], brother[n]) for n in range(1, len(brother))]
    pieces = [brother[:n] for n in range(2, len(brother))]
    vocabulary = {word: n for n, word in enumerate([*words, *letters, *pieces])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


@pytest.mark.parametrize(
    ("text", "entry"),
    [("te", "te"), (" te", "\u2581te"), ("0", "0"), (" brother", "\u2581brother"), ("(", "(")],
)
def test_a_token_is_the_vocabularys_entry_of_that_very_text(text: str, entry: str):
    tokenizer = llama_like()
    found = token_id(text, tokenizer)
    assert found == tokenizer.get_vocab()[entry]
    assert token_text(found, tokenizer) == text


def test_a_word_that_is_only_known_behind_a_space_is_not_that_word_without():
    with pytest.raises(ValueError, match="' brother', with one leading space, is one token"):
        token_id("brother", llama_like())


def test_tokens_show_the_spaces_that_a_decoder_leaves_out():
    tokenizer = llama_like()
    ids = read_text("te te brother", tokenizer).ids
    assert [token_text(n, tokenizer) for n in ids] == [" te", " te", " brother"]
    assert text_inside(ids[1:], tokenizer) == " te brother"


def test_what_stands_for_the_unknown_can_itself_be_named():
    core = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1}, unk_token="<|endoftext|>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    assert token_id("<|endoftext|>", tokenizer) == 0
    with pytest.raises(ValueError, match="'zebra' holds what the tokenizer does not know"):
        token_id("zebra", tokenizer)
