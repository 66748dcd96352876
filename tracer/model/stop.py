"""Where a model ends a text."""

from __future__ import annotations

from typing import Any


def stop_ids(hf_model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text: those its generation settings name, and the tokenizer's own."""
    settings = getattr(hf_model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    found = named if isinstance(named, list) else [named]
    return frozenset(int(n) for n in (*found, tokenizer.eos_token_id) if n is not None)
