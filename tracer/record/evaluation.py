"""How good dictionaries are, as measured: what they explain, and what the model says with them.

An `Evaluation` is what `tracer features evaluate` writes. `tracer.engine.evaluation` measures it
and holds the formulae: FVU, L0 and dead features in `explained`, KL, ΔCE and kept tokens in
`replaced`; a graph's scores are those of `tracer.record.graph.influence`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import ConfigDict, Field

from tracer.record.files import Recorded
from tracer.record.graph.graph import Scores
from tracer.record.record import BasisRecord, Environment, ModelRecord

SCHEMA = "tracer.evaluation/1"


class EvaluatedText(Recorded):
    """The text that was run, cut into windows of tokens."""

    sources: tuple[str, ...]
    is_whole: bool = Field(
        description="Whether all of it was read; else the passages that training leaves out."
    )
    sha256: str = Field(description="Of the tokens.")
    n_windows: int
    n_tokens: int = Field(description="Special ones that a window begins with left out.")
    n_replaced: int = Field(
        description="Of these, those whose next tokens were compared with MLPs replaced."
    )
    ce: float = Field(description="Of the model itself on these, in nats a token.")


class MlpsReplaced(Recorded):
    """The model with MLPs replaced against the model itself; means over tokens."""

    kl: float = Field(description="KL(model ‖ replaced) of the next token, in nats.")
    ce_change: float = Field(description="Cross-entropy with MLPs replaced − without, in nats.")
    kept: float = Field(description="Share of tokens after which both find the same most probable.")


class LayerEvaluation(Recorded):
    """What a basis does at one layer."""

    n_features: int
    fvu: float | None = Field(description="Fraction of variance unexplained; None without any.")
    l0: float = Field(description="Features of the layer that are not 0, mean over tokens.")
    n_dead: int = Field(description="Features that are 0 on every token of the text.")
    replaced: MlpsReplaced = Field(description="With this layer's MLP replaced, no other.")


class GraphEvaluation(Recorded):
    """The attribution graph of one prompt."""

    prompt: str
    name: str | None = Field(description="`hypothesis-prompt`; None of a text.")
    n_active: int = Field(description="Active features at positions.")
    n_kept: int = Field(description="Features that are nodes.")
    relevance_share: float = Field(description="Carried by the kept, of all active features'.")
    scores: Scores
    without_dropped: Scores | None = Field(description="As circuit-tracer counts them.")


class TrainedOn(Recorded):
    """What the dictionary's training record says."""

    model: str
    fingerprint: str = Field(description="Of the model's weights.")
    is_same: bool = Field(description="Whether those are the weights it was evaluated on.")
    tokens: int
    text: tuple[str, ...]


class BasisEvaluation(Recorded):
    """One basis on the text and the prompts."""

    basis: str
    dictionary: BasisRecord | None = Field(description="None for neurons.")
    trained_on: TrainedOn | None = Field(description="None where no record says.")
    layers: tuple[LayerEvaluation, ...]
    replaced: MlpsReplaced = Field(description="With all MLPs replaced at once.")
    graphs: tuple[GraphEvaluation, ...]
    warnings: tuple[str, ...]

    @property
    def fvu(self) -> float | None:
        """Mean over the layers that have one."""
        return _mean(each.fvu for each in self.layers)

    @property
    def mean_scores(self) -> Scores | None:
        """Mean over the graphs that have each; None without graphs."""
        columns = zip(*(each.scores for each in self.graphs), strict=True)
        means = [_mean(column) for column in columns]
        return Scores(*means) if means else None

    @property
    def l0(self) -> float:
        """Of all layers together."""
        return sum(each.l0 for each in self.layers)

    @property
    def dead_share(self) -> float:
        """Of the features of all layers."""
        n_dead, n = (sum(getattr(x, k) for x in self.layers) for k in ("n_dead", "n_features"))
        return n_dead / n


class Evaluation(Recorded):
    """Everything one `tracer features evaluate` measured."""

    schema_: Literal["tracer.evaluation/1"] = Field(default=SCHEMA, alias="schema")
    started: str = Field(description="UTC, ISO 8601.")
    model: ModelRecord
    environment: Environment
    text: EvaluatedText
    bases: tuple[BasisEvaluation, ...]
    seconds: float = Field(description="Wall time; comparisons drop this.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None
