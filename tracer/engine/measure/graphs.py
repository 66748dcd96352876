"""Measure the attribution graph of one prompt of a hypothesis, and hold it against clamps.

The graph is linear and the model is not, so the graph is checked where it makes a prediction:
every supernode, and some single features, are ablated in the real model, with everything frozen
(where the graph must be right), with attention frozen, and free. Half of the single features are
the most influential ones, half are drawn at random from those the graph keeps.

What the most influential features of a graph say, and where else they fire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution import targets
from tracer.engine.attribution.graph import attribute
from tracer.engine.cache import StepForm, remembered
from tracer.engine.clean import clean_run
from tracer.engine.explained import ExplainedTarget, explained_target_of
from tracer.engine.feature_card import logit_effects
from tracer.engine.feature_text import Signed, firings
from tracer.engine.features.basis import Place
from tracer.engine.forward import BatchLimit, Row, batch_limit, run_rows
from tracer.engine.freeze import Freeze
from tracer.engine.measure.prompts import MeasurementContext, read_places
from tracer.engine.progress import Advance, Progress
from tracer.engine.store import StoredEntry
from tracer.hypothesis.studies.graph import OUTPUT, GraphSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.graph import files
from tracer.record.graph.effects import ablation_effects, edges_between
from tracer.record.graph.graph import AttributionGraph, id_of_row
from tracer.record.graph.influence import influence
from tracer.record.graph.prune import prune
from tracer.record.graph.scores import scores, supernode_scores
from tracer.record.studies import Ablation, FeatureTokens, GraphEdge, GraphRecord

N_READ = 150
"""Features of a graph whose tokens are read: more than are looked at, a second of work."""
N_TOKENS = 6
MAX_PROMPTS = 16
"""Of the hypothesis; more would take longer than the graph."""
N_FIRINGS = 3


def features_of(
    bench: MeasurementContext, pruned: AttributionGraph, graph_key: str, limit: BatchLimit
) -> dict[str, FeatureTokens]:
    """What the most influential features say, the prompt's sign of each taken in.

    Where they fire is told of the first prompts of the file, so it is a step of its own: another
    prompt makes no graph anew.

    Args:
        bench: Opened and resolved.
        pruned: The graph.
        graph_key: What the graph is kept under.
        limit: Nothing is kept if memory runs out meanwhile.
    """
    prompts = [run.prompt for run in bench.clean.values()][:MAX_PROMPTS]
    cache = bench.step_cache
    cause = [graph_key, [[prompt.name, prompt.ids] for prompt in prompts]]
    key = cache.key("features", cause) if cache else ""
    return remembered(
        cache, key, _FEATURES_FORM, limit, lambda: _read(bench, pruned, prompts)
    ).result


def _read(
    bench: MeasurementContext, pruned: AttributionGraph, prompts: Sequence[TokenizedPrompt]
) -> dict[str, FeatureTokens]:
    nodes = pruned.nodes
    rows = np.argsort(-influence(pruned).features, kind="stable")[:N_READ].tolist()
    ids = [(int(nodes.features[row, 0]), int(nodes.features[row, 2])) for row in rows]
    signs = np.where(nodes.activations[rows] >= 0, 1, -1).tolist()
    signed = [Signed(each, sign) for each, sign in zip(ids, signs, strict=True)]
    fire = firings(bench.model, bench.basis, signed, prompts, N_FIRINGS)
    said = logit_effects(bench.model, bench.basis, ids, N_TOKENS)
    told: dict[str, FeatureTokens] = {}
    for row, each, places in zip(rows, said, fire, strict=True):
        ends = (each.promoted, each.suppressed)
        up, down = ends if nodes.activations[row] >= 0 else ends[::-1]
        told[id_of_row(nodes, row)] = FeatureTokens(
            promotes=tuple(one.token for one in up),
            suppresses=tuple(one.token for one in down),
            fires=places,
        )
    return told


def _pack_features(found: dict[str, FeatureTokens]) -> StoredEntry:
    return StoredEntry({}, {name: each.model_dump(mode="json") for name, each in found.items()})


def _unpack_features(entry: StoredEntry) -> dict[str, FeatureTokens]:
    return {name: FeatureTokens.model_validate(each) for name, each in dict(entry.about).items()}


_FEATURES_FORM = StepForm(_pack_features, _unpack_features)


FREEZES: tuple[Freeze, ...] = ("all", "attention", "none")
Members = Mapping[str, Int[np.ndarray, " _"]]
"""Rows of each supernode's features that are in the graph."""


