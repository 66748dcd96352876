"""What a run measured: interventions, circuits, shared representations and attribution graphs.

These are the parts of `run.json`. The arrays that the docstrings name are in
`measurements.safetensors` beside it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.clamps import Amount, amount_of
from tracer.hypothesis.procedure import Family
from tracer.record.feature_index import IndexedFeature
from tracer.record.files import Recorded
from tracer.record.head_shares import HeadShareRecord, ReasonRecord


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


class Activation(Recorded):
    """How active a supernode was in one clamped pass: dot products over its features."""

    of_clean: float | None = Field(description="⟨a, a₀⟩/⟨a₀, a₀⟩, a₀ = clean; None if a₀ = 0.")
    of_source: float | None = Field(description="The same with a₀ = mean over its sources.")
    mean_of_clean: float | None = Field(
        default=None, description="Mean of aᵢ/a₀ᵢ over the features with a₀ᵢ ≠ 0; None without any."
    )
    mean_of_source: float | None = Field(
        default=None, description="The same with a₀ of `of_source`."
    )

    n_set: int = Field(default=0, description="Features left out: the clamps set them themselves.")

    def as_clean(self) -> Activation:
        """What it would be unclamped, as far as that follows: the shares of a clean one are 1."""
        weighted = None if self.of_clean is None else 1.0
        equal = None if self.mean_of_clean is None else 1.0
        return Activation(of_clean=weighted, of_source=None, mean_of_clean=equal, n_set=self.n_set)


class Dose(Recorded):
    """One point of a dose series."""

    factor: float
    reading: Reading


class ClampRecord(Recorded):
    """One clamp as it was carried out on one prompt."""

    supernode: str
    times: float | None = Field(default=None, description="The clamp's amount, in one of three")
    to: float | None = Field(default=None, description="units; exactly one is given:")
    add: float | None = Field(default=None, description="see `tracer.hypothesis.clamps`.")
    source: tuple[str, ...] = Field(description="Prompts the activations came from, where any did.")
    positions: tuple[int, ...] = Field(description="Token positions written to.")
    n_features: int
    n_overridden: int = Field(description="Features that a later clamp of the same run took over.")
    write_norm: float = Field(description="L2 norm of the summed write, over layers and positions.")
    output_norm: float | None = Field(
        default=None, description="The same of what the layers' outputs are there, unclamped."
    )
    n_out_of_range: int = Field(
        default=0, description="Features set beyond all that they are on the file's prompts."
    )

    @property
    def amount(self) -> Amount:
        """How much, and in which unit."""
        return amount_of(self.times, self.to, self.add)


class PatternRecord(Recorded):
    """One pattern clamp as it was carried out on one prompt."""

    words: str = Field(description="What it does.")
    supernode: str | None = Field(default=None, description="Whose heads they are, if any's.")
    heads: tuple[str, ...] = Field(description="As layer.head.")
    moved: float = Field(
        description="Weight that moved: ½ Σ |after − before| over the keys, the mean over queries "
        "and heads, of the unclamped pattern."
    )


class WeightRecord(Recorded):
    """A weight of attention patterns that an expectation asks for, see `Attends`."""

    clamped: float
    unclamped: float
    unseen: str | None = Field(default=None, description="Why no such weight can be.")
    attention: tuple[float, ...] = Field(
        default=(),
        description="What is given to each position, the mean over heads and queries, unclamped; "
        "empty where the prompt is long.",
    )


class GeneratedText(Recorded):
    """One text that the model wrote after a prompt."""

    text: str = Field(description="Without the prompt and without the token that ended it.")
    token_ids: tuple[int, ...]
    stopped: bool = Field(description="A stop token ended it; otherwise the limit did.")


class Generated(Recorded):
    """What was written under the clamps, and without them by the same random numbers."""

    clamped: tuple[GeneratedText, ...]
    clean: tuple[GeneratedText, ...]


class ProcedureControl(Recorded):
    """A control for which the rule of a clamped supernode was made anew."""

    family: Family
    on: tuple[str, ...] = Field(description="Prompts in place of the rule's `on`.")
    answer: str | None = Field(default=None, description="Token in place of the claimed one.")
    n_features: int = Field(description="That the rule found and that have a place here.")


RivalKind = Literal["mlp", "residual", "difference"]


class Rival(Recorded):
    """A crude intervention at the place of a claim's, without any features."""

    kind: RivalKind = Field(
        description="The MLPs' whole outputs, the whole residual stream after the last layer, or a "
        "difference of means added to it."
    )
    reading: Reading
    write_norm: float = Field(description="L2 norm of what changed, over layers and positions.")
    wrong: dict[str, Reading] = Field(description="With the wrong donors of each answer.")


class PythonAnswer(Recorded):
    """What a Python function said of a trial."""

    clamped: bool | None = Field(description="None where it did not say.")
    unclamped: bool | None = Field(description="Of the same prompt as if nothing were clamped.")
    problem: str | None = Field(default=None, description="Why it did not say.")

    def as_unclamped(self) -> PythonAnswer:
        """Its answer as if nothing were clamped."""
        return self.model_copy(update={"clamped": self.unclamped})


