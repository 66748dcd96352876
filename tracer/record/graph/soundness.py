"""Whether a stored graph is sound: each check gives the rest of a sentence, or None."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from tracer.hypothesis.studies.graph import LARGEST, MAX_CELLS
from tracer.record.graph.format import (
    Counts,
    GraphDocument,
    TensorForm,
    Tensors,
    forms,
    tracings_of,
)
from tracer.record.graph.graph import Nodes
from tracer.record.graph.qk_tracing import QkTracings


def contradiction(document: GraphDocument) -> str | None:
    """What the document says of itself that cannot be, as the rest of a sentence."""
    counts, subject = document.counts, document.subject
    n_nodes = counts.features + counts.errors + counts.tokens + counts.logits
    if len(subject.tokens) != len(subject.token_ids):
        return f"{len(subject.tokens)} tokens, but {len(subject.token_ids)} token ids"
    if len(document.logits) != counts.logits:
        return f"{len(document.logits)} logits, but a count of {counts.logits}"
    if document.n_nodes != n_nodes:
        return f"n_nodes is {document.n_nodes}, but the counts add up to {n_nodes}"
    if wrong := _wrong_agreement(document):
        return wrong
    tracings = tracings_of(document)
    return None if tracings is None else _wrong_tracings(tracings, len(subject.tokens))


def _wrong_agreement(document: GraphDocument) -> str | None:
    told, n_tokens = document.agreement, len(document.subject.tokens)
    if told is None:
        return None
    if len(told.places) != n_tokens or len(told.having) != n_tokens:
        return f"{len(told.places)} places on {len(told.having)} counts for {n_tokens} tokens"
    if len(set(told.prompts)) < len(told.prompts) or not set(told.held_out) <= set(told.prompts):
        return "the agreement names a prompt twice, or holds one out that it does not name"
    n_prompts = len(told.prompts)
    if not len(told.node_spread) == len(told.edge_spread) == n_prompts:
        return f"the agreement is of {n_prompts} prompts, and its spreads are of others"
    return None


def _wrong_tracings(tracings: QkTracings, n_tokens: int) -> str | None:
    named = {name for each in tracings.features.values() for name in each.ids()}
    if unknown := sorted(named.difference(tracings.contributors)):
        return f"the tracings name {unknown[0]!r:.100}, which they do not describe"
    if any(each.position >= n_tokens for each in tracings.contributors.values()):
        return f"the tracings name a node beyond the {n_tokens} tokens"
    return None


def too_large(counts: Counts) -> str | None:
    """Why a graph of this size is not read, as the rest of a sentence."""
    n_targets = counts.features + counts.logits
    n_sources = counts.features + counts.errors + counts.tokens
    if n_targets * n_sources > MAX_CELLS:
        return f"{n_targets} × {n_sources} cells are more than the {MAX_CELLS} that are read"
    return None


def misform(found: Mapping[str, TensorForm], document: GraphDocument) -> str | None:
    """What the header of the tensors has that it should not, as the rest of a sentence."""
    wanted = forms(document)
    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())[0]
        return f"tensor {odd!r:.100} is {'missing' if odd in wanted else 'unknown'}"
    for name, form in wanted.items():
        if found[name] != form:
            dtype, shape = found[name]
            return f"{name!r} is {dtype} {list(shape)}, not {form.dtype} {list(form.shape)}"
    return None


def misfit(tensors: Tensors, nodes: Nodes, document: GraphDocument) -> str | None:
    """What is wrong inside tensors of the right form, as the rest of a sentence."""
    for name in ("activations", "edges.weight", "constants", "values", "loadings.weight"):
        array = tensors.get(name, tensors["values"])
        # One comparison that NaN fails too; min and max need no copy.
        if array.size and not (array.min() >= -LARGEST and array.max() <= LARGEST):
            return f"{name!r} holds something that is no number or beyond ±{LARGEST:.0e}"
    subject, top = document.subject, np.iinfo(np.int32).max
    n_layers, n_tokens = subject.n_layers, len(subject.tokens)
    return (
        _wrong_numbers("attention", nodes.attention, nodes.n_features)
        or _wrong_numbers("attention_errors", nodes.attention_errors, len(nodes.errors))
        or _beyond("features", nodes.features, (n_layers, n_tokens, top))
        or _unordered("features", nodes.keys)
        or _beyond("errors", nodes.errors, (n_layers, n_tokens))
        or _unordered("errors", nodes.error_homes)
        or _beyond("tokens", nodes.tokens[:, None], (n_tokens,))
        or _unordered("tokens", nodes.tokens[:, None])
        or _wrong_edges(tensors, nodes)
        or _wrong_heads(tensors, document)
        or _wrong_counts(tensors, document)
    )


def _wrong_numbers(name: str, found: Int[np.ndarray, " some"], end: int) -> str | None:
    if len(found) and not (found.min() >= 0 and found.max() < end):
        return f"{name!r} goes beyond 0 to {end - 1}"
    return _unordered(name, found[:, None])


def _beyond(name: str, rows: Int[np.ndarray, "row column"], ends: tuple[int, ...]) -> str | None:
    for column, end in enumerate(ends):
        found = rows[:, column]
        if len(found) and not (found.min() >= 0 and found.max() < end):
            return f"{name!r} goes beyond 0 to {end - 1} in column {column}"
    return None


def _unordered(name: str, rows: Int[np.ndarray, "row column"]) -> str | None:
    later, decided = np.zeros(max(len(rows) - 1, 0), bool), np.zeros(max(len(rows) - 1, 0), bool)
    for column in range(rows.shape[1]):
        step = np.diff(rows[:, column])
        later |= ~decided & (step > 0)
        decided |= step != 0
    return None if later.all() else f"{name!r} is not sorted, or names one twice"


def _wrong_edges(tensors: Tensors, nodes: Nodes) -> str | None:
    targets, sources = tensors["edges.target"], tensors["edges.source"]
    ends = ("target", targets, nodes.n_targets), ("source", sources, nodes.n_sources)
    for name, found, end in ends:
        if len(found) and not (found.min() >= 0 and found.max() < end):
            return f"'edges.{name}' goes beyond 0 to {end - 1}"
    if (np.diff(targets.astype(np.int64) * nodes.n_sources + sources) <= 0).any():
        return "the edges are not sorted by target and source, or name a pair twice"
    if (nodes.source_places[sources, 0] >= nodes.target_places[targets, 0]).any():
        return "an edge does not lead from a lower layer to a higher one"
    if (tensors["edges.weight"] == 0).any():
        return "an edge has the weight 0"
    return None


def _wrong_heads(tensors: Tensors, document: GraphDocument) -> str | None:
    if document.heads is None:
        return None
    found, end = tensors["loadings.head"], document.subject.n_layers * document.heads.n_heads
    if found.size and not (found.min() >= -1 and found.max() < end):
        return f"'loadings.head' goes beyond -1 to {end - 1}"
    return None


def _wrong_counts(tensors: Tensors, document: GraphDocument) -> str | None:
    told = document.agreement
    for name in ("nodes", "edges") if told is not None else ():
        assert told is not None
        on = tensors[f"{name}.on"]
        ends = ("on", on, len(told.prompts)), ("held_out", tensors[f"{name}.held_out"], on[:, 0])
        for part, found, end in (*ends, ("same_sign", tensors[f"{name}.same_sign"], on[:, 0])):
            if (found < 0).any() or (found > end).any():
                return f"'{name}.{part}' counts more than there are"
    return None
