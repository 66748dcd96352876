"""What an index of all neurons takes beside the forward passes alone, in one run.

    python benchmarks/feature_index.py [MODEL] [WINDOWS]

Batches alternate between passes that only run the model and passes that also count, so that both
meet the same load; times are of the processor on the CPU, and of the wall on a GPU. The first
batches, in which every place is new, are told apart.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from tracer.engine.corpus.passages import find_texts
from tracer.engine.corpus.windows import LENGTH, read_windows
from tracer.engine.feature_index.build import batch_size, counting_hook
from tracer.engine.feature_index.tally import LayerTally
from tracer.engine.model.sources import named_model
from tracer.engine.progress import Silent
from tracer.engine.session import Opened, open_both
from tracer.hypothesis.names import NEURONS

N_PLACES = 10


def main(name: str | None, n_windows: int) -> None:
    """Print both times and their ratio."""
    opened = open_both(named_model(name, None, None), NEURONS, Silent())
    text = find_texts(["wikipedia"])
    tokenizer = opened.model.tokenizer
    read = read_windows(text, tokenizer, Silent(), at_most=4 * n_windows * LENGTH)
    windows = read.sample(n_windows * LENGTH, seed=0)
    plain, counting = alternated(opened, windows.ids, windows.n_prefix)
    tokens = batch_size(opened.model.device) * (LENGTH - windows.n_prefix)
    for what, some in (("all", slice(None)), ("second half", slice(len(plain) // 2, None))):
        alone, both = statistics.median(plain[some]), statistics.median(counting[some])
        rate = f"{tokens / alone:,.0f} and {tokens / both:,.0f} tokens a second"
        print(f"{what}: passes alone and with the index {rate}, ratio {both / alone:.2f}")


def alternated(opened: Opened, ids, n_prefix: int) -> tuple[list[float], list[float]]:
    """Seconds of each batch, without and with the index."""
    model, basis, size = opened.model, opened.basis, batch_size(opened.model.device)
    tallies = [
        LayerTally(basis.n_features(layer), 2, N_PLACES, model.device)
        for layer in range(basis.n_layers)
    ]
    plain, counting = [], []
    for first in range(0, len(ids) - size + 1, size):
        tokens = torch.from_numpy(ids[first : first + size]).long()
        rows = torch.arange(first, first + size, dtype=torch.int32, device=model.device)
        finite: list[torch.Tensor] = []
        hooks = [
            counting_hook(basis, layer, tally, rows * LENGTH + n_prefix, n_prefix, finite)
            for layer, tally in enumerate(tallies)
        ]
        plain.append(timed(model.device, lambda t=tokens: model.read(t, [])))
        counting.append(timed(model.device, lambda t=tokens, h=hooks: model.read(t, h)))
    return plain, counting


def timed(device: torch.device, run: Callable[[], None]) -> float:
    """Seconds of a call."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int((sys.argv[2:] or ["96"])[0]))
