"""How much the linear sweep saves over batched autograd: the same edges, both ways, in one run.

    python benchmarks/graphs.py [--case NAME] [--rounds 3]
    python benchmarks/graphs.py --long

Both ways start from a frozen prompt and the features of its graph. Autograd (`rival.py`) takes the
targets in either of two orders, as they are picked or sorted by layer; in each it first tries its
batch sizes and keeps the one that promises to be quickest. Then sweep and both rivals alternate;
medians over rounds, their ratio and the ratio of every round are printed, after what the ways'
edges differ by: a fast wrong answer is no result. Where autograd would take longer than
`AUTOGRAD_SECONDS` only some of its batches are timed, evenly spread, and the output says so.
`--long` graphs a prompt of a thousand tokens in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from graph_task import TEXT, Task, open_model, opened, prompt, start, toward
from operations import SQUARE, operations, operations_backward, square_speed
from rival import Timed, as_picked, from_above, run, try_sizes
from torch import Tensor

from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.sweep import plan_sweep, sweep
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.model.model import Model
from tracer.engine.progress import Silent
from tracer.errors import ModelUnavailable

LONG_TEXT = Path(__file__).parent.parent / "README.md"
LONG_TOKENS, LONG_FEATURES = 1000, 2048
RIVALS = {"as picked": as_picked, "from above": from_above}
AUTOGRAD_SECONDS = 20.0
"""What one run of autograd may take before only some of its batches are run."""
out = sys.stdout


class Case(NamedTuple):
    """One graph."""

    model: str
    tokens: int
    features: int | None
    """None keeps all that reach a target."""
    is_whole: bool = False
    """Whether a whole `attribute` call is timed as well."""

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.model}-{self.tokens}-{self.features or 'all'}"


CASES = (
    Case("gemma-3-270m", 12, 512),
    Case("gemma-3-270m", 12, 2048),
    Case("gemma-3-270m", 40, 512),
    Case("gemma-3-270m", 40, 2048, is_whole=True),
    Case("smollm2-135m", 12, 512),
    Case("smollm2-135m", 12, 2048),
    Case("smollm2-135m", 12, None),
    Case("smollm2-135m", 40, 512),
    Case("smollm2-135m", 40, 2048),
    Case("smollm2-135m", 40, None),
)


class Round(NamedTuple):
    """One way after the other, and a matrix product."""

    sweep: float
    rivals: dict[str, Timed]
    error: float
    square: float
    """Operations per second of a square matrix product."""


def take_round(task: Task, best: dict[str, Timed]) -> Round:
    """Sweep, then autograd in each order at its best batch size, then a matrix product."""
    started = time.perf_counter()
    plan = plan_sweep(task.graph)
    swept = sweep(task.graph, plan, lambda n: None)
    seconds = time.perf_counter() - started
    rivals: dict[str, Timed] = {}
    error = 0.0
    for name, tried in best.items():
        rival = run(task, RIVALS[name], tried.size, batches_to_run(tried))
        for rows, edges in zip(rival.done, rival.edges, strict=True):
            error = max(error, difference(swept.edges[:, rows].T, edges))
        rivals[name] = rival.without_edges()
    return Round(seconds, rivals, error, square_speed())


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference in a row, over the row's largest edge."""
    largest = theirs.abs().amax(1).clamp_min(1e-30)
    return float(((ours - theirs).abs().amax(1) / largest).max())


def batches_to_run(found: Timed) -> int:
    """All, or as many as fit into `AUTOGRAD_SECONDS`, but three at least."""
    share = (AUTOGRAD_SECONDS - found.start) / found.batches
    return found.n_batches if share >= 1 else max(3, int(found.n_batches * share))


def report(case: Case, model: Model, basis: FeatureBasis, n_rounds: int) -> None:
    """Measure one case and print it."""
    task = start(model, basis, case.tokens, case.features)
    tried = {name: try_sizes(task, ordering) for name, ordering in RIVALS.items()}
    best = {name: min(sizes, key=lambda each: each.seconds) for name, sizes in tried.items()}
    rounds = [take_round(task, best) for _ in range(n_rounds)]
    out.write(
        f"{case.name}: {task.chosen.n} {_kind(basis)} "
        f"of {sum(len(x.values) for x in task.frozen.active)} active, "
        f"{task.n_targets} targets; {torch.get_num_threads()} threads; {n_rounds} rounds; largest "
        f"error {max(each.error for each in rounds):.1e} of a row's maximum\n"
        f"  sweep {listed([each.sweep for each in rounds])}\n"
    )
    for name in RIVALS:
        report_rival(name, tried[name], rounds)
    if case.is_whole:
        report_whole(case, model, basis, n_rounds)
    report_rate(task, rounds)