class MeasuredGraph(NamedTuple):
    """The numbers, and the pruned graph they are about."""

    record: GraphRecord
    pruned: AttributionGraph


class _Item(NamedTuple):
    """What is ablated: a supernode, or a single feature."""

    name: str
    is_supernode: bool
    rows: Int[np.ndarray, " _"]


def measure_graph(bench: MeasurementContext, prompt: str, progress: Progress) -> MeasuredGraph:
    """Build a prompt's graph, read the supernodes off it, and check it by ablations."""
    spec = bench.hypothesis.graph
    assert spec is not None
    clean = bench.clean[prompt]
    places, wish = read_places(bench, prompt), _wish(bench, prompt)
    limit = batch_limit(bench.model, clean)
    cause = [
        prompt,
        clean.prompt.ids,
        wish,
        list(places.items()),
        spec.max_features,
        spec.check,
        bench.hypothesis.seed,
        limit.rows,
    ]
    cache = bench.step_cache
    key = cache.key("graph", cause) if cache else ""

    def make() -> MeasuredGraph:
        return _measure(bench, prompt, spec, places, wish, limit, progress)

    record, pruned = remembered(cache, key, _FORM, limit, make).result
    with progress.task(f"reading features on {prompt}"):
        features = features_of(bench, pruned, key, limit)
    return MeasuredGraph(record.model_copy(update={"features": features}), pruned)


def _measure(
    bench: MeasurementContext,
    prompt: str,
    spec: GraphSpec,
    places: Mapping[str, Sequence[Place]],
    wish: ExplainedTarget,
    limit: BatchLimit,
    progress: Progress,
) -> MeasuredGraph:
    clean = bench.clean[prompt]
    required = [place for each in places.values() for place in each]
    graph = attribute(
        bench.model,
        bench.basis,
        clean.ids,
        lambda frozen: targets.explained(frozen, wish, bench.model.tokenizer),
        spec.max_features,
        progress,
        required,
    )
    members = {name: _rows(graph, each) for name, each in places.items()}
    items = _items(graph, members, spec.check, bench.hypothesis.seed)
    with progress.task(f"ablating on {prompt}", len(FREEZES) * len(items)) as advance:
        ablations = _ablations(bench, prompt, graph, items, limit, advance)
    pruned = prune(graph)
    return MeasuredGraph(_record(prompt, graph, pruned, members, ablations), pruned)


def _pack(found: MeasuredGraph) -> StoredEntry:
    kept = files.pack(found.pruned)
    record = found.record.model_dump(mode="json")
    return StoredEntry(kept.tensors, {"record": record, "graph": kept.about})


def _unpack(entry: StoredEntry) -> MeasuredGraph:
    record = GraphRecord.model_validate(entry.about["record"])
    return MeasuredGraph(
        record, files.unpack(files.PackedGraph(dict(entry.arrays), entry.about["graph"]))
    )


_FORM = StepForm(_pack, _unpack)


def _wish(bench: MeasurementContext, prompt: str) -> ExplainedTarget:
    """What the graph section explains on a prompt."""
    spec = bench.hypothesis.graph
    assert spec is not None
    return explained_target_of(
        spec.toward, bench.hypothesis.prompts[prompt], bench.clean[prompt].prompt
    )


def _rows(graph: AttributionGraph, places: Sequence[Place]) -> Int[np.ndarray, " _"]:
    found = graph.nodes.find(np.array(places, dtype=np.int64).reshape(-1, 3))
    return found[found >= 0]


