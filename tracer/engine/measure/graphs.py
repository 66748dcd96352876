"""Measure the attribution graph of one prompt: its scores, supernodes, ablations and features.

The record also says which tokens the pruned graph's most influential features promote, and on which
of the hypothesis's prompts they are active.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from tracer.engine.attribution import targets
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.graph import Attributed, attributed, with_head_nodes
from tracer.engine.attribution.head_loadings import MOST_HEADS, head_loadings
from tracer.engine.attribution.targets import ExplainedTarget, Targets, explained_target_of
from tracer.engine.batches import BatchLimit, batch_limit
from tracer.engine.cache import StepForm, hash_of, remembered
from tracer.engine.feature_card import described, influential, signed
from tracer.engine.feature_text import Signed, firings
from tracer.engine.features.places import Place, Places, joined, tuples_of
from tracer.engine.graph_request import N_READ
from tracer.engine.graphs import with_heads
from tracer.engine.measure.graph_ablations import Members, measure_ablations
from tracer.engine.measure.graph_controls import compared, control_shares
from tracer.engine.measure.graph_heads import heads_cause, with_claims
from tracer.engine.progress import Progress
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.record.graph import files
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import entering, scores, supernode_scores
from tracer.record.graph.prune import prune
from tracer.record.trials import (
    Ablation,
    FeatureTokens,
    Firing,
    GraphEdge,
    GraphRecord,
    HeadLoading,
)

N_MEMBERS = 20
"""Of each supernode, the strongest: as many as a printed report lists."""
MAX_PROMPTS = 16
"""Of the hypothesis; more would take longer than the graph."""
N_FIRINGS = 3


class MeasuredGraph(NamedTuple):
    """The numbers, and the pruned graph they are about."""

    record: GraphRecord
    pruned: AttributionGraph


def measure_graphs(
    context: MeasurementContext, prompts: Sequence[str], progress: Progress
) -> dict[str, MeasuredGraph]:
    """The graphs of some prompts, their features described.

    Where features fire takes passes over the hypothesis's prompts, which are made once for all.
    """
    causes = {prompt: _cause(context, prompt) for prompt in prompts}
    found = {
        prompt: _measure_graph(context, prompt, cause, progress) for prompt, cause in causes.items()
    }
    active = {
        prompt: {**influential(each.pruned, N_READ), **_members(context, prompt)}
        for prompt, each in found.items()
    }
    texts = [run.prompt for run in context.clean.values()][:MAX_PROMPTS]

    @cache
    def fires() -> dict[Signed, tuple[Firing, ...]]:
        every = dict.fromkeys(one for each in active.values() for one in signed(each))
        return firings(context.model, context.basis, list(every), texts, N_FIRINGS)

    def described_on(prompt: str, graph: MeasuredGraph) -> MeasuredGraph:
        def read() -> dict[str, FeatureTokens]:
            return described(context.model, context.basis, active[prompt], fires(), context.index)

        said = [[each.name, each.ids] for each in texts]
        cause = [causes[prompt], said, N_MEMBERS, context.index and context.index.identity]
        told = remembered(context.cache, "features", lambda: cause, _FEATURES_FORM, None, read)
        record = graph.record.model_copy(update={"features": told.result})
        return graph._replace(record=record)

    with progress.task("reading features", len(found)) as advance:
        for prompt, graph in found.items():
            found[prompt] = described_on(prompt, graph)
            advance(1)
    return found


def _cause(context: MeasurementContext, prompt: str) -> list[Any]:
    """What a prompt's graph depends on."""
    spec, clean = context.hypothesis.graph, context.clean[prompt]
    assert spec is not None
    return [
        prompt,
        clean.prompt.ids,
        explained_target_of(spec.toward, context.hypothesis.prompts[prompt], clean.prompt),
        [(name, hash_of(where)) for name, where in context.feature_places(prompt).items()],
        spec.max_features,
        spec.check,
        spec.head_loadings,
        spec.heads,
        heads_cause(context, prompt),
        context.hypothesis.seed,
        batch_limit(context.model, clean).rows,
    ]


def _measure_graph(
    context: MeasurementContext, prompt: str, cause: list[Any], progress: Progress
) -> MeasuredGraph:
    """Build a prompt's graph, read the supernodes off it, and check it by ablations."""
    spec = context.hypothesis.graph
    assert spec is not None
    clean, places = context.clean[prompt], context.feature_places(prompt)
    target = explained_target_of(spec.toward, context.hypothesis.prompts[prompt], clean.prompt)
    limit = batch_limit(context.model, clean)

    def make() -> MeasuredGraph:
        return _measure(context, prompt, places, target, limit, progress)

    return remembered(context.cache, "graph", lambda: cause, _FORM, limit, make).result


