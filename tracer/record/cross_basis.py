"""One hypothesis on one model in several feature bases: what of it is the same in all of them.

It is gathered from finished runs (`tracer.evidence.cross_basis`) and kept in the folder of each, as
`bases.json`, so that the report of any of them shows it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from tracer.record.files import Recorded, as_json, read_model, write_text
from tracer.record.verdict import OutcomeName, VerdictName

SCHEMA = "tracer.bases/1"
FILE = "bases.json"
Survival = Literal["survives", "weaker", "does not survive", "open"]
"""`weaker`: confirmed in some bases, and in the others consistent. `open`: no two verdicts
contradict each other, and in some basis there is none."""


class BasisVerdict(Recorded):
    """What the hypothesis came to in one basis."""

    features: str
    run: str | None = Field(description="Its id; None where it could not be run.")
    verdict: VerdictName | None
    reason: str


class OutcomeAcross(Recorded):
    """One expectation on one split."""

    name: str
    outcomes: tuple[OutcomeName | None, ...] = Field(description="By basis; None: not asked.")


class EffectsAcross(Recorded):
    """Effects in the first basis and in another one.

    An effect is a token's log-probability clamped less unclamped, of every token that the file asks
    about, on every prompt of every intervention.
    """

    features: str = Field(description="The other basis.")
    n: int = Field(description="Effects that both have.")
    n_large: int = Field(description="Of these, those of 0.1 nats or more in either.")
    n_same_sign: int = Field(description="Of the large ones.")
    correlation: float | None = Field(description="Pearson's, over all; None of fewer than 3.")


class SupernodeAcross(Recorded):
    """A supernode as each basis has it."""

    name: str
    n_members: tuple[int | None, ...] = Field(description="By basis; None: it has no such.")
    tokens: tuple[tuple[str, ...], ...] = Field(
        description="By basis: what members promote, as the run's graphs tell it, the most often "
        "named first."
    )
    shared: tuple[str, ...] = Field(description="Tokens that all bases name.")


class CrossBasis(Recorded):
    """Everything that is compared; columns are by basis, in the order of `bases`."""

    schema_: Literal["tracer.bases/1"] = Field(default=SCHEMA, alias="schema")
    hypothesis: str
    model: str
    bases: tuple[BasisVerdict, ...]
    survival: Survival
    sentence: str
    outcomes: tuple[OutcomeAcross, ...]
    effects: tuple[EffectsAcross, ...]
    supernodes: tuple[SupernodeAcross, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def n_same(self) -> int:
        """Expectations that came out the same in all bases."""
        return sum(len(set(each.outcomes)) == 1 for each in self.outcomes)


def write_cross_basis(folder: Path, found: CrossBasis) -> None:
    """Put it into a run's folder.

    Raises:
        OSError: It cannot be written.
    """
    write_text(folder / FILE, as_json(found))


def read_cross_basis(folder: Path, run: str) -> CrossBasis | None:
    """What a run's folder says of it; None where it says nothing of this run.

    Raises:
        UsageError: It is unsound.
    """
    if not os.path.lexists(folder / FILE):
        return None
    found = read_model(folder / FILE, CrossBasis, SCHEMA)
    return found if any(each.run == run for each in found.bases) else None