def _kind(basis: FeatureBasis) -> str:
    return "neurons" if isinstance(basis, NeuronBasis) else "features of random transcoders"


def report_rival(name: str, tried: list[Timed], rounds: list[Round]) -> None:
    """Seconds of autograd in one order, and what the sweep saves over it."""
    ours = [each.sweep for each in rounds]
    theirs = [each.rivals[name].seconds for each in rounds]
    fixed = statistics.median(each.rivals[name].start for each in rounds)
    rival = rounds[0].rivals[name]
    promised = ", ".join(f"{each.size}: {each.seconds:.2f} s" for each in tried)
    ratios = ", ".join(f"{b / a:.1f}" for a, b in zip(ours, theirs, strict=True))
    part = f"{len(rival.done)} timed and scaled" if len(rival.done) < rival.n_batches else "all run"
    out.write(
        f"  autograd, targets {name}: {listed(theirs)}; {rival.n_batches} batches of {rival.size}, "
        f"{part}; {fixed:.2f} s of it for the forward pass and the sources\n"
        f"    by batch size, from some batches of each: {promised}\n"
        f"    sweep is {statistics.median(theirs) / statistics.median(ours):.1f}x faster "
        f"(single rounds {ratios})\n"
    )


def report_whole(case: Case, model: Model, basis: FeatureBasis, n: int) -> None:
    """Seconds from a prompt to its graph."""
    seconds: list[float] = []
    for _ in range(n):
        started = time.perf_counter()
        graph_of(model, basis, prompt(model, TEXT, case.tokens), case.features or 0)
        seconds.append(time.perf_counter() - started)
    out.write(f"  attribute {listed(seconds)}: freezing, ranking and choosing included\n")


def report_rate(task: Task, rounds: list[Round]) -> None:
    """How near the sweep is to a matrix product."""
    work, backward = operations(task), operations_backward(task)
    seconds = statistics.median(each.sweep for each in rounds)
    square = statistics.median(each.square for each in rounds)
    out.write(
        f"  sweep: {work / 1e9:.0f} GFLOP at {work / seconds / 1e9:.0f} GFLOP/s, "
        f"{work / seconds / square:.2f} of a {SQUARE}² matrix product's {square / 1e9:.0f}\n"
        f"    carrying every target backward would be {backward / 1e9:.0f} GFLOP: at the matrix "
        f"product's rate {backward / square:.2f} s, {backward / square / seconds:.2f} of the "
        f"sweep's\n"
    )


def listed(seconds: list[float]) -> str:
    """The median and what it is of."""
    each = " ".join(f"{n:.2f}" for n in seconds)
    return f"{statistics.median(seconds):.2f} s ({each})"


def graph_of(model: Model, basis: FeatureBasis, ids: Tensor, n: int) -> None:
    """A whole graph, as a user asks for it."""
    attributed(model, basis, ids, partial(toward, model), n, Silent())


def report_long() -> None:
    """A long prompt alone in this process: seconds, and the peak with and without it."""
    model = open_model("gemma-3-270m")
    basis = NeuronBasis(model)
    ids = prompt(model, LONG_TEXT.read_text(encoding="utf-8"), LONG_TOKENS)
    before = peak_mb()
    started = time.perf_counter()
    graph_of(model, basis, ids, LONG_FEATURES)
    out.write(
        f"gemma-3-270m, {LONG_TOKENS} tokens, {LONG_FEATURES} neurons; {torch.get_num_threads()} "
        f"threads: {time.perf_counter() - started:.1f} s, peak {peak_mb():.0f} MB, "
        f"{before:.0f} MB of it before\n"
    )


def peak_mb() -> float:
    """This process's peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        report_long()
        return
    if options.long:
        subprocess.run([sys.executable, __file__, "--alone"], check=True)
        return
    cases = [case for case in CASES if options.case in (None, case.name)]
    for name in dict.fromkeys(case.model for case in cases):
        try:
            with opened(name) as (model, basis):
                for case in cases:
                    if case.model == name:
                        report(case, model, basis, options.rounds)
        except ModelUnavailable as error:
            out.write(f"{name} is left out: {error}\n")


if __name__ == "__main__":
    main()
