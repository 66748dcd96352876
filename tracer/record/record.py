"""What a run observed: the contract that judging, report and dashboard read.

A run is a folder. `run.json` holds a `Record`; `measurements.safetensors` holds the arrays it names
(controls, activations). Nothing here says whether a claim held: `tracer.evidence.judge` does, whose
verdict stands in `verdict.json` beside it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from tracer.hypothesis.implied import Axis
from tracer.hypothesis.spec import Hypothesis
from tracer.record.files import Recorded
from tracer.record.trials import (
    CircuitRecord,
    GraphRecord,
    InterventionRecord,
    Reading,
    SharedRecord,
)

SCHEMA = "tracer.run/1"
REGISTRATION_SCHEMA = "tracer.registration/1"


class FeatureRef(Recorded):
    """One member of a supernode: where it is, whatever prompt it is put on."""

    layer: int
    index: int
    offset: int = Field(default=0, description="Tokens left of the anchor token.")
    position: int | None = Field(default=None, description="Absolute token; overrides the span.")
    score: float | None = Field(default=None, description="Attribution; None for explicit ids.")
    maximum: float | None = Field(default=None, description="Greatest activation over a dataset.")


class HeadRef(Recorded):
    """A head of attention as a member of a supernode: where it is, whatever prompt it is put on."""

    layer: int
    head: int
    d_head: int = Field(description="Numbers in its activation, z.")
    offset: int = Field(default=0, description="Tokens left of the anchor token.")
    position: None = Field(default=None, description="A head is always at a span.")
    score: float | None = Field(default=None, description="Attribution; None for explicit ids.")


def index_of(ref: FeatureRef | HeadRef) -> int:
    """Which feature, or which head, of its layer."""
    return ref.head if isinstance(ref, HeadRef) else ref.index


class SupernodeRecord(Recorded):
    """A supernode as resolved: the lock. It has features or heads."""

    name: str
    label: str
    at: str = Field(description="Span its features are put at.")
    anchor: Literal["last", "first"] = Field(description="Which token of the span offset 0 is.")
    features: tuple[FeatureRef, ...]
    heads: tuple[HeadRef, ...] = ()
    source: tuple[str, ...] = Field(description="Prompts whose mean activation is its own.")
    share: float | None = Field(default=None, description="Of the positive attribution.")
    n_candidates: int | None = Field(default=None, description="Members the rule scored.")
    widths: dict[int, int] = Field(
        default={}, description="By layer of its members, how many such the layer has."
    )
    is_foreign: bool = Field(
        default=False,
        description="Taken from a run whose rule, or the prompts of it, are not this file's.",
    )

    @property
    def members(self) -> tuple[FeatureRef, ...] | tuple[HeadRef, ...]:
        """Its features, or its heads."""
        return self.heads or self.features

    @property
    def unit(self) -> Literal["feature", "head"]:
        """What one member is called."""
        return "head" if self.heads else "feature"

    @property
    def width(self) -> int:
        """Numbers in the activation of a member; heads of several layers have as many each."""
        return self.heads[0].d_head if self.heads else 1


class PromptRecord(Recorded):
    """A prompt as the model saw it, unclamped."""

    name: str
    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    spans: dict[str, tuple[int, int]] = Field(description="Token ranges, end excluded.")
    answer: str | None
    held_out: bool
    baseline: Reading


class VariantRecord(Recorded):
    """A variation of the hypothesis: a run of its own in `variants/<name>/`, beside the record."""

    axis: Axis
    change: str = Field(description="What is otherwise, for people.")
    fingerprint: str | None = Field(description="Of its record; None where there is none.")
    skipped: str | None = Field(default=None, description="Why it turned out to be no variation.")
    problem: str | None = Field(default=None, description="Why it could not be measured.")


class BasisRecord(Recorded):
    """The dictionary that was measured with."""

    source: str = Field(description="Folder, package or hub id it came from.")
    revision: str | None
    fingerprint: str | None = Field(description="SHA-256 of its files, or None.")


class ModelRecord(Recorded):
    """The model that was measured."""

    name: str
    source: str = Field(description="Package, folder or hub id the weights came from.")
    revision: str | None
    fingerprint: str = Field(description="SHA-256 of the weights' file(s) or the hub commit.")
    architecture: str
    n_layers: int
    d_model: int
    d_vocab: int
    dtype: str
    device: str


class Environment(Recorded):
    """Where it was measured."""

    tracer: str
    python: str
    platform: str
    packages: dict[str, str]
    threads: int


class Registration(Recorded):
    """A hypothesis as it was declared before its first measurement."""

    schema_: Literal["tracer.registration/1"] = Field(default=REGISTRATION_SCHEMA, alias="schema")
    hypothesis: str = Field(description="Its name.")
    registered: str = Field(description="UTC, ISO 8601.")
    declared: str = Field(description="As YAML, overrides put in, defaults left out.")
    sha256: str = Field(description="Of `declared`, in UTF-8.")

    @model_validator(mode="after")
    def _unchanged(self) -> Registration:
        if sha256(self.declared.encode()).hexdigest() != self.sha256:
            raise ValueError("the hash is not that of what is declared: it was edited")
        return self


class Record(Recorded):
    """Everything one run observed."""

    schema_: Literal["tracer.run/1"] = Field(default=SCHEMA, alias="schema")
    seal: str | None = Field(default=None, description="SHA-256, see `tracer.record.seal`.")
    id: str
    status: Literal["measuring", "complete"]
    started: str = Field(description="UTC, ISO 8601.")
    hypothesis: Hypothesis
    yaml: str = Field(description="The file, verbatim.")
    file: str = Field(description="Its name as given on the command line.")
    overrides: tuple[str, ...] = ()
    sha256: str = Field(description="Of the hypothesis as run, before the first measurement.")
    fingerprint: str = Field(description="Of all a measurement depends on; compared on resuming.")
    model: ModelRecord
    basis: str
    dictionary: BasisRecord | None = Field(default=None, description="None for neurons.")
    environment: Environment
    prompts: dict[str, PromptRecord]
    supernodes: dict[str, SupernodeRecord]
    registration: Registration | None = Field(default=None, description="As before measuring.")
    lock_notes: tuple[str, ...] = Field(default=(), description="Differences from an older lock.")
    interventions: dict[str, InterventionRecord] = {}
    graphs: dict[str, GraphRecord] = Field(default={}, description="By prompt.")
    circuit: dict[str, CircuitRecord] = Field(default={}, description="By name.")
    shared: dict[str, SharedRecord] = {}
    variants: dict[str, VariantRecord] = Field(default={}, description="Finished ones, by name.")
    notes: tuple[str, ...] = Field(default=(), description="Deviations, e.g. a halved batch.")
    cached: tuple[str, ...] = Field(
        default=(), description="Trials read from the cache, as intervention/prompt; not compared."
    )
    known_before: tuple[str, ...] = Field(
        default=(),
        description="Of these, those that were measured when something else was expected of them.",
    )
    seconds: dict[str, float] = Field(default={}, description="Wall time by step; not compared.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
