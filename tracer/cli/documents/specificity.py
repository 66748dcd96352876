"""What `tracer specificity` tells programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Copied, Document


class TaskChange(Copied):
    """What one hypothesis's ablation does to one task, in logits of its answers."""

    change: float = Field(description="Median over the task's prompts.")
    size: float = Field(description="Median of the magnitudes.")
    n_prompts: int


class AblationSummary(Copied):
    """One hypothesis's ablation on every task; see `tracer.evidence.specificity`."""

    name: str
    cells: dict[str, TaskChange] = Field(description="By task.")
    off_task: float
    selectivity: float | None
    problem: str | None = Field(description="Why there is no selectivity.")
    kl_median: float = Field(description="Over neutral texts, in nats.")
    kl_max: float


class SpecificitySummary(Document):
    """What ablations do to their own task and to the others."""

    schema_: Literal["tracer.specificity-summary/1"] = Field(
        default="tracer.specificity-summary/1", alias="schema"
    )
    folder: str = Field(description="Of the whole matrix and its page.")
    rows: tuple[AblationSummary, ...]
