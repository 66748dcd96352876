"""Tokens at which a dictionary's features mean nothing, because it was not trained on them.

Gemma Scope 2's sets for instruction-tuned Gemma 3 leave out the first four tokens of its chat
format, alike on every prompt, where activations are enormous. circuit-tracer sets features and
errors to 0 there for every model whose name has `gemma-3` and ends in `-it`
(`replacement_model_transformerlens.py`, `zero_positions`); other models lose the first alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from tracer.errors import prompts_named
from tracer.record.record import ModelRecord

GEMMA_3_CHAT = (2, 105, 2364, 107)
"""`<bos><start_of_turn>user` and a line break, in Gemma 3's vocabulary."""
_FAMILY, _TUNED = "gemma-3", "-it"
_SETS = "gemma-scope-2-"


def untrained_opening(model: ModelRecord, dictionary: str) -> tuple[int, ...]:
    """The tokens at the beginning of a prompt that a dictionary was not trained on; () for none.

    Args:
        model: What the dictionary is used with.
        dictionary: The name it was asked for by: one of Gemma Scope 2's tells it as well, where the
            model is a fine-tuned one of another name.
    """
    names = (PurePath(name).name.lower() for name in (model.name, model.source))
    is_tuned = any(_FAMILY in name and name.endswith(_TUNED) for name in names)
    parts = dictionary.lower().replace("@", "/").split("/")
    is_for_tuned = any(part.startswith(_SETS) and f"{_TUNED}-" in f"{part}-" for part in parts)
    is_family = model.architecture.startswith("Gemma3")
    return GEMMA_3_CHAT if is_tuned or (is_family and is_for_tuned) else ()


def n_untrained(ids: Sequence[int], opening: Sequence[int]) -> int:
    """How many of a prompt's tokens are such an opening: all of it, or none."""
    return len(opening) if tuple(ids[: len(opening)]) == tuple(opening) else 0


def opening_note(
    prompts: Mapping[str, Sequence[int]], dictionary: str, opening: Sequence[int]
) -> str | None:
    """What a reader should know of graphs of some prompts; None where none has the opening."""
    names = [name for name, ids in prompts.items() if n_untrained(ids, opening) > 0]
    if not names:
        return None
    return (
        f"{dictionary} was not trained on the chat format's first {len(opening)} tokens, so the "
        f"graphs of {prompts_named(names)} have no features and no errors there."
    )
