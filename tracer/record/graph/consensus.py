"""The consensus of attribution graphs: what is there on most of some prompts, as one graph.

Each graph is pruned in several ways. A node is a kind, a layer, an index and a place (see
`tracer.record.graph.alignment`); what a graph explains is a node by its role. A node or an edge
is in the consensus graph, the *core*, where at least a share of the prompts have it at the first
pruning. The graph's positions are places. Activations, edges, constants, values and the logits'
weights are medians over the prompts that have them; an edge whose median is 0 is left out.

How many prompts have each at every pruning, how many of these are held out, and how many have the
median's sign is told beside it (`tracer.record.graph.agreement`). Tokens before the first span are
the same on every prompt of a template, and so are the activations there: that a feature is found
there on every prompt says less than at a span, or behind one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

import numpy as np
from jaxtyping import Bool, Float, Int

from tracer.record.graph.agreement import Agreement, Counted, Pruning
from tracer.record.graph.alignment import Alignment
from tracer.record.graph.consensus_items import (
    DIFFERENCE,
    FEATURES,
    TARGET,
    Items,
    Numbers,
    PromptGraph,
    ReadGraph,
    SharedNode,
    read_graph,
)
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Subject
from tracer.record.graph.heads import HeadNodes

PRUNINGS = (Pruning(0.8, 0.98), Pruning(0.6, 0.9), Pruning(0.9, 0.99))
"""The first is the one that shares are counted at."""
CORE = 0.8
"""Share of the prompts, where nobody says otherwise."""


def consensus(
    graphs: Iterable[PromptGraph],
    alignment: Alignment,
    core: float = CORE,
    prunings: Sequence[Pruning] = PRUNINGS,
) -> AttributionGraph:
    """The core of some graphs, with the agreement over them.

    Args:
        graphs: One for each prompt of the alignment, all of one model and basis. Each is read once
            and let go.
        alignment: Of all of them.
        core: Least share of the prompts, above 0.
        prunings: Shares are counted at the first; a graph that was cut so already stays as it is.
    """
    numbers = Numbers()
    read: dict[str, ReadGraph] = {}
    for each in graphs:
        read[each.name] = read_graph(each, alignment.numbers[each.name], prunings, numbers)
    assert read.keys() == alignment.numbers.keys(), "a graph for each prompt"
    known, found = list(numbers), list(read.values())
    of_nodes, of_edges = [each.nodes for each in found], [each.edges for each in found]
    held_out = np.array([each.held_out for each in found])
    is_feature = np.array([node.kind in FEATURES for node in known], dtype=bool)
    kept = _ordered(_in_core(of_nodes, core), known)
    nodes = _core_nodes(found, kept, known)
    edges, rows, columns = _core_edges(of_edges, kept, nodes, core)
    matrix = np.zeros((nodes.n_targets, nodes.n_sources), dtype=np.float32)
    matrix[rows, columns] = _medians(of_edges, edges, "weight")
    targets = np.concatenate([kept[: nodes.n_features], kept[nodes.n_sources :]])
    agreement = Agreement(
        prompts=tuple(read),
        held_out=tuple(name for name, each in read.items() if each.held_out),
        prunings=tuple(prunings),
        core=core,
        places=alignment.places,
        having=tuple(alignment.having().tolist()),
        nodes=_counted(of_nodes, kept, "activation", held_out, _spread(of_nodes, is_feature)),
        edges=_counted(of_edges, edges, "weight", held_out, _spread(of_edges)),
    )
    return AttributionGraph(
        _subject(found, agreement),
        nodes,
        matrix,
        constants=_medians(of_nodes, targets, "constant").astype(np.float32),
        values=_medians(of_nodes, targets, "value").astype(np.float32),
        pruning=prunings[0],
        agreement=agreement,
    )


def _subject(found: Sequence[ReadGraph], agreement: Agreement) -> Subject:
    """Of the places; counts are medians over the prompts."""
    subjects = [each.subject for each in found]
    labels = tuple(place.label for place in agreement.places)
    return Subject(
        prompt="".join(labels),
        tokens=labels,
        token_ids=(-1,) * len(labels),
        model=subjects[0].model,
        fingerprint=subjects[0].fingerprint,
        basis=subjects[0].basis,
        n_layers=subjects[0].n_layers,
        n_active=int(np.median([each.n_active for each in subjects])),
        relevance_share=float(np.median([each.relevance_share for each in subjects])),
    )


def _core_nodes(
    found: Sequence[ReadGraph], kept: Int[np.ndarray, " node"], known: Sequence[SharedNode]
) -> Nodes:
    of_nodes = [each.nodes for each in found]
    some = [known[number] for number in kept.tolist()]
    features = [each for each in some if each.kind in FEATURES]
    errors = [each for each in some if each.kind.endswith("error")]
    logits = kept[len(some) - sum(each.kind == "logit" for each in some) :]
    weights = _medians(of_nodes, logits, "logit")
    places = [(node.layer, node.place, node.number) for node in features]
    return Nodes(
        features=np.array(places, dtype=np.int64).reshape(-1, 3),
        activations=_medians(of_nodes, kept[: len(features)], "activation").astype(np.float32),
        errors=np.array([(n.layer, n.place) for n in errors], np.int64).reshape(-1, 2),
        tokens=np.array([n.place for n in some if n.kind == "token"], dtype=np.int64),
        logits=tuple(
            _logit(found, number, known[number], weight)
            for number, weight in zip(logits.tolist(), weights.tolist(), strict=True)
        ),
        attention=_numbers_of("attention", features),
        attention_errors=_numbers_of("attention error", errors),
        heads=_heads(found),
    )


def _numbers_of(kind: str, nodes: Sequence[SharedNode]) -> Int[np.ndarray, " some"]:
    return np.array([n for n, node in enumerate(nodes) if node.kind == kind], dtype=np.int64)


def _logit(found: Sequence[ReadGraph], number: int, node: SharedNode, weight: float) -> Logit:
    """Called by its role; a direction that is the same on all prompts by its label."""
    labels = {each.labels[number] for each in found if number in each.labels}
    if node.role == DIFFERENCE and len(labels) == 1:
        return Logit(labels.pop(), None, weight)
    return Logit(node.role, None if node.number < 0 else node.number, weight)


def _heads(found: Sequence[ReadGraph]) -> HeadNodes | None:
    """Medians of what is told of heads, where every graph has some."""
    told = [each.heads for each in found if each.heads is not None]
    if len(told) < len(found):
        return None
    n_all = int(np.median([each.n_all for each in told]))
    return HeadNodes(n_all, float(np.median([each.relevance_share for each in told])))


def _core_edges(
    found: Sequence[Items], kept: Int[np.ndarray, " node"], nodes: Nodes, core: float
) -> tuple[Int[np.ndarray, " edge"], Int[np.ndarray, " edge"], Int[np.ndarray, " edge"]]:
    """Numbers, rows and columns of the edges in the core whose median is not 0, in order."""
    edges = _in_core(found, core)
    edges = edges[_medians(found, edges, "weight").astype(np.float32) != 0]
    order = np.argsort(kept)
    at_target, at_source = (
        order[np.searchsorted(kept[order], ends)] for ends in (edges // TARGET, edges % TARGET)
    )
    n_before = nodes.n_sources - nodes.n_features
    rows = np.where(at_target < nodes.n_features, at_target, at_target - n_before)
    ascending = np.lexsort((at_source, rows))
    return edges[ascending], rows[ascending], at_source[ascending]


def _in_core(found: Sequence[Items], core: float) -> Int[np.ndarray, " item"]:
    """Those that enough prompts have at the first pruning, ascending."""
    every, counts = np.unique(
        np.concatenate([each.by_pruning[0] for each in found]), return_counts=True
    )
    return every[counts >= ceil(core * len(found) - 1e-9)]


def _spread(
    found: Sequence[Items], wanted: Bool[np.ndarray, " number"] | None = None
) -> tuple[int, ...]:
    """How many of them are on exactly 1, 2, … prompts; of nodes, those that are `wanted`."""
    every = np.concatenate([each.by_pruning[0] for each in found])
    every = every if wanted is None else every[wanted[every]]
    counts = np.unique(every, return_counts=True)[1]
    return tuple(np.bincount(counts, minlength=len(found) + 1)[1:].tolist())


def _places_in(
    some: Int[np.ndarray, " some"], wanted: Int[np.ndarray, " item"]
) -> Int[np.ndarray, " item"]:
    """Where each wanted number is among ascending ones; −1 where it is not."""
    if not len(some):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(some, wanted), len(some) - 1)
    return np.where(some[at] == wanted, at, -1)


def _values(
    found: Sequence[Items], wanted: Int[np.ndarray, " item"], name: str
) -> Float[np.ndarray, "prompt item"]:
    """Their values on each prompt; NaN where it does not have them."""
    rows = np.full((len(found), len(wanted)), np.nan)
    for row, each in zip(rows, found, strict=True):
        at = _places_in(each.by_pruning[0], wanted)
        row[at >= 0] = each.values[name][at[at >= 0]]
    return rows


def _medians(
    found: Sequence[Items], wanted: Int[np.ndarray, " item"], name: str
) -> Float[np.ndarray, " item"]:
    """Over the prompts that have a value; NaN where none has."""
    ordered = np.sort(_values(found, wanted, name), axis=0)  # NaN comes last
    n = np.isfinite(ordered).sum(axis=0)
    columns = np.arange(len(wanted))
    low, high = np.maximum(n - 1, 0) // 2, n // 2
    return (ordered[low, columns] + ordered[np.minimum(high, len(found) - 1), columns]) / 2


def _counted(
    found: Sequence[Items],
    wanted: Int[np.ndarray, " item"],
    name: str,
    held_out: Bool[np.ndarray, " prompt"],
    spread: tuple[int, ...],
) -> Counted:
    there = np.array(
        [[_places_in(some, wanted) >= 0 for some in each.by_pruning] for each in found]
    )
    values, medians = _values(found, wanted, name), _medians(found, wanted, name)
    with_sign = (np.sign(values) == np.sign(medians)) | np.isnan(medians)
    return Counted(
        on=there.sum(axis=0).T,
        held_out=there[held_out, 0].sum(axis=0),
        same_sign=(with_sign & there[:, 0]).sum(axis=0),
        spread=spread,
    )


def _ordered(
    some: Int[np.ndarray, " item"], known: Sequence[SharedNode]
) -> Int[np.ndarray, " item"]:
    """As a graph keeps its columns, then its logits; these as they were first met."""

    def key(number: int) -> tuple[int, int, int, int]:
        node = known[number]
        depth = 2 * node.layer + (not node.kind.startswith("attention"))
        match node.kind:
            case "attention" | "feature":
                return 0, depth, node.place, node.number
            case "attention error" | "error":
                return 1, depth, node.place, 0
            case "token":
                return 2, 0, node.place, 0
            case "logit":
                return 3, number, 0, 0

    return np.array(sorted(some.tolist(), key=key), dtype=np.int64)
