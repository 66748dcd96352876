"""The tensors beside a record: which are there, and that they fit it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tracer.errors import UsageError
from tracer.record import CircuitRecord, Record, Trial

Arrays = Mapping[str, np.ndarray]
"""By name, as in the safetensors file."""


class Observed(NamedTuple):
    """A record and the arrays it names."""

    record: Record
    arrays: Arrays


Variants = Mapping[str, Observed]
"""The variations of a run that were measured, by name."""


def trial_name(intervention: str, prompt: str) -> str:
    """What a trial is called where a record lists some."""
    return f"{intervention}/{prompt}"


def control_key(intervention: str, prompt: str, what: str) -> str:
    """Where the controls of one trial are; `what` is logits, logsumexp or top."""
    return f"controls/{intervention}/{prompt}/{what}"


def circuit_key(circuit: str, prompt: str, what: str) -> str:
    """Where the scores of one circuit on one prompt are; see `CircuitTrial`."""
    return f"circuit/{circuit}/{prompt}/{what}"


def overlap_key(shared: str) -> str:
    """Where the overlaps of one claim of shared representation are: [pair, layer, list, list]."""
    return f"shared/{shared}/overlap"


def check_arrays(record: Record, arrays: Arrays) -> None:
    """Make sure that every array a record speaks of is there, in its shape.

    Raises:
        UsageError: They are not; all that is wrong, one sentence each.
    """
    wrong = [
        f"run {record.id}: its measurements do not fit its record: {sentence}."
        for name, intervention in record.interventions.items()
        for prompt, trial in intervention.trials.items()
        for sentence in _misfits(name, prompt, trial, arrays)
    ]
    wrong += [
        f"run {record.id}: its measurements do not fit its record: {sentence}."
        for name, circuit in record.circuit.items()
        for prompt, trial in circuit.trials.items()
        if trial.scores is not None
        for sentence in _circuit_misfits(name, prompt, circuit, arrays)
    ]
    wrong += [
        f"run {record.id}: its measurements do not fit its record: {sentence}."
        for name in record.shared
        for sentence in _shared_misfits(record, name, arrays)
    ]
    if wrong:
        raise UsageError("\n".join(wrong))


def _shared_misfits(record: Record, name: str, arrays: Arrays) -> list[str]:
    key, found = overlap_key(name), record.shared[name]
    n = len(record.hypothesis.shared[name].translations)
    shape = (len(found.pairs), found.n_layers, n, n)
    if key not in arrays:
        return [f"{key!r} is missing"]
    if arrays[key].shape != shape:
        return [f"{key!r} has shape {list(arrays[key].shape)}, not {list(shape)}"]
    return [] if arrays[key].dtype.kind == "f" else [f"{key!r} holds {arrays[key].dtype}"]


def _misfits(intervention: str, prompt: str, trial: Trial, arrays: Arrays) -> list[str]:
    if trial.n_controls == 0:
        return []
    shapes = {
        "logits": (trial.n_controls, len(trial.control_tokens)),
        "logsumexp": (trial.n_controls,),
        "top": (trial.n_controls,),
    }
    found: list[str] = []
    for what, shape in shapes.items():
        key = control_key(intervention, prompt, what)
        found += _misfit(key, arrays, shape, "i" if what == "top" else "f")
    return found


def _circuit_misfits(
    name: str, prompt: str, circuit: CircuitRecord, arrays: Arrays
) -> Iterator[str]:
    sizes = {
        "random": circuit.n_random,
        "random_rest": circuit.n_random,
        "without": len(circuit.groups),
        "filler": circuit.n_fillers,
        "curve": len(circuit.sizes),
    }
    for what, size in sizes.items():
        yield from _misfit(circuit_key(name, prompt, what), arrays, (size,), "f")


def _misfit(key: str, arrays: Arrays, shape: tuple[int, ...], kind: str) -> Iterator[str]:
    if key not in arrays:
        yield f"{key!r} is missing"
    elif arrays[key].shape != shape:
        yield f"{key!r} has shape {list(arrays[key].shape)}, not {list(shape)}"
    elif arrays[key].dtype.kind != kind:
        yield f"{key!r} holds {arrays[key].dtype}"
