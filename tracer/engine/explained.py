"""What is explained on one prompt, by token id: which logits, with which signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tracer.hypothesis.clamps import Direction, LogitDiffDirection, TokenDirection, Toward
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.template import render_token
from tracer.hypothesis.tokens import TokenizedPrompt

LogitDirection = Sequence[tuple[int, float]]
"""Token ids with their coefficients; (token, 1), (foil, −1) is a logit difference."""
ExplainedTarget = LogitDirection | Literal["salient"]
"""What a graph explains on one prompt."""


def direction_of(
    toward: Direction, declared: PromptSpec, prompt: TokenizedPrompt
) -> LogitDirection:
    """The direction's tokens as they read on a prompt, by id."""
    match toward:
        case TokenDirection(token=token):
            return [(prompt.asked[render_token(token, declared)], 1.0)]
        case LogitDiffDirection(logit_diff=(token, foil)):
            return [
                (prompt.asked[render_token(token, declared)], 1.0),
                (prompt.asked[render_token(foil, declared)], -1.0),
            ]
        case "answer":
            assert prompt.answer_id is not None
            return [(prompt.answer_id, 1.0)]


def explained_target_of(
    toward: Toward, declared: PromptSpec, prompt: TokenizedPrompt
) -> ExplainedTarget:
    """What a graph section explains, by id."""
    return "salient" if toward == "salient" else direction_of(toward, declared, prompt)
