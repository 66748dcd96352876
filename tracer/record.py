"""What a run observed: the contract that judging, report and dashboard read.

A run is a folder. `run.json` holds a `Record`; `measurements.safetensors` holds the arrays it names
(controls, activations). Nothing here needs torch, and nothing here says whether a claim held:
that is `tracer.evidence.judge`, which writes `verdict.json` beside it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tracer.hypothesis.amount import Amount, amount_of
from tracer.hypothesis.spec import Hypothesis

SCHEMA = "tracer.run/1"


class Recorded(BaseModel):
    """Base of everything a run writes down; not-a-number goes into JSON as "NaN" and comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class TokenReading(Recorded):
    """One token at the read position."""

    token: str
    id: int
    logit: float
    probability: float = Field(description="Softmax over the whole vocabulary.")
    rank: int = Field(description="1 is the most probable; ties go to the lower id.")


class Reading(Recorded):
    """The output at a prompt's last position."""

    top: tuple[TokenReading, ...] = Field(description="The ten most probable, best first.")
    tokens: dict[str, TokenReading] = Field(description="Every token the hypothesis asks about.")


class FeatureRef(Recorded):
    """One member of a supernode: where it is, whatever prompt it is put on."""

    layer: int
    index: int
    offset: int = Field(
        default=0, description="Tokens left of the anchor token; 0 is the anchor itself."
    )
    position: int | None = Field(
        default=None, description="Absolute token position; overrides the span."
    )
    score: float | None = Field(
        default=None, description="Attribution score; None for explicit ids."
    )
    maximum: float | None = Field(
        default=None, description="Greatest activation over a dataset, where the file says it."
    )


class SupernodeRecord(Recorded):
    """A supernode as resolved: the lock."""

    name: str
    label: str
    at: str = Field(description="Span its features are put at.")
    anchor: Literal["last", "first"] = Field(description="Which token of the span offset 0 is.")
    features: tuple[FeatureRef, ...]
    source: tuple[str, ...] = Field(description="Prompts whose mean activation is its own.")
    share: float | None = Field(
        default=None, description="Share of the positive attribution it carries."
    )
    n_candidates: int | None = Field(default=None, description="Features the rule scored.")


class PromptRecord(Recorded):
    """A prompt as the model saw it, unclamped."""

    name: str
    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    spans: dict[str, tuple[int, int]] = Field(description="Token ranges, end excluded.")
    answer: str | None
    held_out: bool
    baseline: Reading


class Activation(Recorded):
    """How active a supernode was in one clamped pass: dot products over its features."""

    of_clean: float | None = Field(description="⟨a, a₀⟩/⟨a₀, a₀⟩, a₀ = clean; None if a₀ = 0.")
    of_source: float | None = Field(description="The same with a₀ = mean over its sources.")
    mean_of_clean: float | None = Field(
        default=None, description="Mean of aᵢ/a₀ᵢ over the features with a₀ᵢ ≠ 0; None without any."
    )
    mean_of_source: float | None = Field(
        default=None, description="The same with a₀ = mean over its sources."
    )


class Dose(Recorded):
    """One point of a dose series."""

    factor: float
    reading: Reading


class ClampRecord(Recorded):
    """One clamp as it was carried out on one prompt."""

    supernode: str
    times: float | None = Field(default=None, description="The clamp's amount, in one of three")
    to: float | None = Field(default=None, description="units; exactly one is given:")
    add: float | None = Field(default=None, description="see `tracer.hypothesis.amount`.")
    source: tuple[str, ...] = Field(
        description="Prompts the activations came from; none where the amount needs none."
    )
    positions: tuple[int, ...] = Field(description="Token positions written to.")
    n_features: int
    n_overridden: int = Field(description="Features that a later clamp of the same run took over.")
    write_norm: float = Field(description="L2 norm of the summed write, over layers and positions.")

    @property
    def amount(self) -> Amount:
        """How much, and in which unit."""
        return amount_of(self.times, self.to, self.add)


