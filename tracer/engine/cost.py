"""What a model's sizes cost: weights, passes and rows, from its `config.json` alone.

How many rows a circuit will take on each prompt, before anything is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracer.hypothesis.neuronpedia import explicit_features
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.hypothesis.tokens import shared_prefix

ROW_BUDGET = 512 * 2**20
"""Bytes the engine lets one batch of rows use."""
MAX_ROWS = 256


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a decoder with gated MLPs and grouped attention heads."""

    n_layers: int
    d_model: int
    d_vocab: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    tied: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelSize | None:
        """Read a Hugging Face `config.json`; None where it names its sizes otherwise."""
        text: Mapping[str, Any] = config.get("text_config") or config
        try:
            n_heads, d_model = int(text["num_attention_heads"]), int(text["hidden_size"])
            return cls(
                n_layers=int(text["num_hidden_layers"]),
                d_model=d_model,
                d_vocab=int(text["vocab_size"]),
                d_mlp=int(text["intermediate_size"]),
                n_heads=n_heads,
                n_kv_heads=int(text.get("num_key_value_heads") or n_heads),
                d_head=int(text.get("head_dim") or d_model // n_heads),
                tied=bool(text.get("tie_word_embeddings", True)),
            )
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def n_weights(self) -> int:
        """Weights outside the embeddings: layers × (2·d·h·d_head + 2·d·kv·d_head + 3·d·d_mlp)."""
        attention = 2 * self.d_model * self.d_head * (self.n_heads + self.n_kv_heads)
        return self.n_layers * (attention + 3 * self.d_model * self.d_mlp)

    @property
    def n_embedding(self) -> int:
        """Weights of the embedding, and of the unembedding where it is not the same matrix."""
        return self.d_model * self.d_vocab * (1 if self.tied else 2)

    def flops(self, n_tokens: int) -> float:
        """One pass over n tokens with logits at the last: 2·n·weights + 2·d_model·d_vocab."""
        return 2.0 * n_tokens * self.n_weights + 2.0 * self.d_model * self.d_vocab

    def row_bytes(self, n_tokens: int) -> int:
        """One row of a prompt, the engine's own rule: 4·(3·d_vocab + 2·keys_values + 8·d_mlp)."""
        keys_and_values = 2 * n_tokens * self.n_kv_heads * self.d_head * self.n_layers
        return 4 * (3 * self.d_vocab + 2 * keys_and_values + 8 * self.d_mlp)

    def rows_per_batch(self, n_tokens: int) -> int:
        """Rows of a prompt that fit into the budget at once."""
        return max(1, min(MAX_ROWS, ROW_BUDGET // self.row_bytes(n_tokens)))


class Tokens(NamedTuple):
    """A prompt as the tokenizer sees it."""

    ids: Sequence[int]
    spans: Mapping[str, tuple[int, int]]


class CircuitRows(NamedTuple):
    """The rows of a circuit on one prompt."""

    prompt: str
    scores: int
    """F(∅), F(C), F(M∖C), and one for each member or group left out: at most."""
    curve: int
    controls: int
    """Random circuits, kept and taken out, and fillers."""
    start: int | None
    """First position that is computed; None without a tokenizer."""


def circuit_rows(
    spec: CircuitSpec, hypothesis: Hypothesis, tokens: Mapping[str, Tokens] | None
) -> Iterator[CircuitRows]:
    """A circuit's rows on every prompt that can be ablated."""
    discovery = [p for p in spec.prompts if not hypothesis.prompts[p].held_out]
    for prompt in spec.prompts:
        start = _start(spec, prompt, tokens) if tokens else None
        if tokens and start is None:
            continue
        groups = min(spec.groups, sum(_size(spec, hypothesis, name) for name in spec.supernodes))
        yield CircuitRows(
            prompt=prompt,
            scores=3 + groups,
            curve=len(SHARES) if spec.curve and discovery else 0,
            controls=(3 if groups else 2) * spec.random,
            start=start,
        )


def n_ranked(hypothesis: Hypothesis) -> int:
    """Backward passes that rank the features of the curves: one per discovery prompt."""
    return sum(
        not hypothesis.prompts[prompt].held_out
        for spec in hypothesis.circuit.values()
        for prompt in spec.prompts
        if spec.curve
    )


def _start(spec: CircuitSpec, prompt: str, tokens: Mapping[str, Tokens]) -> int | None:
    """The first position that is ablated; None where other token lengths forbid it."""
    own, others = tokens[prompt], [tokens[name].ids for name in spec.reference]
    if any(len(other) != len(own.ids) for other in others):
        return None
    first = shared_prefix(own.ids, others)
    start, stop = own.spans[spec.within.at] if spec.within.at else (0, len(own.ids))
    return max(first, start) if first < stop else None


def _size(spec: CircuitSpec, hypothesis: Hypothesis, name: str) -> int:
    """How many members a supernode has at most, as far as that can be told before it is found."""
    node = hypothesis.supernodes[name]
    if node.select is None:
        return len(explicit_features(node) or ())
    return node.select.top or spec.groups
