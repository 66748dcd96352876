"""Running out of memory, told as what it is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from tracer.errors import EngineError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; what allocation on the CPU fails with has no class of its own."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "can't allocate memory" in str(error)


@contextmanager
def memory_told(of: str) -> Generator[None]:
    """Running out of memory inside is a sentence about what was being computed.

    Raises:
        EngineError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise EngineError(
            f"memory does not hold {of}; try fewer features, a shorter text or `--dtype bfloat16`."
        ) from error