class GeneratedText(Recorded):
    """One text that the model wrote after a prompt."""

    text: str = Field(description="Without the prompt and without the token that ended it.")
    token_ids: tuple[int, ...]
    stopped: bool = Field(description="A stop token ended it; otherwise the limit did.")


class Generated(Recorded):
    """What was written under the clamps, and without them by the same random numbers."""

    clamped: tuple[GeneratedText, ...]
    clean: tuple[GeneratedText, ...]


class Trial(Recorded):
    """One intervention on one prompt.

    Its controls are in the tensors: `controls/<intervention>/<prompt>/logits` of shape
    [control, token] for the tokens in `control_tokens`, `…/logsumexp` [control] and
    `…/top` [control].
    """

    prompt: str
    clamps: tuple[ClampRecord, ...]
    reading: Reading
    supernodes: dict[str, Activation]
    doses: tuple[Dose, ...] = ()
    generated: Generated | None = Field(
        default=None, description="Texts, where the intervention generates; a sample each."
    )
    n_controls: int
    control_tokens: tuple[str, ...] = ()
    problem: str | None = Field(
        default=None, description="Why it could not be measured; None if it was."
    )


class InterventionRecord(Recorded):
    """An intervention and its trials, one per prompt."""

    name: str
    trials: dict[str, Trial]


class GraphEdge(Recorded):
    """All direct effects of one supernode on another, or on what the graph explains."""

    source: str
    target: str = Field(description="A supernode, or `output`.")
    weight: float = Field(description="Sum of the edges.")
    share: float | None = Field(
        description="weight / Σ |everything that enters the target|; None where nothing does."
    )


class Ablation(Recorded):
    """What ablating some features does to the explained quantity: predicted and measured.

    Changes of the logit (less the vocabulary's mean, before any soft cap) or of the difference.
    """

    name: str = Field(description="A supernode, or a feature as layer_index_position.")
    is_supernode: bool
    n_features: int = Field(description="Members that are in the graph.")
    predicted_direct: float = Field(description="Minus the sum of the edges to the output.")
    predicted_total: float = Field(description="Through every feature that the graph keeps.")
    measured_direct: float = Field(description="freeze: all.")
    measured_attention: float = Field(description="freeze: attention.")
    measured_free: float = Field(description="Everything reacts.")


class GraphRecord(Recorded):
    """The attribution graph of one prompt, in numbers; the pruned graph is beside the record."""

    file: str = Field(description="The pruned graph's JSON in the run folder.")
    target: str = Field(description="What ablations are measured by.")
    n_active: int
    n_features: int = Field(description="Features kept before pruning.")
    relevance_share: float = Field(description="Share of all relevance that they carry.")
    n_pruned: int = Field(description="Features left after pruning.")
    replacement: float | None = Field(description="Replacement score before pruning.")
    completeness: float | None
    supernode_replacement: float | None = Field(
        description="With only the supernodes' features kept apart from the errors."
    )
    supernode_completeness: float | None
    members: dict[str, int] = Field(description="By supernode, its features in the graph.")
    edges: tuple[GraphEdge, ...]
    ablations: tuple[Ablation, ...]


class CircuitScores(Recorded):
    """The metric on one prompt, raw."""

    whole: float = Field(description="F(M): the model as it is.")
    empty: float = Field(description="F(∅): everything in scope at its reference mean.")
    circuit: float = Field(description="F(C): that, but the circuit's features kept.")
    rest: float = Field(description="F(M∖C): only the circuit's features at their means.")


