"""What the model answers unclamped, and how each prompt is cut into tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, overload

from tracer.evidence.wording import counted
from tracer.record.trials import Reading, TokenReading
from tracer.report.screen import clean
from tracer.report.text import percent, visible_token

_SHOWN = 5
"""Tokens of an answer that are written out."""


@dataclass(frozen=True)
class Answer:
    """The next token after one prompt, by its probability."""

    prompt: str
    """Its name."""
    text: str
    tokens: tuple[str, ...]
    """As the model reads it, special tokens included, each decoded by itself."""
    token_ids: tuple[int, ...]
    spans: Mapping[str, tuple[int, int]]
    """Ranges of positions, end excluded: `last`, and what the prompt names."""
    answer: str | None
    """The token that it was declared to give."""
    reading: Reading

    @property
    def top(self) -> tuple[TokenReading, ...]:
        """The ten most probable next tokens, best first."""
        return self.reading.top

    @property
    def is_right(self) -> bool | None:
        """Whether the declared answer comes first; None where none was declared."""
        if self.answer is None:
            return None
        return self.reading.tokens[self.answer].id == self.top[0].id

    @property
    def judged(self) -> str | None:
        """Where the declared answer comes, as a sentence; None where none was declared."""
        if self.answer is None:
            return None
        if self.is_right:
            return f"{self.answer!r} comes first"
        mine = self.reading.tokens[self.answer]
        return f"{self.answer!r} is number {mine.rank:,}, {percent(mine.probability)}"

    def __repr__(self) -> str:
        return f"{clean(self.prompt)}: {top_line(self.reading)}{self._mark()}\n  {self._cut()}"

    def _mark(self) -> str:
        if self.judged is None:
            return ""
        return "  ✔" if self.is_right else f"  ✘ {clean(self.judged)}"

    def _cut(self) -> str:
        return clean("|".join(visible_token(token)[1:-1] for token in self.tokens))

    def html_row(self) -> str:
        """Its row of the notebook's table."""
        told = (self.prompt, top_line(self.reading) + self._mark(), self._cut())
        cells = "".join(f"<td style='text-align:left'>{escape(clean(each))}</td>" for each in told)
        return f"<tr>{cells}</tr>"


class Answers(Sequence[Answer]):
    """The answers to several prompts, in their order."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = tuple(answers)

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, index: int) -> Answer: ...
    @overload
    def __getitem__(self, index: slice) -> Answers: ...
    def __getitem__(self, index: int | slice) -> Answer | Answers:
        found = self._answers[index]
        return found if isinstance(found, Answer) else Answers(found)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self._answers)

    @property
    def summary(self) -> str | None:
        """How often the declared answer comes first, as a sentence; None where none is declared."""
        right = [each.is_right for each in self if each.is_right is not None]
        if not right:
            return None
        return f"{sum(right)} of {counted(len(right), 'prompt')}: the answer comes first."

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: a row for each of the ten most probable tokens of each prompt."""
        import pandas

        return pandas.DataFrame(
            [
                {"prompt": each.prompt, "text": each.text, **token.model_dump()}
                for each in self
                for token in each.top
            ]
        )

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._answers))

    def _repr_html_(self) -> str:
        heads = ("prompt", "next token", "cut into tokens")
        head = "".join(f"<th style='text-align:left'>{each}</th>" for each in heads)
        rows = "".join(each.html_row() for each in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def top_line(reading: Reading) -> str:
    """The most probable tokens with their probabilities, in one line."""
    return ", ".join(
        f"{clean(repr(each.token))} {percent(each.probability)}" for each in reading.top[:_SHOWN]
    )
