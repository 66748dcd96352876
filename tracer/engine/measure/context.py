"""What every measurement starts from: the hypothesis, resolved on a model that is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer.engine.cache import MeasurementCache
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis, Place
from tracer.engine.model.model import Model
from tracer.engine.supernodes import places_of
from tracer.hypothesis.spec import Hypothesis
from tracer.record.record import SupernodeRecord


@dataclass(frozen=True)
class MeasurementContext:
    """Everything a measurement needs, opened and resolved."""

    hypothesis: Hypothesis
    model: Model
    basis: FeatureBasis
    clean: Mapping[str, CleanRun]
    """Unclamped passes, by prompt."""
    supernodes: Mapping[str, SupernodeRecord]
    cache: MeasurementCache | None = None

    def members(self) -> dict[int, frozenset[int]]:
        """Feature indices of all supernodes, by layer."""
        members: dict[int, set[int]] = {}
        for supernode in self.supernodes.values():
            for ref in supernode.features:
                members.setdefault(ref.layer, set()).add(ref.index)
        return {layer: frozenset(indices) for layer, indices in members.items()}

    def places(self, prompt: str) -> dict[str, list[Place]]:
        """Where the members of each supernode are on a prompt, if the prompt has its span."""
        tokenized = self.clean[prompt].prompt
        return {
            name: [where for _, where in places_of(supernode, tokenized, supernode.at)]
            for name, supernode in self.supernodes.items()
            if supernode.at in tokenized.spans
        }
