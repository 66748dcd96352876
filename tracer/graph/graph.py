"""The attribution graph of one prompt: signed direct effects between features, and on the output.

Convention, here and nowhere else: `edges[target, source]`. An edge is what the source adds to the
target's pre-activation (for a logit: to the logit less its mean over the vocabulary, before any
soft cap) in the local replacement model, where attention patterns, norm scales and errors are held
as on the prompt (Ameisen et al. 2025, Circuit Tracing). So doubling a source raises the target by
that edge while everything else is held, and a target's incoming edges plus its constant are its
value:

    edges.sum(1) + constants = values

A pruned graph has fewer nodes and edges, and its constants no longer close that sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracer.graph.nodes import Nodes


@dataclass(frozen=True)
class Subject:
    """What a graph is of: the prompt, the model and the basis."""

    prompt: str
    """The text."""
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    model: str
    fingerprint: str
    """Of the model's weights."""
    basis: str
    """`neurons`, or the name of a set of transcoders."""
    n_layers: int
    n_active: int
    """Active features on the prompt, kept or not."""
    relevance_share: float
    """Share of all features' relevance to the logits that the kept ones carry, 0 to 1."""


@dataclass(frozen=True)
class Pruning:
    """The shares of influence that a pruning kept (see `tracer.graph.prune`)."""

    nodes: float
    edges: float


@dataclass(frozen=True)
class AttributionGraph:
    """Nodes and the signed direct effects between them."""

    subject: Subject
    nodes: Nodes
    edges: Float[np.ndarray, "target source"]
    """float32; 0 where there is no edge."""
    constants: Float[np.ndarray, " target"]
    """What biases, and the fixed opening positions' MLPs, add to a target."""
    values: Float[np.ndarray, " target"]
    """The target's pre-activation; for a logit, the logit less the vocabulary's mean."""
    pruning: Pruning | None = None
    """None as long as nothing has been cut."""