class CircuitTrial(Recorded):
    """One circuit on one prompt.

    Its other scores are in the tensors `circuit/<circuit>/<prompt>/…`: `random` and `random_rest`
    [control] (F(C_r) and F(M∖C_r)), `without` [group] (F(C∖e)), `filler` [control] (F(C + e_r)) and
    `curve` [k] (F(C_k)).
    """

    prompt: str
    n_features: int = Field(description="Members that have a place in the scope here.")
    positions: tuple[int, int] = Field(description="Tokens that are ablated, end excluded.")
    scores: CircuitScores | None
    problem: str | None = Field(default=None, description="Why it has no scores.")


class CircuitRecord(Recorded):
    """A circuit: what it is, and its trials by prompt."""

    n_members: int
    n_outside: int = Field(description="Members that lie outside the scope on every prompt.")
    groups: tuple[str, ...] = Field(description="What is left out of it, one or several at a time.")
    n_random: int = Field(description="Random circuits.")
    n_fillers: int
    n_items: int = Field(description="Features that the curve ranks; 0 without a curve.")
    sizes: tuple[int, ...] = Field(description="Of the circuits of the curve.")
    ranked_on: tuple[str, ...]
    notes: tuple[str, ...] = ()
    trials: dict[str, CircuitTrial] = {}


class SharedRecord(Recorded):
    """Overlaps of the prompts of one claim of shared representation.

    They are in the tensors, `shared/<name>/overlap` of shape [pair, layer, list, list]: entry
    (i, j) is the overlap of list i in the pair's first language with list j in its second.
    """

    pairs: tuple[tuple[int, int], ...] = Field(description="Languages, by place in the lists.")
    n_layers: int
    n_active: tuple[float, ...] = Field(description="By layer, mean active features of a prompt.")


class BasisRecord(Recorded):
    """The dictionary that was measured with."""

    source: str = Field(description="Folder or hub id it came from.")
    revision: str | None
    fingerprint: str | None = Field(description="SHA-256 of its files, or None.")


class ModelRecord(Recorded):
    """The model that was measured."""

    name: str
    source: str = Field(description="Package, folder or hub id the weights came from.")
    revision: str | None
    fingerprint: str = Field(description="SHA-256 of the weights' file(s) or the hub commit.")
    architecture: str
    n_layers: int
    d_model: int
    d_vocab: int
    dtype: str
    device: str


class Environment(Recorded):
    """Where it was measured."""

    tracer: str
    python: str
    platform: str
    packages: dict[str, str]
    threads: int


class Record(Recorded):
    """Everything one run observed."""

    schema_: Literal["tracer.run/1"] = Field(default=SCHEMA, alias="schema")
    id: str
    status: Literal["measuring", "complete"]
    started: str = Field(description="UTC, ISO 8601.")
    hypothesis: Hypothesis
    yaml: str = Field(description="The file, verbatim.")
    file: str = Field(description="Its name as given on the command line.")
    overrides: tuple[str, ...] = ()
    sha256: str = Field(description="Of the hypothesis as run, before the first measurement.")
    fingerprint: str = Field(
        description="Of everything a measurement depends on; resuming asks it."
    )
    model: ModelRecord
    basis: str
    dictionary: BasisRecord | None = Field(
        default=None, description="Where the basis came from; None for neurons."
    )
    environment: Environment
    prompts: dict[str, PromptRecord]
    supernodes: dict[str, SupernodeRecord]
    lock_notes: tuple[str, ...] = Field(
        default=(), description="How the lock differs from an older one."
    )
    interventions: dict[str, InterventionRecord] = {}
    graphs: dict[str, GraphRecord] = Field(default={}, description="By prompt.")
    circuit: dict[str, CircuitRecord] = Field(default={}, description="By name.")
    shared: dict[str, SharedRecord] = {}
    notes: tuple[str, ...] = Field(
        default=(), description="Deviations a reader must know, e.g. halved batch."
    )
    cached: tuple[str, ...] = Field(
        default=(),
        description="Trials, as intervention/prompt, that were read from the cache of measurements;"
        " comparisons drop this.",
    )
    seconds: dict[str, float] = Field(
        default={}, description="Wall time by step; comparisons drop this."
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
