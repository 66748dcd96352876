"""The tensors beside a record: which are there, and that they fit it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tracer.errors import UsageError
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.record.record import Record
from tracer.record.trials import CircuitRecord, Trial

if TYPE_CHECKING:
    import numpy as np

Arrays = Mapping[str, "np.ndarray"]
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


def procedure_key(intervention: str, prompt: str, what: str) -> str:
    """Where the procedure-matched controls of one trial are, in the order of `Trial.procedure`."""
    return f"procedure/{intervention}/{prompt}/{what}"


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
    missing = (f"{key!r} is missing" for key in _forms(record) if key not in arrays)
    _refuse(record, [*missing, *_misfits(record, arrays)])


def check_forms(record: Record, arrays: Arrays) -> None:
    """Make sure that those arrays that are there have their shape; others may be missing.

    Raises:
        UsageError: As `check_arrays`.
    """
    _refuse(record, list(_misfits(record, arrays)))


def _refuse(record: Record, wrong: list[str]) -> None:
    if wrong:
        begin = f"run {record.id}: its measurements do not fit its record"
        raise UsageError("\n".join(f"{begin}: {sentence}." for sentence in wrong))


class _Form(NamedTuple):
    """What an array must be; `kind` is numpy's."""

    shape: tuple[int, ...]
    kind: str


def _misfits(record: Record, arrays: Arrays) -> Iterator[str]:
    for key, (shape, kind) in _forms(record).items():
        found = arrays.get(key)
        if found is not None and found.shape != shape:
            yield f"{key!r} has shape {list(found.shape)}, not {list(shape)}"
        elif found is not None and found.dtype.kind != kind:
            yield f"{key!r} holds {found.dtype}"


def _forms(record: Record) -> dict[str, _Form]:
    """Every array that the record speaks of."""
    forms: dict[str, _Form] = {}
    for name, intervention in record.interventions.items():
        for prompt, trial in intervention.trials.items():
            forms |= _of_trial(name, prompt, trial)
    for name, circuit in record.circuit.items():
        for prompt, trial in circuit.trials.items():
            forms |= _of_circuit(name, prompt, circuit) if trial.scores is not None else {}
    for name, found in record.shared.items():
        n = len(record.hypothesis.studies_of(SharedSpec)[name].translations)
        forms[overlap_key(name)] = _Form((len(found.pairs), found.n_layers, n, n), "f")
    return forms


def _of_trial(intervention: str, prompt: str, trial: Trial) -> dict[str, _Form]:
    found: dict[str, _Form] = {}
    for key, n in ((control_key, trial.n_controls), (procedure_key, len(trial.procedure))):
        forms = {
            "logits": _Form((n, len(trial.control_tokens)), "f"),
            "logsumexp": _Form((n,), "f"),
            "top": _Form((n,), "i"),
        }
        if trial.attends and key is control_key:
            forms["attends"] = _Form((n, len(trial.attends)), "f")
        if n:
            found |= {key(intervention, prompt, what): form for what, form in forms.items()}
    return found


def _of_circuit(name: str, prompt: str, circuit: CircuitRecord) -> dict[str, _Form]:
    sizes = {
        "random": circuit.n_random,
        "random_rest": circuit.n_random,
        "without": len(circuit.groups),
        "filler": circuit.n_fillers,
        "curve": len(circuit.sizes),
    }
    return {circuit_key(name, prompt, what): _Form((n,), "f") for what, n in sizes.items()}
