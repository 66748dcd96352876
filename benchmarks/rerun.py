"""A hypothesis measured, and run again when the cache holds it: processor and wall time.

    python benchmarks/rerun.py hypotheses/two_hop.yaml

Each run is a process of its own: measured without the cache, then with it (which fills it, unless
it was filled before), then from it. Beside them stands what the clean passes and the rows take as
arithmetic alone, at the rate of a large matrix product here; graphs, ablations and imports are not
in that floor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDE = 2048
ROUNDS = 5


def timed(file: str, reports: Path, *more: str) -> tuple[float, float]:
    """Processor and wall seconds of one `tracer run`."""
    before, start = os.times(), time.monotonic()
    command = [sys.executable, "-m", "tracer", "run", file, "--out", str(reports), "-q", *more]
    subprocess.run(command, capture_output=True, check=False)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4]), time.monotonic() - start


def flops(reports: Path, config: Path) -> float:
    """Multiply-adds, counted as two, of a run's clean passes and rows."""
    from tracer.engine.cost import ModelSize
    from tracer.engine.model.hf_folder import read_config
    from tracer.record import run_folder
    from tracer.record.runs import resolve

    size = ModelSize.from_config(read_config(config))
    assert size is not None
    record = run_folder.read_record(resolve("latest", reports))
    lengths = {name: len(prompt.token_ids) for name, prompt in record.prompts.items()}
    total = sum(map(size.flops, lengths.values()))
    for intervention in record.interventions.values():
        for name, trial in intervention.trials.items():
            start = min((min(clamp.positions) for clamp in trial.clamps), default=lengths[name] - 1)
            n_rows = 1 + len(trial.doses) + trial.n_controls + len(trial.procedure)
            total += n_rows * size.flops(lengths[name] - start)
    return total


def rate() -> float:
    """FLOP a wall second of a large matrix product, the best of a few."""
    import torch

    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.monotonic()
        torch.mm(a, b)
        best = min(best, time.monotonic() - start)
    return 2 * SIDE**3 / best


def main() -> None:
    """Time the three runs, and tell them beside the floor."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", nargs="?", default="hypotheses/two_hop.yaml")
    options.add_argument("--config", type=Path, help="folder with the model's config.json")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        measured = timed(chosen.file, reports, "--no-cache")
        timed(chosen.file, reports)
        copied = timed(chosen.file, reports)
        for name, (processor, wall) in (("measured", measured), ("from the cache", copied)):
            print(f"{name}: {processor:.1f} s of processor time, {wall:.1f} s by the clock")
        print(f"measured takes {measured[0] / copied[0]:.0f} times the processor time")
        if chosen.config is not None:
            work, speed = flops(reports, chosen.config), rate()
            print(
                f"floor of clean passes and rows: {work / 1e12:.2f} TFLOP at {speed / 1e9:.0f} "
                f"GFLOP/s, {work / speed:.1f} s; measured takes {measured[1] * speed / work:.0f} "
                "times that by the clock"
            )


if __name__ == "__main__":
    main()
