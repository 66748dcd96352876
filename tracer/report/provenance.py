"""Where a run's numbers came from, and the command that makes them again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tracer.record import Record
from tracer.registration import when
from tracer.report.limits import MAX_FILE, middle_out
from tracer.report.text import number


@dataclass(frozen=True)
class Provenance:
    """The report's last section but one."""

    command: str
    facts: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    seconds: tuple[tuple[str, str], ...]
    yaml: str


def command(record: Record) -> str:
    """What to type to measure this again, overrides included."""
    words = ["tracer", "run", record.file]
    for override in record.overrides:
        words += ["--set", override]
    return shlex.join(words)


def provenance(record: Record) -> Provenance:
    """Everything a reader needs to trust or repeat the run."""
    model, environment = record.model, record.environment
    facts = {
        "Run": record.id,
        "Started": record.started,
        "Hypothesis file": record.file,
        "SHA-256 of the hypothesis as run": record.sha256,
        "Registered": _registered(record),
        "Fingerprint of the measurement": record.fingerprint,
        "Model": f"{model.name} ({model.architecture}, {model.n_layers} layers, "
        f"width {model.d_model}, {model.d_vocab:,} tokens)",
        "Weights from": model.source + (f", revision {model.revision}" if model.revision else ""),
        "Fingerprint of the weights": model.fingerprint,
        "Number type, device": f"{model.dtype}, {model.device}",
        "Feature basis": record.basis,
        "Seed": str(record.hypothesis.seed),
        "Matched controls asked for": str(record.hypothesis.controls.random),
        "Read from the cache": f"{len(record.cached)} of {_n_trials(record)} trials",
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


def _registered(record: Record) -> str:
    if record.registration is None:
        return "not before it was measured"
    return f"{when(record.registration)}, SHA-256 {record.registration.sha256}"


def _n_trials(record: Record) -> int:
    return sum(len(each.trials) for each in record.interventions.values())
