"""Hypotheses that were run together and the false discovery rate among them, as a file.

It lies beside the runs, so that pages that list them can say of each what it came to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from tracer.record.files import Recorded, as_json, read_model, write_text
from tracer.record.verdict import VerdictName

FAMILY = "family.json"
SCHEMA = "tracer.family/1"


class FamilyMember(Recorded):
    """One hypothesis of a family."""

    run: str
    hypothesis: str
    verdict: VerdictName
    p: float | None = Field(description="Largest p of its tests; None, counted as 1: not upheld.")
    least_p: float | None = Field(description="The smallest that this could be with its controls.")
    q: float | None = Field(default=None, description="p, adjusted by Benjamini and Yekutieli.")
    discovery: bool = Field(default=False, description="Whether q is at most the rate.")
    reachable: bool = Field(
        default=True, description="Whether it could be one, were all others, with its controls."
    )
    reason: str | None = Field(default=None, description="Why it is not in the family.")


class HypothesisFamily(Recorded):
    """A family, and the rate that is controlled in it."""

    schema_: Literal["tracer.family/1"] = Field(default=SCHEMA, alias="schema")
    rate: float = Field(gt=0, lt=1, description="Expected share of false ones among discoveries.")
    members: tuple[FamilyMember, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def size(self) -> int:
        """How many hypotheses the rate is controlled over."""
        return sum(member.reason is None for member in self.members)

    @property
    def n_discoveries(self) -> int:
        """How many of them are discoveries."""
        return sum(member.discovery for member in self.members)

    def of(self, run: str) -> FamilyMember | None:
        """A run's own; None where it is not one of them."""
        return next((member for member in self.members if member.run == run), None)


def write_family(reports: Path, family: HypothesisFamily) -> Path:
    """Put a family beside its runs, in place of an earlier one.

    Raises:
        OSError: It cannot be written.
    """
    path = reports / FAMILY
    write_text(path, as_json(family))
    return path


def read_family(reports: Path) -> HypothesisFamily | None:
    """The family beside some runs; None where none was asked for.

    Raises:
        UsageError: The file is there and cannot be read.
    """
    path = reports / FAMILY
    return read_model(path, HypothesisFamily, SCHEMA) if path.exists() else None
