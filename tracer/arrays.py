"""The tensors beside a record: which are there, and that they fit it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracer.errors import UsageError
from tracer.record import Record, Trial

Arrays = Mapping[str, np.ndarray]
"""By name, as in the safetensors file."""


def trial_name(intervention: str, prompt: str) -> str:
    """What a trial is called where a record lists some."""
    return f"{intervention}/{prompt}"


def control_key(intervention: str, prompt: str, what: str) -> str:
    """Where the controls of one trial are; `what` is logits, logsumexp or top."""
    return f"controls/{intervention}/{prompt}/{what}"


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
    if wrong:
        raise UsageError("\n".join(wrong))


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
        kind = "i" if what == "top" else "f"
        if key not in arrays:
            found.append(f"{key!r} is missing")
        elif arrays[key].shape != shape:
            found.append(f"{key!r} has shape {list(arrays[key].shape)}, not {list(shape)}")
        elif arrays[key].dtype.kind != kind:
            found.append(f"{key!r} holds {arrays[key].dtype}")
    return found
