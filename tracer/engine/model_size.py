"""What a model's sizes cost: weights, passes and batches of rows, from its `config.json` alone.

Nothing here needs torch, so that a plan can be made before a model is opened. The engine cuts its
batches by the same rule as the plan: `row_bytes` and `rows_per_batch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROW_BUDGET = 512 * 2**20
"""Bytes the engine lets one batch of rows use."""
MAX_ROWS = 256


def row_bytes(n_tokens: int, d_vocab: int, d_keys: int, widest: int) -> int:
    """Bytes of one row: 4·(3·d_vocab + 2·keys_and_values + 8·widest).

    `d_keys` is the length of one token's keys, all layers together, and `widest` that of its
    longest hidden vector.
    """
    keys_and_values = 2 * n_tokens * d_keys
    return 4 * (3 * d_vocab + 2 * keys_and_values + 8 * widest)


def rows_per_batch(bytes_per_row: int, budget: int = ROW_BUDGET) -> int:
    """Rows that fit into a budget of bytes at once; 1 at least."""
    return max(1, min(MAX_ROWS, budget // bytes_per_row))


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
    def n_attention(self) -> int:
        """Attention weights of one layer: 2·d·h·d_head + 2·d·kv·d_head."""
        return 2 * self.d_model * self.d_head * (self.n_heads + self.n_kv_heads)

    @property
    def n_weights(self) -> int:
        """Weights outside the embeddings: layers × (attention + 3·d·d_mlp)."""
        return self.n_layers * (self.n_attention + 3 * self.d_model * self.d_mlp)

    @property
    def n_embedding(self) -> int:
        """Weights of the embedding, and of the unembedding where it is not the same matrix."""
        return self.d_model * self.d_vocab * (1 if self.tied else 2)

    def flops(self, n_tokens: int) -> float:
        """One pass over n tokens with logits at the last: 2·n·weights + 2·d_model·d_vocab."""
        return 2.0 * n_tokens * self.n_weights + 2.0 * self.d_model * self.d_vocab

    def row_bytes(self, n_tokens: int) -> int:
        """Bytes of one row of a prompt, with neurons as features."""
        d_keys = self.n_kv_heads * self.d_head * self.n_layers
        return row_bytes(n_tokens, self.d_vocab, d_keys, self.d_mlp)

    def rows_per_batch(self, n_tokens: int) -> int:
        """Rows of a prompt that fit into the budget at once."""
        return rows_per_batch(self.row_bytes(n_tokens))
