"""A model's chat format, a program that comes with the model: bounded, and refused in words.

The format is a Jinja template. Its sandbox keeps it from files and network, but not from running
or writing without end; so time and text are counted while it runs, line by line.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from jinja2.exceptions import TemplateError

from tracer.errors import one_line
from tracer.hypothesis.spec import Message

MAX_SECONDS = 5.0
MAX_CHARACTERS = 10_000_000
_TEMPLATE = "<template>"
"""What Jinja calls the file of a template that came as text."""
_INSTEAD = "write the prompt as `text`"


class ChatRefused(ValueError):
    """Why a chat has no text; `str` is the sentence."""


class ChatUnbounded(ChatRefused):
    """The format ran into a bound, as it would on every other chat."""


@runtime_checkable
class ChatTokenizer(Protocol):
    """The part of a tokenizer that formats chats."""

    @property
    def chat_template(self) -> Any:
        """Jinja source, or None where the model has no chat format."""
        ...

    def apply_chat_template(
        self, conversation: Any, *, tokenize: bool, add_generation_prompt: bool
    ) -> Any:
        """The text of a chat, special tokens included."""
        ...


def format_chat(
    messages: Sequence[Message], contents: Sequence[str], tokenizer: ChatTokenizer
) -> str:
    """A chat as one text, its messages with other contents.

    Raises:
        ChatRefused: The model has no chat format, or it refuses the messages or cannot be used.
    """
    if tokenizer.chat_template is None:
        raise ChatRefused(f"this model has no chat format: {_INSTEAD}")
    turns = [
        {"role": message.role, "content": content}
        for message, content in zip(messages, contents, strict=True)
    ]
    try:
        with _bounded():
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except ChatRefused:
        raise
    except TemplateError as error:
        why = one_line(error)
        raise ChatRefused(f"the model's chat format refuses these messages: {why}") from None
    except Exception as error:
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise ChatRefused(
            f"the model's chat format cannot be used ({cause}): {_INSTEAD}"
        ) from error
    return str(text)


@contextmanager
def _bounded() -> Generator[None, None, None]:
    """Stop a template of this thread that runs too long or writes too much."""
    until, written = monotonic() + MAX_SECONDS, 0

    def in_template(frame: FrameType, event: str, value: Any) -> Any:
        nonlocal written
        if event == "return" and isinstance(value, str):  # a piece of text that was yielded
            written += len(value)
        check()
        return in_template

    def at_call(frame: FrameType, event: str, value: Any) -> Any:
        check()
        return in_template if frame.f_code.co_filename == _TEMPLATE else None

    def check() -> None:
        if written > MAX_CHARACTERS:
            n = f"{MAX_CHARACTERS:,}"
            raise ChatUnbounded(
                f"the model's chat format writes more than {n} characters: {_INSTEAD}"
            )
        if monotonic() > until:
            raise ChatUnbounded(
                f"the model's chat format does not end within {MAX_SECONDS:g} seconds: {_INSTEAD}"
            )

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        yield
    finally:
        sys.settrace(before)
