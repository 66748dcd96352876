"""What a run comes down to when it is compared: a small file that is kept beside a hypothesis.

Everything has a stable id (hypothesis, intervention, expectation, split, prompt, token, feature),
so that two runs are matched by what they say and never by order. The file of a blessed run changes
only when the hypothesis is blessed again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from tracer.errors import UsageError
from tracer.evidence.case import log_probability
from tracer.hypothesis.heads import head_id
from tracer.hypothesis.load import as_declared
from tracer.hypothesis.spec import Expected
from tracer.record.files import Recorded, as_json, read_model, write_text
from tracer.record.record import (
    BasisRecord,
    FeatureRef,
    ModelRecord,
    PromptRecord,
    Record,
    SupernodeRecord,
)
from tracer.record.testable import unusable
from tracer.record.trials import InterventionRecord, Reading, Trial
from tracer.record.verdict import Outcome, OutcomeName, SplitName, Verdict, VerdictName

SCHEMA = "tracer.baseline/1"
FOLDER = "baselines"
_DEFAULT = Path("hypotheses")
_DIGITS = 4


class Tolerances(Recorded):
    """How much may change before it is called a difference.

    The defaults let pass what another device does in bfloat16, whose logits are spaced by 0.125
    between 16 and 32, and where about 0.85 of the features stay the same; in float32 the same
    machine repeats everything to five digits.
    """

    overlap: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Least share of a supernode's members that two runs have in common, of all "
        "that either has (Jaccard).",
    )
    effect: float = Field(
        default=0.25,
        ge=0,
        allow_inf_nan=False,
        description="Most that an effect may move, in nats: a token's log-probability clamped "
        "less unclamped.",
    )
    share: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="Most that it may move as a share of itself; the larger of the two counts.",
    )


class KeptOutcome(Recorded):
    """One expectation on one split."""

    intervention: str
    split: SplitName
    expectation: str
    expected: str
    observed: str
    outcome: OutcomeName
    prompts: dict[str, OutcomeName]


class Essentials(Recorded):
    """One run, as a baseline keeps it."""

    schema_: Literal["tracer.baseline/1"] = Field(default=SCHEMA, alias="schema")
    hypothesis: str
    run: str
    verdict: VerdictName
    expected: Expected
    tolerances: Tolerances = Tolerances()
    tracer: str
    packages: dict[str, str]
    model: ModelRecord
    basis: str
    dictionary: BasisRecord | None
    outcomes: tuple[KeptOutcome, ...]
    effects: dict[str, dict[str, dict[str, float]]] = Field(
        description="Clamped − unclamped log-probability: by intervention, prompt and token."
    )
    supernodes: dict[str, tuple[str, ...]] = Field(
        description="Members: layer_index, then _position, or @offset left of the span's anchor."
    )
    tokens: dict[str, str] = Field(description="Beginning of the SHA-256 of a prompt's token ids.")
    declared: dict[str, Any] = Field(description="The hypothesis, defaults left out.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def essentials(
    record: Record, verdict: Verdict, tolerances: Tolerances | None = None
) -> Essentials:
    """What of a judged run is compared."""
    return Essentials(
        hypothesis=verdict.hypothesis,
        run=record.id,
        verdict=verdict.verdict,
        expected=verdict.expected,
        tolerances=tolerances or Tolerances(),
        tracer=record.environment.tracer,
        packages=record.environment.packages,
        model=record.model,
        basis=record.basis,
        dictionary=record.dictionary,
        outcomes=tuple(map(_outcome, verdict.outcomes)),
        effects={name: _effects(record, each) for name, each in record.interventions.items()},
        supernodes={name: _members(each) for name, each in record.supernodes.items()},
        tokens={name: _hash(prompt) for name, prompt in record.prompts.items()},
        declared=as_declared(record.hypothesis),
    )


def _outcome(outcome: Outcome) -> KeptOutcome:
    return KeptOutcome(
        intervention=outcome.intervention,
        split=outcome.split,
        expectation=outcome.expectation,
        expected=outcome.expected,
        observed=outcome.observed,
        outcome=outcome.outcome,
        prompts={prompt.prompt: prompt.outcome for prompt in outcome.prompts},
    )


def _effects(record: Record, made: InterventionRecord) -> dict[str, dict[str, float]]:
    return {
        prompt: _effect(record.prompts[prompt].baseline, trial)
        for prompt, trial in made.trials.items()
        if trial.problem is None
    }


def _effect(clean: Reading, trial: Trial) -> dict[str, float]:
    """Each token's change; one that was not read, or has no finite logarithm, is left out."""
    clamped = trial.reading
    if unusable(clean) or unusable(clamped):
        return {}
    changes = {
        token: log_probability(clamped, token) - log_probability(clean, token)
        for token in clamped.tokens
        if token in clean.tokens
    }
    return {token: round(v, _DIGITS) for token, v in changes.items() if math.isfinite(v)}


def _members(supernode: SupernodeRecord) -> tuple[str, ...]:
    heads = sorted(supernode.heads, key=lambda ref: (ref.layer, ref.head, ref.offset))
    ordered = sorted(supernode.features, key=lambda ref: (ref.layer, ref.index, ref.offset))
    named = [_at_offset(head_id(ref.layer, ref.head), ref.offset) for ref in heads]
    return tuple(dict.fromkeys([*named, *map(_member, ordered)]))


def _member(ref: FeatureRef) -> str:
    if ref.position is not None:
        return f"{ref.layer}_{ref.index}_{ref.position}"
    return _at_offset(f"{ref.layer}_{ref.index}", ref.offset)


def _at_offset(name: str, offset: int) -> str:
    return f"{name}@{offset}" if offset else name


def _hash(prompt: PromptRecord) -> str:
    return hashlib.sha256(json.dumps(prompt.token_ids).encode()).hexdigest()[:16]


def home(file: str) -> Path:
    """The folder of a baseline: beside the hypothesis file, where that is here."""
    return (Path(file).parent if os.path.isfile(file) else _DEFAULT) / FOLDER


def in_folder(folder: Path, hypothesis: str) -> Path:
    """Where a folder keeps the baseline of a hypothesis."""
    return folder / f"{hypothesis}.json"


def bless(kept: Essentials, path: Path) -> Path:
    """Keep a run as the one that later ones are compared with.

    Raises:
        OSError: It cannot be written; an older baseline stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, as_json(kept))
    return path


def read_baseline(path: Path) -> Essentials:
    """Read a blessed run.

    Raises:
        UsageError: There is none, or it is not one that this version reads.
    """
    if not os.path.isfile(path):
        raise UsageError(f"{path}: there is no baseline here; `tracer bless RUN` makes one.")
    return read_model(path, Essentials, SCHEMA)
