"""A supernode that a rule found, with the prompts that it was found on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracer.api.session.prompts import Table
from tracer.record.record import SupernodeRecord
from tracer.report.screen import clean
from tracer.report.text import percent


@dataclass(frozen=True, eq=False)
class Supernode:
    """A named group of features: what `Session.clamp` sets and reads."""

    record: SupernodeRecord
    rule: Mapping[str, Any]
    """The selection rule, as it was given."""
    prompts: Table
    """Those of the rule; its own activation is the mean over `record.source` of them."""
    template: str | None

    @property
    def features(self) -> tuple[str, ...]:
        """Its members as `layer_index`, the strongest first; one at two offsets stands twice."""
        return tuple(f"{each.layer}_{each.index}" for each in self.record.features)

    def __len__(self) -> int:
        return len(self.record.features)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: a row for each member.

        `offset` counts tokens left of the anchor token of the span; `score` is the rule's.
        """
        import pandas

        columns = ["layer", "index", "offset", "score"]
        rows = [each.model_dump(include=set(columns)) for each in self.record.features]
        return pandas.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        layers = sorted({each.layer for each in self.record.features})
        share = "" if self.record.share is None else f", {percent(self.record.share)} of all score"
        on = ", ".join(self.record.source)
        return clean(
            f"Supernode({self.record.name}: {len(self):,} features in layers {layers[0]} to "
            f"{layers[-1]}, at {self.record.at!r}{share}; on {on})"
        )
