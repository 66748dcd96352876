"""What `tracer ask` tells programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tracer.cli.documents.document import Document
from tracer.record.files import Recorded
from tracer.record.trials import TokenReading

if TYPE_CHECKING:
    from tracer.api.session.answers import Answer


class PositionedToken(Recorded):
    """A token of a prompt."""

    position: int = Field(description="From 0.")
    id: int
    token: str


class PromptAnswer(Recorded):
    """What the model answers to one prompt, unclamped."""

    name: str
    text: str
    answer: str | None = Field(description="The token that is declared to come first.")
    is_right: bool | None = Field(description="Whether it does; null where none is declared.")
    tokens: tuple[PositionedToken, ...] = Field(description="As the model reads the prompt.")
    spans: dict[str, tuple[int, int]] = Field(
        description="First position of each, and the position after its last."
    )
    top: tuple[TokenReading, ...] = Field(description="The most probable, best first.")
    asked: dict[str, TokenReading] = Field(description="Tokens that the prompt asks about.")

    @classmethod
    def of(cls, answer: Answer) -> PromptAnswer:
        """As a session gives it."""
        tokens = zip(answer.token_ids, answer.tokens, strict=True)
        return cls(
            name=answer.prompt,
            text=answer.text,
            answer=answer.answer,
            is_right=answer.is_right,
            tokens=tuple(
                PositionedToken(position=n, id=token_id, token=token)
                for n, (token_id, token) in enumerate(tokens)
            ),
            spans=dict(answer.spans),
            top=answer.top,
            asked=dict(answer.reading.tokens),
        )


class AnswersToPrompts(Document):
    """What a model answers to prompts, and how they are cut into tokens."""

    schema_: Literal["tracer.answers/1"] = Field(default="tracer.answers/1", alias="schema")
    model: str
    prompts: tuple[PromptAnswer, ...]
