"""Who belongs to each supernode, and how it was found, in words.

Where a run's numbers came from, and the command that makes them again.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tracer.hypothesis.clamps import Direction, LogitDiffDirection, TokenDirection
from tracer.record.record import Record, SupernodeRecord
from tracer.record.registration import when
from tracer.report.limits import MAX_FILE, MAX_MEMBERS, cut, each_of, middle_out
from tracer.report.text import number, percent, plural, visible_token

_FEWEST = 20
"""Members of each supernode that are listed, however many supernodes there are."""


@dataclass(frozen=True)
class MemberRow:
    """A feature of a supernode."""

    layer: int
    index: int
    where: str
    score: str


@dataclass(frozen=True)
class SupernodeView:
    """A supernode and how it was found."""

    name: str
    label: str
    summary: str
    rule: str
    members: tuple[MemberRow, ...]
    unlisted: str
    """How many more members there are; empty where all are listed."""


def supernode_views(record: Record) -> tuple[SupernodeView, ...]:
    """Every supernode of a run."""
    most = each_of(MAX_MEMBERS, len(record.supernodes), _FEWEST)
    return tuple(supernode_view(record, each, most) for each in record.supernodes.values())


def supernode_view(
    record: Record, supernode: SupernodeRecord, most: int = MAX_MEMBERS
) -> SupernodeView:
    """A supernode, ready to be written out, with so many of its members."""
    listed = cut(supernode.features, most, "members", "run.json")
    layers = [f.layer for f in supernode.features]
    span = f", layers {min(layers)} to {max(layers)}" if layers else ""
    share = supernode.share
    carried = f", {percent(share)} of the positive attribution" if share is not None else ""
    return SupernodeView(
        name=supernode.name,
        label=supernode.label,
        summary=plural(len(supernode.features), "feature") + span + carried,
        rule=_rule(record, supernode),
        members=tuple(
            MemberRow(
                layer=f.layer,
                index=f.index,
                where=f"token {f.position}" if f.position is not None else _offset(f.offset),
                score="–" if f.score is None else f"{f.score:.4g}".replace("-", "−"),
            )
            for f in listed.kept
        ),
        unlisted=listed.told,
    )


def _offset(offset: int) -> str:
    return "anchor" if offset == 0 else f"anchor − {offset}"


def _rule(record: Record, supernode: SupernodeRecord) -> str:
    """How a supernode was found, in a sentence."""
    spec = record.hypothesis.supernodes.get(supernode.name)
    where = f"at {supernode.at} ({supernode.anchor} token)"
    mean = f" Its own activation is the mean on {', '.join(supernode.source)}."
    sources = mean if supernode.source else ""
    if spec is None or spec.select is None:
        return f"Given by explicit ids, put {where}." + sources
    rule = spec.select
    kept = f"the {rule.top} strongest" if rule.top else "the strongest"
    if rule.share is not None:
        kept = f"the strongest that carry {percent(rule.share)} of the positive attribution"
    against = f" minus that on {', '.join(rule.against)}" if rule.against else ""
    layers = f" in layers {rule.layers[0]} to {rule.layers[1]}" if rule.layers else ""
    pool = f" of {supernode.n_candidates:,} features" if supernode.n_candidates else ""
    return (
        f"Found by a rule: {kept}{pool}{layers} {where}, by (mean activation on "
        f"{', '.join(rule.on)}{against}) × mean gradient toward {_direction(rule.toward)}."
        + sources
    )


def _direction(toward: Direction) -> str:
    match toward:
        case TokenDirection():
            return f"the logit of {visible_token(toward.token)}"
        case LogitDiffDirection():
            first, second = (visible_token(token) for token in toward.logit_diff)
            return f"logit({first}) − logit({second})"
        case _:
            return "the logit of each prompt's answer"


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
