"""Someone else's model folder in other people's libraries: whatever they raise becomes a sentence.

transformers, tokenizers, huggingface_hub and TransformerLens check little before they use a file:
a config that is newer than they are, a wrong type or a broken tokenizer ends in an exception of
any kind. Only calls of these libraries stand under the guard, so that mistakes of tracer itself
keep their traceback.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager

from tracer.errors import ModelUnavailable, TracerError, one_line

_PANIC = "PanicException"
"""What libraries in Rust raise for a failed assertion; no `Exception`, and not importable."""

_HIDDEN = re.compile(r"\s*[^.!?;]*\babove report\b[^.!?]*[.!?]?")
"""A sentence that points to what transformers has logged, which is not shown."""


@contextmanager
def guarded(
    what: str, advice: str, look: Callable[[], object] = lambda: None
) -> Generator[None, None, None]:
    """Tell what cannot be read, why, and what to do.

    Args:
        what: The file, and what cannot be done with it.
        advice: A sentence.
        look: Called after a failure: it may raise a more exact sentence.

    Raises:
        ModelUnavailable: Something was raised inside.
    """
    try:
        yield
    except TracerError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        look()
        told = _HIDDEN.sub("", one_line(error))
        cause = f"{type(error).__name__}: {told}".rstrip(".: ")
        raise ModelUnavailable(f"{what} ({cause}). {advice}") from error
