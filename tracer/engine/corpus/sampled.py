"""Text that the model itself writes, as windows: no file is needed, and it is what the model knows.

Tokens are drawn from the model's own distribution, temperature 1, special tokens left out. The same
seed draws the same text, on a CPU to the last token.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from tracer.engine.corpus.windows import PassageStart, Windows
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.errors import EngineError
from tracer.hypothesis.vocabulary import special_front

SAMPLED = "model"
"""The name that this text is given by."""
WHAT = "text sampled from the model itself, temperature 1"
_AT_ONCE = 64
"""Windows that are written together."""


def sample_windows(
    model: Model, n_tokens: int, length: int, seed: int, progress: Progress
) -> Windows:
    """As few windows as hold `n_tokens`, each a text of its own.

    A model whose tokenizer puts nothing in front of a text begins with a token drawn from the whole
    vocabulary.

    Raises:
        EngineError: The model's logits are not finite.
    """
    front = special_front(model.tokenizer)
    step = length - len(front)
    n = -(-n_tokens // step)
    generator = torch.Generator().manual_seed(seed)
    batches: list[torch.Tensor] = []
    with progress.task("sampling text from the model", n * step) as advance, torch.no_grad():
        for start in range(0, n, _AT_ONCE):
            rows = min(_AT_ONCE, n - start)
            batches.append(_write(model, front, rows, length, generator))
            advance(rows * step)
    starts = tuple(PassageStart(number * step, SAMPLED, f"text {number}") for number in range(n))
    ids = torch.cat(batches).to(torch.int32).numpy()
    return Windows(ids, len(front), np.arange(n), starts)


def _write(
    model: Model, front: list[int], rows: int, length: int, generator: torch.Generator
) -> torch.Tensor:
    if front:
        ids = torch.tensor(front).expand(rows, -1)
    else:
        ids = torch.randint(model.unembedding.W_U.shape[1], (rows, 1), generator=generator)
    new, cache = ids, DynamicCache()
    special = torch.tensor(list(model.tokenizer.all_special_ids), dtype=torch.long)
    while ids.shape[1] < length:
        logits = model.go_on(new, [], cache).float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise EngineError("the model's logits are not finite. Try dtype float32.")
        logits[:, special] = -torch.inf
        new = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        ids = torch.cat([ids, new], 1)
    return ids
