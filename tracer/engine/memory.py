"""Memory that runs out, and memory that is given back."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from tracer.errors import EngineError

Item = TypeVar("Item")
Made = TypeVar("Made")
EXHAUSTED = (torch.OutOfMemoryError, MemoryError, RuntimeError)
"""What running out of memory raises, among other things: see `is_exhausted`."""
_SAID = ("out of memory", "can't allocate memory", "alloc_failed", "cudaerrormemoryallocation")
"""By errors that have no class of their own: allocators of the CPU, drivers and cuBLAS."""


def is_exhausted(error: BaseException) -> bool:
    """Whether memory ran out, as an error says by its class or in words."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error).lower() for words in _SAID)


@contextmanager
def memory_told(of: str) -> Generator[None]:
    """Running out of memory inside is a sentence about what was being computed.

    Raises:
        EngineError: Memory ran out.
    """
    try:
        yield
    except EXHAUSTED as error:
        if not is_exhausted(error):
            raise
        raise EngineError(
            f"memory does not hold {of}; try fewer features, a shorter text or `--dtype bfloat16`."
        ) from error


def in_halves(items: Sequence[Item], run: Callable[[Sequence[Item]], list[Made]]) -> list[Made]:
    """What is made of items together; of each half of them, where memory does not hold all."""
    try:
        return run(items)
    except EXHAUSTED as error:
        if not is_exhausted(error) or len(items) == 1:
            raise
    free_memory()
    half = len(items) // 2
    return in_halves(items[:half], run) + in_halves(items[half:], run)


def free_memory() -> None:
    """Give back what nothing refers to any more, and on a GPU what torch keeps for later.

    Call it where no error is being handled: its traceback still refers to what was computed.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
