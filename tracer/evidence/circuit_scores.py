"""A circuit's scores over the prompts of one split, raw and normalised, and its curve.

f(X) = (F(X) − F(∅)) / (F(M) − F(∅)), F the metric (Marks et al. 2024): 1 where X does all that the
model does beyond the ablated one. Faithfulness is f(C), completeness f(M∖C). Where the denominator
is small the quotient says nothing, and is not given.

The curve is faithfulness over circuit size. Its two areas are those of Mueller et al. 2025, *MIB: A
Mechanistic Interpretability Benchmark* (arXiv:2504.13151, §3.2): the axis is linear in the share k
of items, and integrals begin at the smallest share, as in MIB's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.record.arrays import Arrays, circuit_key
from tracer.record.record import Record
from tracer.record.testable import baseline_problem, found_on, source_problem
from tracer.record.trials import CircuitRecord, CircuitScores, CircuitTrial

SMALL = 0.25
"""|F(M) − F(∅)| below which nothing is divided by it: a quarter of a logit, odds of 1.28."""
KINDS = ("random", "random_rest", "without", "filler", "curve")
"""Arrays of a trial."""


@dataclass(frozen=True)
class SplitScores:
    """What was measured of a circuit on the prompts of one split that can be judged."""

    circuit: CircuitRecord | None
    scores: Mapping[str, CircuitScores]
    """By prompt."""
    problems: Mapping[str, str]
    """Why the other prompts cannot be judged."""
    arrays: Mapping[str, Float[np.ndarray, "prompt _"]]
    """Scores of random circuits and the like, a row for each prompt of `scores`."""

    def column(self, name: str) -> Float[np.ndarray, " prompt"]:
        """One of the raw scores."""
        return np.array([getattr(each, name) for each in self.scores.values()], dtype=np.float64)

    def mean(self) -> CircuitScores:
        """The raw scores averaged; there is a prompt at least."""
        names = CircuitScores.model_fields
        return CircuitScores(**{name: float(self.column(name).mean()) for name in names})


def scores_of(record: Record, arrays: Arrays, name: str, prompts: Sequence[str]) -> SplitScores:
    """A circuit's scores on some prompts."""
    circuit = record.circuit.get(name)
    problems: dict[str, str] = {}
    scores: dict[str, CircuitScores] = {}
    for prompt in prompts:
        trial = circuit.trials.get(prompt) if circuit else None
        if trial is None:
            problems[prompt] = "it was not measured: the run is incomplete"
        elif problem := _problem(record, name, prompt) or trial.problem:
            problems[prompt] = problem
        elif trial.scores and any(circuit_key(name, prompt, k) not in arrays for k in KINDS):
            problems[prompt] = "its measurements are missing"
        elif trial.scores is not None and _is_finite(trial, arrays, name):
            scores[prompt] = trial.scores
        else:
            problems[prompt] = "a score is not finite (NaN or infinite)"
    kinds = KINDS if scores else ()
    stacked = {
        kind: np.stack([arrays[circuit_key(name, prompt, kind)] for prompt in scores])
        for kind in kinds
    }
    return SplitScores(circuit, scores, problems, stacked)


def _is_finite(trial: CircuitTrial, arrays: Arrays, name: str) -> bool:
    raw = [] if trial.scores is None else list(trial.scores.model_dump().values())
    kept = [arrays[circuit_key(name, trial.prompt, kind)] for kind in KINDS]
    return bool(raw) and all(bool(np.isfinite(values).all()) for values in (raw, *kept))


def _problem(record: Record, name: str, prompt: str) -> str | None:
    """Why the model lacks on a prompt what the circuit is said to do."""
    own = baseline_problem(record.prompts[prompt])
    if own is not None:
        return own
    for supernode in record.hypothesis.studies_of(CircuitSpec)[name].supernodes:
        inherited = source_problem(record, supernode, found_on(record, supernode))
        if inherited is not None:
            return inherited
    return None


def too_small(scores: CircuitScores) -> bool:
    """Whether ablating everything moves the metric too little to divide by."""
    return not abs(scores.whole - scores.empty) >= SMALL


def normalised(value: float, scores: CircuitScores) -> float:
    """F of a raw score; only where the denominator is not `too_small`."""
    return (value - scores.empty) / (scores.whole - scores.empty)


def curve_of(split: SplitScores) -> tuple[float, ...]:
    """f(C_k) of the means over prompts, by share; () where there is none."""
    if split.circuit is None or not split.circuit.sizes or not split.scores:
        return ()
    mean = split.mean()
    if too_small(mean):
        return ()
    return tuple(normalised(float(f), mean) for f in split.arrays["curve"].mean(0))


class Areas(NamedTuple):
    """How good a ranking is over all circuit sizes."""

    cpr: float
    """Integrated circuit performance ratio, ∫ f(C_k) dk; higher is better."""
    cmd: float
    """Integrated circuit-model distance, ∫ |1 − f(C_k)| dk; 0 is best."""


def areas_of(curve: Sequence[float]) -> Areas:
    """CPR and CMD of a curve over `SHARES`, by trapezoids."""
    assert len(curve) == len(SHARES)
    distances = [abs(1 - f) for f in curve]
    return Areas(_trapezoid(SHARES, curve), _trapezoid(SHARES, distances))


def _trapezoid(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))