def _items(graph: AttributionGraph, members: Members, n: int, seed: int) -> list[_Item]:
    """Supernodes, then single features: the most influential half, then some at random."""
    order = np.argsort(-influence(graph).features, kind="stable")
    top, rest = order[: (n + 1) // 2], order[(n + 1) // 2 :]
    drawn = np.random.default_rng(seed).permutation(rest)[: n // 2]
    singles = [np.array([row]) for row in (*top, *drawn)]
    named = [_Item(name, True, rows) for name, rows in members.items() if len(rows)]
    return named + [_Item(id_of_row(graph.nodes, int(rows[0])), False, rows) for rows in singles]


def _ablations(
    bench: MeasurementContext,
    prompt: str,
    graph: AttributionGraph,
    items: Sequence[_Item],
    limit: BatchLimit,
    advance: Advance,
) -> tuple[Ablation, ...]:
    groups = [item.rows for item in items]
    predicted = ablation_effects(graph, groups, graph.nodes.n_features)
    measured = _measured(bench, prompt, graph, groups, limit, advance)
    return tuple(
        Ablation(
            name=item.name,
            is_supernode=item.is_supernode,
            n_features=len(item.rows),
            predicted_direct=float(predicted.direct[number]),
            predicted_total=float(predicted.total[number]),
            measured_direct=measured["all"][number],
            measured_attention=measured["attention"][number],
            measured_free=measured["none"][number],
        )
        for number, item in enumerate(items)
    )


def _measured(
    bench: MeasurementContext,
    prompt: str,
    graph: AttributionGraph,
    groups: Sequence[Int[np.ndarray, " _"]],
    limit: BatchLimit,
    advance: Advance,
) -> dict[Freeze, list[float]]:
    """Change of the explained quantity when each group is set to 0, by freeze mode."""
    places = [[(f[0], f[1], f[2]) for f in graph.nodes.features[g].tolist()] for g in groups]
    positions = {pos for group in places for _, pos, _ in group}
    clean = clean_run(bench.model, bench.basis, bench.clean[prompt].prompt, positions)
    read = _reader(bench, prompt)
    before = float(read(clean.logits[None])[0])
    rows = [Row(dict.fromkeys(each, 0.0), freeze) for freeze in FREEZES for each in places]
    after = torch.zeros(len(rows), dtype=torch.float64)
    for numbers, logits, _ in run_rows(bench.model, bench.basis, clean, rows, limit):
        after[numbers] = read(logits).double().cpu()
        advance(len(numbers))
    changes = (after - before).view(len(FREEZES), len(groups)).tolist()
    return dict(zip(FREEZES, changes, strict=True))


def _reader(
    bench: MeasurementContext, prompt: str
) -> Callable[[Float[Tensor, "row vocab"]], Float[Tensor, " row"]]:
    """The graph's first target, read off logits: less their mean, without the soft cap."""
    wish, cap = _wish(bench, prompt), bench.model.soft_cap
    top = [(int(bench.clean[prompt].logits.argmax()), 1.0)]
    direction = top if wish == "salient" else wish
    of_mean = sum(coefficient for _, coefficient in direction)

    def read(logits: Tensor) -> Tensor:
        plain = logits if cap is None else cap * torch.atanh(logits / cap)
        named = [coefficient * plain[:, token] for token, coefficient in direction]
        return torch.stack(named).sum(0) - of_mean * plain.mean(-1)

    return read


def _record(
    prompt: str,
    graph: AttributionGraph,
    pruned: AttributionGraph,
    members: Members,
    ablations: tuple[Ablation, ...],
) -> GraphRecord:
    whole = scores(graph)
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
        n_pruned=pruned.nodes.n_features,
        replacement=whole.replacement,
        completeness=whole.completeness,
        supernode_replacement=named.replacement,
        supernode_completeness=named.completeness,
        members={name: len(rows) for name, rows in members.items()},
        edges=tuple(_edges(graph, members)),
        ablations=ablations,
    )


def _edges(graph: AttributionGraph, members: Members) -> Iterator[GraphEdge]:
    """Between every two supernodes, and from each to what is explained."""
    ends = {**members, OUTPUT: np.array([graph.nodes.n_features])}
    for source, from_rows in members.items():
        for target, to_rows in ends.items():
            if source != target and len(from_rows) and len(to_rows):
                weight, share = edges_between(graph, from_rows, to_rows)
                yield GraphEdge(source=source, target=target, weight=weight, share=share)