class Trial(Recorded):
    """One intervention on one prompt.

    Its controls are in the tensors: `controls/<intervention>/<prompt>/logits` of shape
    [control, token] for the tokens in `control_tokens`, `…/logsumexp` [control] and
    `…/top` [control]; those of `procedure` in `procedure/<intervention>/<prompt>/…` likewise.
    """

    prompt: str
    clamps: tuple[ClampRecord, ...]
    reading: Reading
    supernodes: dict[str, Activation]
    unclamped: dict[str, Activation] = Field(
        default={}, description="The same activations without the clamps."
    )
    patterns: tuple[PatternRecord, ...] = ()
    attends: dict[str, WeightRecord] = Field(
        default={}, description="By name; the controls' are `…/attends` [control, weight]."
    )
    direct: Reading | None = Field(
        default=None,
        description="With the outputs of attention and MLPs, but for the clamped features, and the "
        "norms' scales held: what the clamps write to the logits themselves. None where the model "
        "cannot be held.",
    )
    doses: tuple[Dose, ...] = ()
    neutral_kl: tuple[float, ...] = Field(
        default=(),
        description="Of clamps beyond factors 0 to 2: their values at the last token of neutral "
        "texts, KL(unclamped ‖ clamped) of the next token in nats, by text.",
    )
    rivals: tuple[Rival, ...] = ()
    generated: Generated | None = Field(default=None, description="Where texts are generated.")
    python: dict[str, PythonAnswer] = Field(
        default={}, description="By the SHA-256 of the function's text."
    )
    n_controls: int
    control_tokens: tuple[str, ...] = ()
    procedure: tuple[ProcedureControl, ...] = ()
    problem: str | None = Field(default=None, description="Why it could not be measured.")


class InterventionRecord(Recorded):
    """An intervention and its trials, one per prompt."""

    name: str
    trials: dict[str, Trial]


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


class HeadLoading(Recorded):
    """What one attention head carries of the edges from one supernode to another."""

    layer: int
    head: int
    weight: float = Field(description="In the edges' unit; over their sum, the share it carries.")


class GraphEdge(Recorded):
    """All direct effects of one supernode on another, or on what the graph explains."""

    source: str
    target: str = Field(description="A supernode, or `output`.")
    weight: float = Field(description="Sum of the edges.")
    share: float | None = Field(
        description="weight / Σ |edges into the target|; None if that is 0."
    )
    n_controls: int = Field(
        default=0, description="Random sets of the graph in place of the source, as many features."
    )
    n_as_high: int = Field(default=0, description="Of these, shares at least as high.")
    n_as_low: int = 0
    control_median: float | None = Field(default=None, description="Their median share.")
    heads: tuple[HeadLoading, ...] = Field(
        default=(), description="The heads that carry most of it, where the file asks for them."
    )


class Ablation(Recorded):
    """What ablating some features does to the explained quantity: predicted and measured.

    Changes of the logit (minus the vocabulary's mean, before any soft cap) or of the difference.
    """

    name: str = Field(description="A supernode, or a feature as layer_index_position.")
    is_supernode: bool
    n_features: int = Field(description="Members that are in the graph.")
    predicted_direct: float = Field(description="Minus the sum of the edges to the output.")
    predicted_total: float = Field(description="Through every feature that the graph keeps.")
    measured_direct: float = Field(description="freeze: all.")
    measured_attention: float = Field(description="freeze: attention.")
    measured_free: float = Field(description="Everything reacts.")


class Firing(Recorded):
    """A token on which a feature is strongly active, in one of the hypothesis's prompts."""

    prompt: str
    before: str = Field(description="Some tokens before it.")
    token: str
    activation: float


class FeatureTokens(Recorded):
    """What a feature of a graph promotes and suppresses on the direct path, strongest first.

    As it is active on this prompt: where its activation is below 0 the two change places, and it
    fires where it is far below 0.
    """

    promotes: tuple[str, ...]
    suppresses: tuple[str, ...]
    fires: tuple[Firing, ...] = Field(default=(), description="Each prompt's strongest token.")
    indexed: IndexedFeature | None = Field(
        default=None, description="From an index of a text, where there is one."
    )


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
    kept_replacement: float | None = Field(
        default=None, description="Without what dropped features write: as circuit-tracer counts."
    )
    kept_completeness: float | None = None
    supernode_replacement: float | None = Field(description="With the supernodes' features alone.")
    supernode_completeness: float | None
    members: dict[str, int] = Field(description="By supernode, its features in the graph.")
    edges: tuple[GraphEdge, ...]
    ablations: tuple[Ablation, ...]
    features: dict[str, FeatureTokens] = Field(
        default={}, description="The most influential features, by layer_index_position."
    )
    carried: dict[str, HeadShareRecord] = Field(
        default={}, description="What heads carry of edges, by the name of the claim."
    )
    reasons: dict[str, ReasonRecord] = Field(
        default={}, description="Why heads look somewhere, by the name of the claim."
    )
    looks: dict[str, HeadShareRecord] = Field(
        default={},
        description="How much heads look somewhere, unclamped: weights of their patterns, of 1.",
    )
