"""Whole prompts that go through the model together: of one length, as many as a pass takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.clean import require_finite
from tracer.engine.memory import in_halves
from tracer.engine.model.model import FEW_ROWS, Model
from tracer.engine.progress import Progress
from tracer.hypothesis.tokens import TokenizedPrompt

_TOKENS_AT_ONCE = 512
"""What one pass takes at most, in no more than `FEW_ROWS` prompts, which share their logits' tiles;
more would take no less time for each."""
Made = TypeVar("Made")


def run_together(
    prompts: Sequence[Sequence[int]], run: Callable[[Sequence[int]], list[Made]]
) -> Iterator[tuple[list[int], list[Made]]]:
    """Numbers of prompts, and what is made of each of them, batch by batch.

    Args:
        prompts: Their tokens.
        run: Makes something of each of some prompts of one length, given their numbers. It is
            called for halves of a batch where memory does not hold the whole.
    """
    for batch in batched_by_length(prompts):
        yield batch, in_halves(batch, run)


def last_logits(
    model: Model, prompts: Sequence[TokenizedPrompt], progress: Progress
) -> Iterator[tuple[TokenizedPrompt, Float[Tensor, " vocab"]]]:
    """Each prompt with the unclamped logits at its last token, those of one length together.

    Raises:
        EngineError: They are not finite.
    """

    def run(numbers: Sequence[int]) -> list[Tensor]:
        return list(model.clean(torch.tensor([prompts[n].ids for n in numbers]), []).logits)

    with progress.task("running the prompts unclamped", len(prompts)) as advance:
        for batch, found in run_together([prompt.ids for prompt in prompts], run):
            for n, logits in zip(batch, found, strict=True):
                require_finite(logits, prompts[n].name, "before any clamp")
                yield prompts[n], logits
            advance(len(batch))


def batched_by_length(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of prompts, given by their tokens, that one pass takes: those of one length."""
    by_length: dict[int, list[int]] = {}
    for number, ids in enumerate(prompts):
        by_length.setdefault(len(ids), []).append(number)
    for length, numbers in by_length.items():
        at_once = max(1, min(FEW_ROWS, _TOKENS_AT_ONCE // length))
        for first in range(0, len(numbers), at_once):
            yield numbers[first : first + at_once]
