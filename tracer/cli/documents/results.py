"""What `tracer run` and `tracer validate` tell programs of the files they were given."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Copied, Document, is_none
from tracer.evidence.regression import RunComparison
from tracer.record.family import HypothesisFamily
from tracer.record.files import Recorded
from tracer.record.verdict import Verdict


class FileMistake(Copied):
    """One mistake in a hypothesis file."""

    line: int | None = Field(description="From 1; null where the file as a whole is meant.")
    column: int | None
    where: str = Field(description="Path inside the file, e.g. `interventions.swap.clamp.texas`.")
    message: str = Field(description="What was found, and what is allowed.")


class FileEnding(Recorded):
    """How one file ended; keys that say nothing of it are left out."""

    file: str
    hypothesis: str | None = Field(description="Its name; null where the file cannot be read.")
    exit_code: int = Field(description="See `tracer --help`.")
    notes: tuple[str, ...] | None = Field(
        default=None, exclude_if=is_none, description="What a reader should know."
    )
    error: str | None = Field(
        default=None, exclude_if=is_none, description="What could not be done, for people."
    )
    mistakes: tuple[FileMistake, ...] | None = Field(default=None, exclude_if=is_none)


class CaseEnding(FileEnding):
    """How a file, or one of its combinations of model and features, ended that was to be run."""

    case: str | None = Field(
        default=None, exclude_if=is_none, description="Of several combinations, which."
    )
    model: str | None = Field(default=None, exclude_if=is_none)
    features: str | None = Field(default=None, exclude_if=is_none)
    run: str | None = Field(default=None, exclude_if=is_none, description="The run's folder.")
    verdict: Verdict | None = Field(
        default=None, exclude_if=is_none, description="As in the run's `verdict.json`."
    )
    as_expected: bool | None = Field(
        default=None, exclude_if=is_none, description="Whether the verdict is what the file says."
    )
    skipped: str | None = Field(
        default=None, exclude_if=is_none, description="Why the file was left out."
    )
    baseline: RunComparison | None = Field(
        default=None, exclude_if=is_none, description="With the run that was blessed."
    )
    regressed: bool | None = Field(
        default=None, exclude_if=is_none, description="Whether something got worse than there."
    )


class Verdicts(Document):
    """What each file of a run came to."""

    schema_: Literal["tracer.verdicts/1"] = Field(default="tracer.verdicts/1", alias="schema")
    exit_code: int = Field(description="The command's; see `tracer --help`.")
    results: tuple[CaseEnding, ...]
    family: HypothesisFamily | None = Field(
        default=None, exclude_if=is_none, description="With a rate of false discoveries."
    )


class Validation(Document):
    """The mistakes in each file."""

    schema_: Literal["tracer.validation/1"] = Field(default="tracer.validation/1", alias="schema")
    exit_code: int = Field(description="The command's; see `tracer --help`.")
    results: tuple[FileEnding, ...]
