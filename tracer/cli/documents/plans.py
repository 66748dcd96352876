"""What `tracer plan` tells programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Document
from tracer.cli.documents.results import FileEnding
from tracer.engine.plan import IMPORT_SECONDS, Plan
from tracer.record.files import Recorded


class PlannedIntervention(Recorded):
    """The rows of one intervention, or of one circuit: clamped versions of prompts."""

    intervention: str
    prompts: int
    clamps: int
    doses: int
    controls: int
    rows: int = Field(description="All of them.")


class HypothesisPlan(Recorded):
    """What a run of one file takes; null is what cannot be known here."""

    file: str
    hypothesis: str
    clean_passes: int
    backward_passes: int
    graphs: int
    texts: int
    rival_passes: int
    neutral_passes: int
    rows: int
    batched_passes: int | None
    tokens: int | None = Field(description="That the rows compute, prefixes reused.")
    tokens_full: int | None = Field(description="Of one full pass a row.")
    peak_bytes: int | None
    seconds: float | None = Field(description="Roughly, imports included.")
    on_gpu: bool = Field(description="Whether the seconds are a GPU's, whose rates are a guess.")
    is_emulated: bool = Field(description="Whether the processor lacks the type of number.")
    unknown: str | None = Field(description="Why tokens, memory and time are not known.")
    interventions: tuple[PlannedIntervention, ...]

    @classmethod
    def of(cls, file: str, plan: Plan, unknown: str | None) -> HypothesisPlan:
        """As it was planned."""
        return cls(
            file=file,
            hypothesis=plan.hypothesis,
            clean_passes=plan.prompts,
            backward_passes=plan.backward,
            graphs=plan.graphs,
            texts=plan.texts,
            rival_passes=plan.rivals,
            neutral_passes=plan.neutral,
            rows=plan.n_rows,
            batched_passes=plan.batches,
            tokens=plan.tokens,
            tokens_full=plan.tokens_full,
            peak_bytes=plan.bytes,
            seconds=None if plan.seconds is None else IMPORT_SECONDS + plan.seconds,
            on_gpu=plan.on_gpu,
            is_emulated=plan.is_emulated,
            unknown=unknown,
            interventions=tuple(interventions(plan)),
        )


def interventions(plan: Plan) -> Iterator[PlannedIntervention]:
    """The rows of each, in the order of the plan."""
    for name in dict.fromkeys(row.intervention for row in plan.rows):
        yield _intervention(plan, name)


def _intervention(plan: Plan, name: str) -> PlannedIntervention:
    rows = [row for row in plan.rows if row.intervention == name]
    return PlannedIntervention(
        intervention=name,
        prompts=len(rows),
        clamps=sum(row.clamps for row in rows),
        doses=sum(row.doses for row in rows),
        controls=sum(row.controls for row in rows),
        rows=sum(row.total for row in rows),
    )


class Plans(Document):
    """What runs take."""

    schema_: Literal["tracer.plans/1"] = Field(default="tracer.plans/1", alias="schema")
    exit_code: int = Field(description="The command's; see `tracer --help`.")
    plans: tuple[HypothesisPlan, ...]
    broken: tuple[FileEnding, ...] = Field(description="Files that cannot be planned.")
