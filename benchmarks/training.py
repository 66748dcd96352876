"""What training costs beside the same loop written by hand around the model's forward pass.

    python benchmarks/training.py [--model gemma-3-270m] [--steps 4] [--windows 8] [--width 2048]

Both take the same steps: a forward pass of Hugging Face's model without logits, the input and
output of every MLP by a forward hook of PyTorch, eai-sparsify's `SparseCoder` for each layer,
and Adam. Ours also scales the activations, revives dead features, checks the loss and counts what
fired. By turns; medians over the steps, in seconds of the clock and, for machines with other work,
in seconds of the processor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tracer.engine.model.model import Model
from tracer.engine.model.sources import named_model
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Silent
from tracer.engine.surroundings import environment
from tracer.engine.training.activations import read_activations
from tracer.engine.training.loop import Training, peak_bytes
from tracer.engine.training.transcoders import Transcoders, sparsify
from tracer.record.training import TrainingRecord, TrainingSettings, TrainingText

LENGTH = 128
out = sys.stdout


class Timed(NamedTuple):
    """How long a step took."""

    clock: float
    processor: float


def timed(step: Callable[[], None]) -> Timed:
    """One step, the device waited for."""
    clock, processor = time.perf_counter(), time.process_time()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Timed(time.perf_counter() - clock, time.process_time() - processor)


def by_hand(hf_model: Any, settings: TrainingSettings, d_model: int) -> Callable[[Tensor], None]:
    """The loop that anyone would write."""
    library, seen = sparsify(), {}
    config = library.SparseCoderConfig(
        num_latents=settings.width,
        k=settings.k,
        skip_connection=settings.skip,
        transcode=True,
        normalize_decoder=False,
    )
    coders = [library.SparseCoder(d_model, config, hf_model.device) for _ in settings.layers]
    weights = [weight for coder in coders for weight in coder.parameters()]
    adam = torch.optim.Adam(weights, lr=settings.learning_rate, fused=True)

    def keep(layer: int) -> Callable[[Any, tuple[Tensor], Tensor], None]:
        return lambda _, x, y: seen.update({layer: (x[0][:, 1:], y[:, 1:])})

    def step(ids: Tensor) -> None:
        hooks = [
            hf_model.model.layers[layer].mlp.register_forward_hook(keep(layer))
            for layer in settings.layers
        ]
        with torch.no_grad():
            hf_model.model(ids, use_cache=False)
        for hook in hooks:
            hook.remove()
        for layer, coder in zip(settings.layers, coders, strict=True):
            x, y = (each.flatten(0, 1).float() for each in seen[layer])
            coder(x, y).fvu.backward()
        adam.step()
        adam.zero_grad()

    return step


def record_of(model: Model, settings: TrainingSettings, steps: int) -> TrainingRecord:
    """Of a training that is not written."""
    text = TrainingText(names=(), what=(), tokens=0, window=LENGTH, sha256="")
    return TrainingRecord(
        model=model.record,
        text=text,
        settings=settings,
        steps=steps,
        step=0,
        dead_after=settings.tokens // 20,
        curve=(),
        environment=environment(torch.get_num_threads()),
        seconds=0,
        peak_bytes=0,
    )


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--width", type=int, default=2048)
    asked = parser.parse_args()
    weights = open_weights(named_model(asked.model), Silent())
    model = Model(weights)
    settings = TrainingSettings(
        kind="transcoders",
        width=asked.width,
        activation="topk",
        k=32,
        skip=True,
        layers=tuple(range(model.n_layers)),
        tokens=3_000_000,
        windows=asked.windows,
        learning_rate=2e-3,
        seed=0,
    )
    rng = np.random.default_rng(0)
    ids = rng.integers(10, 50_000, (asked.steps + 1, asked.windows, LENGTH), dtype=np.int32)
    d_model = model.record.d_model
    hand = by_hand(weights.hf_model, settings, d_model)
    first = read_activations(model, ids[0], 1, settings.layers)
    trainee = Transcoders(settings, d_model).to(model.device)
    ours = Training.begin(trainee, first, record_of(model, settings, 1000))
    del first
    loops: dict[str, Callable[[Int[np.ndarray, "window pos"]], None]] = {
        "by hand": lambda each: hand(torch.from_numpy(each).long().to(model.device)),
        "tracer": lambda each: ours.step(read_activations(model, each, 1, settings.layers)),
        "forward pass alone": lambda each: model.read(torch.from_numpy(each).long(), []),
    }
    times: dict[str, list[Timed]] = {name: [] for name in loops}
    for number, each in enumerate(ids):
        for name, loop in loops.items():
            taken = timed(partial(loop, each))
            if number:  # the first one warms up
                times[name].append(taken)
    n = asked.windows * (LENGTH - 1)
    for name, found in times.items():
        clock = statistics.median(each.clock for each in found)
        processor = statistics.median(each.processor for each in found)
        out.write(
            f"{name:20} {clock:7.2f} s a step, {processor:7.2f} s of the processor, "
            f"{n / clock:7.0f} tokens a second\n"
        )
    for number, what in enumerate(("clock", "processor")):
        mine = statistics.median(each[number] for each in times["tracer"])
        other = statistics.median(each[number] for each in times["by hand"])
        out.write(f"{what}: {mine / other:.2f} times the loop by hand\n")
    out.write(f"peak memory of both loops together {peak_bytes(model.device) / 1e9:.1f} GB\n")


if __name__ == "__main__":
    main()
