"""What was measured beside interventions: circuits, shared representations, attribution graphs."""

from __future__ import annotations

from pydantic import Field

from tracer.record.json_model import Recorded


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


class GraphEdge(Recorded):
    """All direct effects of one supernode on another, or on what the graph explains."""

    source: str
    target: str = Field(description="A supernode, or `output`.")
    weight: float = Field(description="Sum of the edges.")
    share: float | None = Field(
        description="weight / Σ |edges into the target|; None if that is 0."
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
    supernode_replacement: float | None = Field(description="With the supernodes' features alone.")
    supernode_completeness: float | None
    members: dict[str, int] = Field(description="By supernode, its features in the graph.")
    edges: tuple[GraphEdge, ...]
    ablations: tuple[Ablation, ...]
    features: dict[str, FeatureTokens] = Field(
        default={}, description="The most influential features, by layer_index_position."
    )
