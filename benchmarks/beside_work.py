"""A pass with other work beside it, and alone: threads that wait passively, and that spin.

    python benchmarks/beside_work.py --tokens 36

Each way is a process of its own, as OpenMP reads its settings once. They take turns; medians are
told as multiples of the fastest way in the same surroundings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from time import perf_counter

WAYS = {
    "passive, all threads": {"OMP_WAIT_POLICY": "PASSIVE"},
    "passive, one thread": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
    "spinning, all threads": {"OMP_WAIT_POLICY": "ACTIVE"},
}
"""The first is what `import tracer` sets."""
PASSES = 7


def one_way(n_tokens: int) -> float:
    """Median seconds of a clean pass in this process."""
    import torch

    from tracer.engine.progress import Silent
    from tracer.engine.session import open_both
    from tracer.hypothesis.spec import ModelSpec

    model = open_both(ModelSpec(name="gemma-3-270m"), "neurons", Silent()).model
    ids = torch.arange(1000, 1000 + n_tokens)
    model.clean(ids, [])
    return statistics.median(_timed(model, ids) for _ in range(PASSES))


def _timed(model, ids) -> float:
    start = perf_counter()
    model.clean(ids, [])
    return perf_counter() - start


def measured(way: str, n_tokens: int) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--tokens", str(n_tokens), "--here"]
    done = subprocess.run(
        command, env=os.environ | WAYS[way], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Measure every way alone, then beside a busy process, and tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tokens", type=int, default=36)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.here:
        print(one_way(chosen.tokens))
        return
    for n_busy in (0, 1):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_busy)]
        try:
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(chosen.rounds):
                for way, seconds in found.items():
                    seconds.append(measured(way, chosen.tokens))
        finally:
            for process in busy:
                process.kill()
        medians = {way: statistics.median(seconds) for way, seconds in found.items()}
        best = min(medians.values())
        print(f"{chosen.tokens} tokens, {n_busy} busy processes beside it:")
        for way, seconds in medians.items():
            print(f"  {way:24} {seconds:.3f} s, {seconds / best:.2f} times the best")


if __name__ == "__main__":
    main()
