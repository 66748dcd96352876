"""Where a run's numbers came from, and the command that reproduces them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tracer.record.record import ModelRecord, Record
from tracer.record.registration import when
from tracer.report.limits import MAX_FILE, middle_out
from tracer.report.text import number


@dataclass(frozen=True)
class Provenance:
    """Everything a reader needs to trust or repeat the run."""

    command: str
    facts: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    seconds: tuple[tuple[str, str], ...]
    yaml: str


def _products(model: ModelRecord) -> str:
    """How a GPU multiplies float32, which has a shorter way that is never taken."""
    is_short = model.device.startswith("cuda") and model.dtype == "float32"
    return "; products in full float32, TF32 off" if is_short else ""


def command(record: Record) -> str:
    """What to type to measure this again, overrides included."""
    overrides = [word for each in record.overrides for word in ("--set", each)]
    return shlex.join(["tracer", "run", record.file, *overrides])


def provenance(record: Record) -> Provenance:
    """Of a run, its long file without the middle."""
    model, environment = record.model, record.environment
    registered = "not before it was measured"
    if record.registration is not None:
        registered = f"{when(record.registration)}, SHA-256 {record.registration.sha256}"
    n_trials = sum(len(each.trials) for each in record.interventions.values())
    facts = {
        "Run": record.id,
        "Started": record.started,
        "Hypothesis file": record.file,
        "SHA-256 of the hypothesis as run": record.sha256,
        "Registered": registered,
        "Fingerprint of the measurement": record.fingerprint,
        "Model": f"{model.name} ({model.architecture}, {model.n_layers} layers, "
        f"width {model.d_model}, {model.d_vocab:,} tokens)",
        "Weights from": model.source + (f", revision {model.revision}" if model.revision else ""),
        "Fingerprint of the weights": model.fingerprint,
        "Number type, device": f"{model.dtype}, {model.device}" + _products(model),
        "Feature basis": record.basis,
        "Seed": str(record.hypothesis.seed),
        "Matched controls asked for": str(record.hypothesis.controls.random),
        "Read from the cache": f"{len(record.cached)} of {n_trials} trials",
        "tracer": environment.tracer,
        "Python": environment.python,
        "Platform": f"{environment.platform}, {environment.threads} threads",
    }
    return Provenance(
        command=command(record),
        facts=tuple(facts.items()),
        packages=tuple(sorted(environment.packages.items())),
        seconds=tuple((k, f"{number(v, 1)} s") for k, v in record.seconds.items()),
        yaml=middle_out(record.yaml, MAX_FILE),
    )
