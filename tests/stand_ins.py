"""Small random models with the shapes that published circuits need, and dictionaries that fit them.

As many layers and features as Gemma-2-2B and Llama-3.2-1B with their transcoders have, but eight
dimensions. Only the features that the files name hold numbers; the rest of each tensor is a hole in
the file, so a dictionary of millions of features takes no room on the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dictionaries import write_config
from tiny_models import SPECIAL, save, shape
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import Gemma2Config, LlamaConfig, PreTrainedTokenizerFast

from tracer.hypothesis.spec import Hypothesis

D_MODEL = 8
SIZES = {
    "hidden_size": D_MODEL,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
}
_WORDS = re.compile(r" ?[A-Za-zÀ-ÿ]+| ?::| ?\"|\S")
_SPLIT = {
    "Fait": ("Fa", "it"),
    " synonyme": (" syn", "onyme"),
    "Zagreb": ("Z", "ag", "reb"),
    " Copenhagen": (" Cop", "enhagen"),
}
"""Words that are several tokens, as many as the published positions ask for."""
_JOINED = ("义词",)


class Kind(NamedTuple):
    """The sizes of a model with its published transcoders, and where those read and write."""

    n_layers: int
    n_features: int
    reads: str
    writes: str
    threshold: bool


KINDS = {
    "google/gemma-2-2b": Kind(26, 16_384, "ln2.hook_normalized", "hook_mlp_out", True),
    "meta-llama/Llama-3.2-1B": Kind(16, 131_072, "hook_resid_mid", "mlp.hook_out", False),
}


class StandIn(NamedTuple):
    """Two folders."""

    model: Path
    features: Path


def stand_in(name: str, hypotheses: Sequence[Hypothesis], folder: Path) -> StandIn:
    """A model in the place of the one of this name, for what the hypotheses name."""
    kind = KINDS[name]
    tokenizer = tokenizer_for(hypotheses)
    sizes = shape(tokenizer) | SIZES | {"num_hidden_layers": kind.n_layers}
    config = (
        Gemma2Config(**sizes, query_pre_attn_scalar=4, sliding_window=64)
        if "gemma" in name
        else LlamaConfig(**sizes)
    )
    model = save(config, tokenizer, folder / "model")
    return StandIn(model, _transcoders(kind, name, _named(hypotheses), folder / "features"))


def tokenizer_for(hypotheses: Iterable[Hypothesis]) -> PreTrainedTokenizerFast:
    """Knows the words of the prompts and the tokens asked for; fewest pieces win."""
    known: dict[str, None] = dict.fromkeys(_JOINED)
    for one in hypotheses:
        for prompt in one.prompts.values():
            for word in _WORDS.findall(prompt.text or ""):
                known.update(dict.fromkeys(_SPLIT.get(word, (word,))))
            known.update(dict.fromkeys([prompt.answer] if prompt.answer else []))
        expected = (e for spec in one.interventions.values() for e in spec.expect)
        asked = (tokens for e in expected for tokens in e.tokens().values())
        known.update(dict.fromkeys(token for tokens in asked for token in tokens))
    pieces = [piece.replace(" ", "▁") for piece in known]
    characters = sorted({c for piece in pieces for c in piece} - set(pieces))
    vocabulary = [(special, 0.0) for special in SPECIAL]
    vocabulary += [(piece, -1.0) for piece in pieces] + [(c, -10.0) for c in characters]
    core = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>")))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", SPECIAL.index("<bos>"))]
    )
    names = {f"{token.strip('<>')}_token": token for token in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def _named(hypotheses: Iterable[Hypothesis]) -> dict[int, list[int]]:
    """By layer, the features that some file names."""
    found: dict[int, set[int]] = {}
    for one in hypotheses:
        for node in one.supernodes.values():
            for feature in node.features or ():
                layer, index, *_ = map(int, feature.split("_"))
                found.setdefault(layer, set()).add(index)
    return {layer: sorted(indices) for layer, indices in found.items()}


def _transcoders(
    kind: Kind, name: str, features: Mapping[int, Sequence[int]], folder: Path
) -> Path:
    """circuit-tracer's format; a bias keeps every named feature active at every token."""
    write_config(
        folder,
        {
            "model_name": name,
            "model_kind": "transcoder_set",
            "feature_input_hook": kind.reads,
            "feature_output_hook": kind.writes,
        },
    )
    shapes = {
        "W_enc": (kind.n_features, D_MODEL),
        "W_dec": (kind.n_features, D_MODEL),
        "b_enc": (kind.n_features,),
        "b_dec": (D_MODEL,),
    }
    if kind.threshold:
        shapes["activation_function.threshold"] = (kind.n_features,)
    for layer in range(kind.n_layers):
        draw = np.random.default_rng(layer)
        rows = {
            index: {
                "W_enc": draw.normal(0, 0.05, D_MODEL),
                "W_dec": draw.normal(0, 0.3, D_MODEL),
                "b_enc": np.array([3.0]),
                "activation_function.threshold": np.array([0.1]),
            }
            for index in features.get(layer, ())
        }
        _write_sparse(folder / f"layer_{layer}.safetensors", shapes, rows)
    return folder


def _write_sparse(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    rows: Mapping[int, Mapping[str, np.ndarray]],
) -> None:
    """A safetensors file of float32 zeros with some rows written into it."""
    header: dict[str, object] = {}
    starts: dict[str, int] = {}
    end = 0
    for name, dims in shapes.items():
        starts[name], size = end, 4 * prod(dims)
        end += size
        header[name] = {"dtype": "F32", "shape": dims, "data_offsets": [starts[name], end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
        for index, values in rows.items():
            for name in shapes.keys() & values.keys():
                row = values[name].astype("<f4").tobytes()
                file.seek(8 + len(text) + starts[name] + index * len(row))
                file.write(row)
