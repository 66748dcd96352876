"""What `tracer list` and `tracer show` tell programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Document
from tracer.hypothesis.load import HypothesisFile
from tracer.record.files import Recorded, path_text
from tracer.record.runs import RunEntry
from tracer.record.verdict import Verdict


class ListedRun(Recorded):
    """A run, as far as its files can be read."""

    run: str = Field(description="Its id, `hypothesis/…`.")
    folder: str
    hypothesis: str
    started: str | None = Field(description="UTC, ISO 8601.")
    status: str | None = Field(description="`measuring` or `complete`; null: unreadable.")
    model: str | None
    verdict: str | None = Field(description="Null where it is not judged.")
    as_expected: bool | None
    problem: str | None = Field(description="Why it cannot be read.")

    @classmethod
    def of(cls, run: RunEntry) -> ListedRun:
        """As it is found."""
        return cls(
            run=run.id,
            folder=path_text(run.folder),
            hypothesis=run.hypothesis,
            started=run.started,
            status=run.status,
            model=run.model,
            verdict=run.verdict,
            as_expected=run.as_expected,
            problem=run.problem,
        )


class ListedHypothesis(Recorded):
    """A hypothesis file, and the latest run of its name."""

    file: str
    hypothesis: str
    claim: str
    tags: tuple[str, ...]
    model: str
    expected: str
    prompts: int
    held_out: int = Field(description="Of the prompts.")
    interventions: int
    latest: ListedRun | None

    @classmethod
    def of(cls, file: HypothesisFile, latest: RunEntry | None) -> ListedHypothesis:
        """As the file declares it."""
        hypothesis = file.hypothesis
        return cls(
            file=path_text(file.path),
            hypothesis=hypothesis.hypothesis,
            claim=hypothesis.claim,
            tags=hypothesis.tags,
            model=hypothesis.model_spec.name,
            expected=hypothesis.expected,
            prompts=len(hypothesis.prompts),
            held_out=sum(prompt.held_out for prompt in hypothesis.prompts.values()),
            interventions=len(hypothesis.interventions),
            latest=latest and ListedRun.of(latest),
        )


class Hypotheses(Document):
    """Hypothesis files."""

    schema_: Literal["tracer.hypotheses/1"] = Field(default="tracer.hypotheses/1", alias="schema")
    hypotheses: tuple[ListedHypothesis, ...]


class Runs(Document):
    """Runs, newest first."""

    schema_: Literal["tracer.runs/1"] = Field(default="tracer.runs/1", alias="schema")
    runs: tuple[ListedRun, ...]


class ShownRun(Document):
    """One run, judged as it is opened."""

    schema_: Literal["tracer.shown/1"] = Field(default="tracer.shown/1", alias="schema")
    run: str = Field(description="Its id, `hypothesis/…`.")
    files: tuple[str, ...] = Field(description="Its report and what it rests on.")
    seconds: float | None = Field(description="That measuring it took.")
    as_expected: bool = Field(description="Whether the verdict is what the file says.")
    verdict: Verdict
