"""What `tracer selftest` tells programs."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field

from tracer.cli.documents.document import Copied, Document
from tracer.record.files import Recorded


class TallyFacts(Copied):
    """Verdicts on claims of one sort."""

    truth: Literal["true", "false", "open"]
    n: int
    confirmed: int
    consistent: int
    refuted: int
    inconclusive: int
    upheld: int = Field(description="That came to the best that such a claim can.")
    errors: int | None = Field(description="False ones upheld, true ones not; null: no telling.")
    rate: float | None = Field(description="Share of errors.")
    interval_95: tuple[float, float] | None = Field(
        validation_alias=AliasChoices("interval", "interval_95"),
        description="Clopper-Pearson interval of the rate.",
    )


class TruthRates(Recorded):
    """Claims that are true, false, or neither."""

    all: TallyFacts
    by_kind: dict[str, TallyFacts]
    by_family: dict[str, TallyFacts]
    lacks: dict[str, int] = Field(description="How many claims lack what to be confirmed.")


class UnitRates(Recorded):
    """Claims of features, or of heads."""

    false: TruthRates
    true: TruthRates
    open: TruthRates


class LevelFacts(Copied):
    """How often a test of the judge is wrong on exact nulls."""

    name: str
    allowed: float
    n: int
    n_wrong: int
    rate: float
    error: float = Field(description="Standard deviation of the rate, were it what is allowed.")
    kept: bool = Field(
        validation_alias=AliasChoices("is_kept", "kept"),
        description="Whether the rate is not above what is allowed, but for that error.",
    )


class SelftestRates(Document):
    """Error rates of verdicts on models whose circuits are planted."""

    schema_: Literal["tracer.selftest/3"] = Field(default="tracer.selftest/3", alias="schema")
    models: int
    seed: int
    exit_code: int
    features: UnitRates
    heads: UnitRates
    calibration: tuple[LevelFacts, ...]
