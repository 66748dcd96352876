"""A supernode that a rule found, with the prompts that it was found on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracer.hypothesis.given import Table
from tracer.hypothesis.heads import head_id
from tracer.record.record import SupernodeRecord
from tracer.report.screen import clean
from tracer.report.text import percent


@dataclass(frozen=True, eq=False)
class Supernode:
    """A named group of features, or of heads: what `Session.clamp` sets and reads."""

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

    @property
    def heads(self) -> tuple[str, ...]:
        """The same of heads, as `layer.head`."""
        return tuple(head_id(each.layer, each.head) for each in self.record.heads)

    def __len__(self) -> int:
        return len(self.record.members)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: a row for each member.

        `offset` counts tokens left of the anchor token of the span; `score` is the rule's.
        """
        import pandas

        columns = ["layer", "head" if self.record.heads else "index", "offset", "score"]
        rows = [each.model_dump(include=set(columns)) for each in self.record.members]
        return pandas.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        layers = sorted({each.layer for each in self.record.members})
        share = "" if self.record.share is None else f", {percent(self.record.share)} of all score"
        on, of = ", ".join(self.record.source), f"{self.record.unit}s"
        return clean(
            f"Supernode({self.record.name}: {len(self):,} {of} in layers {layers[0]} to "
            f"{layers[-1]}, at {self.record.at!r}{share}; on {on})"
        )
