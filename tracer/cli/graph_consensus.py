"""How `tracer graph --consensus` asks for one graph of several prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tracer import engine
from tracer.cli.graph_files import TakenGraph
from tracer.engine.consensus_request import ConsensusRequest
from tracer.engine.graph_request import GraphRequest
from tracer.engine.progress import Progress
from tracer.errors import UsageError
from tracer.record.graph.consensus import CORE

if TYPE_CHECKING:
    from tracer.engine.session import Opened


def refuse_with_consensus(given: Mapping[str, object]) -> None:
    """Refuse options that say something of one prompt's graph."""
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name} is for the graph of one prompt, and not for --consensus.")


def consensus_request(request: GraphRequest, core: float | None) -> ConsensusRequest:
    """What is asked for, checked.

    Raises:
        UsageError: A text was given, or as `ConsensusRequest.check`.
    """
    if isinstance(request.source, str):
        raise UsageError("--consensus is of the prompts of a hypothesis file; a text was given.")
    asked = ConsensusRequest(request, request.source, CORE if core is None else core)
    asked.check()
    return asked


def taken_consensus(
    request: ConsensusRequest, progress: Progress, opened: Opened | None = None
) -> Iterator[TakenGraph]:
    """The one graph, with what its files are called after."""
    with progress.task("importing PyTorch and TransformerLens"):
        make = engine.consensus.consensus_graph
    found = make(request, progress, opened)
    subject, told = found.graph.subject, found.graph.agreement
    assert told is not None
    explained = [(logit.label, logit.token) for logit in found.graph.nodes.logits]
    of_what = subject.fingerprint, subject.basis, found.token_ids, told.prompts
    yield TakenGraph(
        found.graph,
        f"{found.name}, {told.n_prompts} prompts",
        f"{found.name}-consensus",
        (*of_what, explained, request.graph.kept_features, request.graph.kept_heads, told.core),
        None,
        describe=found.describe,
    )