def _measure(
    context: MeasurementContext,
    prompt: str,
    places: Mapping[str, Places],
    target: ExplainedTarget,
    limit: BatchLimit,
    progress: Progress,
) -> MeasuredGraph:
    spec, model = context.hypothesis.graph, context.model
    assert spec is not None

    def toward(frozen: Frozen) -> Targets:
        return targets.explained(frozen, target, model.tokenizer)

    ids, required = context.clean[prompt].ids, joined(places.values())
    taken = attributed(model, context.basis, ids, toward, spec.max_features, progress, required)
    graph = taken.graph
    members = {name: _rows(graph, each) for name, each in places.items()}
    ablations = measure_ablations(context, prompt, graph, members, target, limit, progress)
    # What is judged is read off the graph without heads as nodes; the file may show one with them.
    shown = with_head_nodes(taken, spec.heads, progress) if spec.heads else taken
    pruned = prune(shown.graph)
    record = _record(prompt, graph, pruned, members, ablations, context.hypothesis.seed)
    if spec.head_loadings:
        pruned = with_heads(shown, pruned, progress)
        edges = tuple(_with_heads(taken, members, edge) for edge in record.edges)
        record = record.model_copy(update={"edges": edges})
    return MeasuredGraph(with_claims(context, prompt, taken, members, record), pruned)


def _with_heads(taken: Attributed, members: Members, edge: GraphEdge) -> GraphEdge:
    """The strongest loadings of all edges of a pair together."""
    output = [taken.graph.nodes.n_features]
    targets = output if edge.target == OUTPUT else members[edge.target].tolist()
    found = head_loadings(taken.nodes, members[edge.source].tolist(), targets)
    strongest = found.abs().flatten().argsort(descending=True, stable=True)[:MOST_HEADS].tolist()
    places = [divmod(place, found.shape[1]) for place in strongest]
    heads = tuple(
        HeadLoading(layer=layer, head=head, weight=float(found[layer, head]))
        for layer, head in places
        if found[layer, head] != 0
    )
    return edge.model_copy(update={"heads": heads})


def _rows(graph: AttributionGraph, places: Places) -> Int[np.ndarray, " _"]:
    found = graph.nodes.find(places)
    return found[found >= 0]


def _record(
    prompt: str,
    graph: AttributionGraph,
    pruned: AttributionGraph,
    members: Members,
    ablations: tuple[Ablation, ...],
    seed: int,
) -> GraphRecord:
    whole, theirs = scores(graph), graph.subject.without_dropped
    assert theirs is not None
    kept = np.zeros(graph.nodes.n_features, dtype=bool)
    for rows in members.values():
        kept[rows] = True
    named = supernode_scores(graph, kept)
    return GraphRecord(
        file=f"graph-{prompt}.json",
        target=graph.nodes.logits[0].label,
        n_active=graph.subject.n_active,
        n_features=graph.nodes.n_features,
        relevance_share=graph.subject.relevance_share,
        n_pruned=pruned.nodes.n_features - pruned.nodes.n_heads,
        replacement=whole.replacement,
        completeness=whole.completeness,
        kept_replacement=theirs.replacement,
        kept_completeness=theirs.completeness,
        supernode_replacement=named.replacement,
        supernode_completeness=named.completeness,
        members={name: len(rows) for name, rows in members.items()},
        edges=tuple(_edges(graph, members, seed)),
        ablations=ablations,
    )


def _edges(graph: AttributionGraph, members: Members, seed: int) -> Iterator[GraphEdge]:
    """Between every two supernodes, and from each to what is explained, with their controls."""
    ends = {**members, OUTPUT: np.array([graph.nodes.n_features])}
    sums = {target: entering(graph, rows) for target, rows in ends.items()}
    for source, from_rows in members.items():
        for target, to_rows in ends.items():
            if source != target and len(from_rows) and len(to_rows):
                weight, share = sums[target].of(from_rows)
                found = GraphEdge(source=source, target=target, weight=weight, share=share)
                controls = control_shares(graph, from_rows, to_rows, sums[target], str(seed))
                against = {} if share is None else compared(share, controls)
                yield found.model_copy(update=against)


def _pack(found: MeasuredGraph) -> StoredEntry:
    kept = files.pack(found.pruned)
    record = found.record.model_dump(mode="json")
    return StoredEntry(kept.tensors, {"record": record, "graph": kept.about})


def _unpack(entry: StoredEntry) -> MeasuredGraph:
    packed = files.PackedGraph(dict(entry.arrays), entry.about["graph"])
    return MeasuredGraph(GraphRecord.model_validate(entry.about["record"]), files.unpack(packed))


_FORM = StepForm(_pack, _unpack)


def _members(context: MeasurementContext, prompt: str) -> dict[Place, float]:
    """Activations of the strongest members of each supernode, in the graph or not."""
    strongest = joined(where[:N_MEMBERS] for where in context.feature_places(prompt).values())
    found = context.clean[prompt].at(strongest).tolist()
    return dict(zip(tuples_of(strongest), found, strict=True))


def _pack_features(found: dict[str, FeatureTokens]) -> StoredEntry:
    return StoredEntry({}, {name: each.model_dump(mode="json") for name, each in found.items()})


def _unpack_features(entry: StoredEntry) -> dict[str, FeatureTokens]:
    return {name: FeatureTokens.model_validate(each) for name, each in dict(entry.about).items()}


_FEATURES_FORM = StepForm(_pack_features, _unpack_features)
