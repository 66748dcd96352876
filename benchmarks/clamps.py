"""How much batching and prefix reuse save: the same clamps by hand in plain PyTorch, and ours.

    python benchmarks/clamps.py [--rows 99] [--rounds 5] [--device cpu]

The clamps are the matched controls of `texas_to_california` in `benchmarks/swap.yaml` on its
first prompt. Ways alternate within a round; medians over rounds and their ratios are printed. All
ways' logits are compared first: a fast wrong answer is no result.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tracer.engine.batches import BatchLimit, Row, batch_limit
from tracer.engine.clamps import assign, resolve_clamps
from tracer.engine.controls import draw_controls
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.forward import run_rows
from tracer.engine.model.model import Model
from tracer.engine.model.weights import Weights, open_weights
from tracer.engine.progress import Silent
from tracer.engine.resolve import MeasurementContext, open_context
from tracer.hypothesis.load import read
from tracer.hypothesis.tokens import tokenize

FILE = Path(__file__).parent / "swap.yaml"
INTERVENTION = "texas_to_california"
Places = dict[tuple[int, int, int], float]


def by_hand(weights: Weights, ids: Tensor, rows: list[Places], keep: int) -> Tensor:
    """Full passes of Hugging Face's model, hidden units set by hooks on the down projections."""
    layers = weights.hf_model.model.layers

    def setter(layer: int) -> Callable[..., tuple[Tensor, ...]]:
        def hook(module: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden = args[0].clone()
            for n, values in enumerate(rows):
                for (at, pos, index), value in values.items():
                    if at == layer:
                        hidden[n, pos, index] = value
            return (hidden, *args[1:])

        return hook

    handles = [
        block.mlp.down_proj.register_forward_pre_hook(setter(n)) for n, block in enumerate(layers)
    ]
    with torch.no_grad():
        tokens = ids.expand(len(rows), -1).to(weights.hf_model.device)
        logits = weights.hf_model(tokens, logits_to_keep=keep, use_cache=False).logits[:, -1]
    for handle in handles:
        handle.remove()
    return logits


def open_all(device: str) -> tuple[Weights, MeasurementContext]:
    """The flagship hypothesis, opened as a run would."""
    file = read(str(FILE), (f"model.device={device}",) if device != "auto" else ())
    weights = open_weights(file.hypothesis.model_spec, Silent())
    model = Model(weights)
    prompts = tokenize(file, model.tokenizer, model.context)
    return weights, open_context(file, model, NeuronBasis(model), prompts, None, Silent())


def ways(
    weights: Weights, bench: MeasurementContext, rows: list[Places]
) -> dict[str, Callable[[], Tensor]]:
    """Each way to get the last logits of all rows."""
    prompt = bench.hypothesis.interventions[INTERVENTION].prompts[0]
    clean = bench.clean[prompt]

    def engine(limit: BatchLimit) -> Tensor:
        found = torch.empty(len(rows), clean.logits.numel(), device=clean.logits.device)
        clamped = [Row(values) for values in rows]
        for measured in run_rows(bench.model, bench.basis, clean, clamped, limit):
            found[measured.rows] = measured.logits
        return found

    def one_by_one(keep: int) -> Tensor:
        return torch.cat([by_hand(weights, clean.ids[None], [row], keep) for row in rows])

    def in_batches() -> Tensor:
        parts = [rows[n : n + 32] for n in range(0, len(rows), 32)]
        return torch.cat([by_hand(weights, clean.ids[None], part, 1) for part in parts])

    return {
        "one full pass per clamp, logits at all positions": lambda: one_by_one(0),
        "one full pass per clamp, last logits": lambda: one_by_one(1),
        "batching alone (32 full rows)": in_batches,
        "prefix reuse alone (one row at a time)": lambda: engine(BatchLimit(1)),
        "batched, with prefix reuse": lambda: engine(batch_limit(bench.model, clean)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=99)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    weights, bench = open_all(options.device)
    spec = bench.hypothesis.interventions[INTERVENTION]
    clean = bench.clean[spec.prompts[0]]
    clamps = resolve_clamps(spec, bench.supernodes, bench.clean, spec.prompts[0])
    rows = draw_controls(
        clamps, assign(clamps, clean), clean, bench.basis, {}, options.rows, "benchmark"
    )
    assert rows
    all_ways = ways(weights, bench, rows)
    logits = {name: way() for name, way in all_ways.items()}
    reference = next(iter(logits.values()))
    worst = max(float((found - reference).abs().max()) for found in logits.values())
    del logits, reference
    seconds: dict[str, list[float]] = {name: [] for name in all_ways}
    for _ in range(options.rounds):
        for name, way in all_ways.items():
            started = time.perf_counter()
            float(way()[0, 0])  # reading a number waits for the device
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) / len(rows) for name, each in seconds.items()}
    slowest, ours = next(iter(medians.values())), list(medians.values())[-1]
    out = sys.stdout
    out.write(
        f"{bench.model.record.name}, {bench.model.record.dtype} on {bench.model.device}, "
        f"{torch.get_num_threads()} threads; {len(clean.ids)} tokens, {len(rows)} clamps of "
        f"{len(rows[0])} features; {options.rounds} rounds; "
        f"largest difference between any two ways' logits {worst:.1e}\n"
    )
    for name, median in medians.items():
        out.write(
            f"{name:50} {median * 1000:7.1f} ms per clamp   {slowest / median:5.1f}x   "
            f"ours is {median / ours:5.1f}x faster\n"
        )


if __name__ == "__main__":
    main()
