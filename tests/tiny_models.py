"""Random two-layer models with a tokenizer that knows a few words; made in a moment, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

CONTEXT = 256
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")
TEXT = """
the capital of the state containing Dallas is Austin
the capital of the state containing Oakland is Sacramento
the capital of the state containing Miami is Tallahassee
Fact: Austin is the capital of Texas, Sacramento of California, Tallahassee of Florida.
The capital of the state containing Houston, Plano or San Diego is in the city of
 Dallas Houston Plano Oakland Austin Sacramento Tallahassee Texas California Florida state city
 The official language of the country containing Munich is German, Osaka Japanese.
"""
"""Every word in it is one token."""


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text goes through and comes back; `<bos>` is put in front."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", SPECIAL.index("<bos>"))]
    )
    names = {f"{token.strip('<>')}_token": token for token in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def shape(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | float]:
    """What the tiny configs have in common; weights large enough for the logits to differ."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "bos_token_id": SPECIAL.index("<bos>"),
        "eos_token_id": SPECIAL.index("<eos>"),
        "pad_token_id": SPECIAL.index("<pad>"),
    }


def save_gemma3(folder: Path) -> Path:
    """One sliding layer and one full layer; the window is shorter than a long prompt."""
    tokenizer = tiny_tokenizer()
    config = Gemma3TextConfig(
        **shape(tokenizer),
        query_pre_attn_scalar=8,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
    )
    return save(config, tokenizer, folder)


def save_llama(folder: Path) -> Path:
    """Grouped queries, untied output."""
    tokenizer = tiny_tokenizer()
    return save(LlamaConfig(**shape(tokenizer), tie_word_embeddings=False), tokenizer, folder)


def save_gpt2(folder: Path) -> Path:
    """No gate, biases, learned positions, transposed weights."""
    tokenizer = tiny_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=CONTEXT,
        initializer_range=0.2,
        bos_token_id=SPECIAL.index("<bos>"),
        eos_token_id=SPECIAL.index("<eos>"),
    )
    return save(config, tokenizer, folder)


def save_gemma2(folder: Path) -> Path:
    """Post-norms and soft caps on attention and logits."""
    tokenizer = tiny_tokenizer()
    config = Gemma2Config(
        **shape(tokenizer),
        query_pre_attn_scalar=8,
        sliding_window=8,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0,
    )
    return save(config, tokenizer, folder)


def save_qwen3(folder: Path) -> Path:
    """Norms on queries and keys."""
    tokenizer = tiny_tokenizer()
    return save(Qwen3Config(**shape(tokenizer)), tokenizer, folder)


def save_neox(folder: Path) -> Path:
    """Pythia: attention and MLP side by side, LayerNorms, biases."""
    tokenizer = tiny_tokenizer()
    sizes = shape(tokenizer)
    for key in ("num_key_value_heads", "head_dim"):
        del sizes[key]
    return save(GPTNeoXConfig(**sizes, rotary_pct=0.5), tokenizer, folder)


def save_other(kind: type[PreTrainedConfig], folder: Path, **more: Any) -> Path:
    """Any other architecture; `more` replaces keys of its configuration, None takes them out."""
    tokenizer = tiny_tokenizer()
    keys = shape(tokenizer) | more
    config = kind(**{key: value for key, value in keys.items() if value is not None})
    return save(config, tokenizer, folder)


def save(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Random weights, norms and biases included: their defaults would hide mistakes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
