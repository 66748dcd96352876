"""What `tracer graph` tells programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Copied, Document
from tracer.record.files import Recorded


class HeadWeight(Copied):
    """What an attention head carries of an edge."""

    layer: int
    head: int
    weight: float = Field(description="In the edge's unit.")


class StrongestEdge(Copied):
    """The largest edge that leaves a node."""

    target: str = Field(description="A feature's id, or a logit's label.")
    is_logit: bool
    weight: float
    heads: tuple[HeadWeight, ...] = Field(description="Those that carry it, where that was found.")


class GraphFeature(Copied):
    """One of the most influential features, or heads."""

    id: str = Field(description="`layer_index_position`.")
    token: str = Field(description="What stands at its position.")
    activation: float
    influence: float
    strongest: StrongestEdge | None = Field(description="Null where no edge leaves it.")


class GraphHeads(Recorded):
    """Heads of attention that are nodes."""

    n_all: int = Field(description="Heads at positions, nodes or not.")
    n_left: int
    relevance_share: float


class KeptShares(Copied):
    """Shares of the influence that pruning kept."""

    nodes: float
    edges: float


class GraphScores(Copied):
    """Replacement and completeness of the whole graph."""

    replacement: float | None
    completeness: float | None


class ExplainedLogit(Copied):
    """One thing that the graph explains."""

    label: str
    token: int | None = Field(description="Vocabulary id; null for a direction.")
    weight: float = Field(description="The token's probability; 1 for a direction.")


class GraphSupernode(Recorded):
    """A supernode of the file that a graph was read from."""

    label: str
    ids: tuple[str, ...]
    absent: tuple[str, ...] = Field(description="Of the ids, those that are not in the graph.")


class NodeShare(Copied):
    """A node, and its part of a head's score on one side."""

    id: str
    part: float


class PairShare(Copied):
    """What a node on the query side and one on the key side give together."""

    query: str
    key: str
    part: float


class FeatureWords(Copied):
    """Tokens that a feature promotes and suppresses."""

    promotes: tuple[str, ...]
    suppresses: tuple[str, ...]


class HeadScore(Recorded):
    """Why a head looks from one token at another; see `tracer.record.graph.head_reason`."""

    layer: int
    head: int
    query: int = Field(description="Position that it looks from.")
    key: int = Field(description="Position that it looks at.")
    against: int | Literal["mean"] | None = Field(description="Of what the score is subtracted.")
    attention: tuple[float, ...] = Field(description="What it pays to each position.")
    score: float
    total: float = Field(description="What is told: the score, or the difference.")
    slope: float
    query_side: tuple[NodeShare, ...] = Field(description="Strongest first.")
    key_side: tuple[NodeShare, ...]
    pairs: tuple[PairShare, ...]
    n_nodes: int = Field(description="On each side, listed or not.")
    features: dict[str, FeatureWords] = Field(description="By id.")


class SupportCounts(Copied):
    """On how many prompts a node or an edge is."""

    on: tuple[int, ...] = Field(description="By pruning; shares are counted at the first.")
    held_out: int = Field(description="Of the first, those that are held out.")
    same_sign: int = Field(description="Of the first, those with the median's sign.")


class ConsensusNode(Copied):
    """A feature, head, error or token that most prompts have."""

    id: str = Field(description="Its position is a place.")
    place: str
    activation: float | None = Field(description="Median; null of errors and tokens.")
    influence: float = Field(description="In the consensus graph.")
    support: SupportCounts


class ConsensusEdge(Copied):
    """An edge that most prompts have."""

    source: str
    source_place: str
    target: str = Field(description="A feature's id, or a logit's label.")
    target_place: str = Field(description="Empty of what is explained.")
    weight: float = Field(description="Median.")
    influence: float = Field(description="What it carries.")
    support: SupportCounts


class PlaceCount(Copied):
    """A place that some prompts lack."""

    place: str
    having: int = Field(description="Prompts that have it.")


class ConsensusFacts(Copied):
    """What of a consensus is on how many prompts."""

    prompts: tuple[str, ...]
    held_out: tuple[str, ...] = Field(description="Those of the prompts that are held out.")
    prunings: tuple[KeptShares, ...]
    core: float = Field(description="Least share of the prompts.")
    n_places: int
    uncommon: tuple[PlaceCount, ...]
    feature_spread: tuple[int, ...] = Field(
        description="How many features are on exactly 1, 2, … prompts, in the core or not."
    )
    edge_spread: tuple[int, ...]
    n_features: int = Field(description="Of the core.")
    n_edges: int
    n_first_features: int = Field(description="Of these, those in front of all spans.")
    n_first_edges: int = Field(description="Of these, those whose both ends are.")
    nodes: tuple[ConsensusNode, ...] = Field(description="The most influential of the core.")
    edges: tuple[ConsensusEdge, ...] = Field(description="Those of the core that carry most.")


class GraphFacts(Recorded):
    """One graph. What the file that it was read from does not tell is null."""

    name: str | None = Field(description="Of the prompt, in a hypothesis file.")
    prompt: str
    tokens: tuple[str, ...]
    model: str
    basis: str
    n_active: int | None = Field(description="Active features of the prompt.")
    n_kept: int = Field(description="Features of the whole graph.")
    n_attention: int = Field(description="Features left that are of attention dictionaries.")
    relevance_share: float | None = Field(description="Of the kept features, 0 to 1.")
    heads: GraphHeads | None = Field(description="Null where heads are no nodes.")
    pruning: KeptShares | None
    n_nodes: int
    n_edges: int
    replacement: float | None
    completeness: float | None
    without_dropped: GraphScores | None = Field(
        description="The scores without what dropped features write."
    )
    targets: tuple[ExplainedLogit, ...]
    features: tuple[GraphFeature, ...] = Field(description="The most influential, heads included.")
    source: str | None = Field(description="The file that it was read from.")
    supernodes: tuple[GraphSupernode, ...] = Field(description="Of that file.")
    why: HeadScore | None = Field(description="Where it was asked why a head looks somewhere.")
    consensus: ConsensusFacts | None = Field(
        description="Of a consensus over prompts; null of one prompt's graph."
    )
    files: tuple[str, ...] = Field(description="Written now.")


class Graphs(Document):
    """Attribution graphs that were taken or read."""

    schema_: Literal["tracer.graphs/1"] = Field(default="tracer.graphs/1", alias="schema")
    graphs: tuple[GraphFacts, ...]
