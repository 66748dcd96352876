"""The nodes of a graph JSON by what their types and ids say, in the order of the edge matrix.

Files that explain attention by a dictionary too name an MLP's features and errors with a middle
word, and count the logits' layer otherwise (see `tracer.hypothesis.neuronpedia_ids`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from tracer.errors import UsageError, listed, shorten, show
from tracer.hypothesis.neuronpedia_ids import (
    BIAS,
    EMBEDDING,
    ERROR,
    FEATURE,
    LOGIT,
    LORSA,
    LORSA_ERROR,
    EmbeddingName,
    ErrorName,
    FeatureName,
    LogitName,
    attention_error_id,
    attention_feature_id,
    error_id,
    feature_id,
    logit_id,
    parse_attention_error,
    parse_attention_feature,
    parse_embedding,
    parse_error,
    parse_feature,
    parse_file_feature,
    parse_head_node,
    parse_logit,
)
from tracer.record.graph.neuronpedia_format import NodeEntry

Name = TypeVar("Name", FeatureName, ErrorName, EmbeddingName, LogitName)


@dataclass(frozen=True, slots=True)
class PlacedEntry(Generic[Name]):
    """A node, and what its id says."""

    name: Name
    entry: NodeEntry
    of_attention: bool = False


@dataclass(frozen=True)
class Entries:
    """A file's nodes; nothing is told of those that send constants."""

    features: tuple[PlacedEntry[FeatureName], ...]
    errors: tuple[PlacedEntry[ErrorName], ...]
    tokens: tuple[PlacedEntry[EmbeddingName], ...]
    logits: tuple[PlacedEntry[LogitName], ...]
    n_layers: int
    has_heads: bool
    """Whether those of attention are heads."""

    @cached_property
    def renamed(self) -> dict[str, str]:
        """By the id in the file, what we call those nodes that we call otherwise.

        A feature and an error may have one id; it is the feature's.
        """
        places = (*self.errors, *self.features, *self.tokens, *self.logits)
        found = {each.entry.node_id: our_id(each.entry, self.n_layers) for each in places}
        found |= {each.entry.node_id: our_id(each.entry, self.n_layers) for each in self.features}
        return {theirs: ours for theirs, ours in found.items() if theirs != ours}


def our_id(entry: NodeEntry, n_layers: int) -> str:
    """What we call a node; its own id where it is of no kind that we write."""
    text, kind = entry.node_id, entry.feature_type
    if kind == FEATURE and (feature := parse_file_feature(text)):
        return feature_id(*feature)
    if kind == LORSA and (feature := parse_attention_feature(text)):
        return attention_feature_id(*feature)
    if kind == ERROR and (error := parse_error(text)):
        return error_id(*error)
    if kind == LORSA_ERROR and (error := parse_attention_error(text)):
        return attention_error_id(*error)
    if kind == LOGIT and (logit := parse_logit(text)):
        return logit_id(n_layers, logit.token, logit.pos)
    return text


def read_entries(nodes: Sequence[NodeEntry], n_tokens: int) -> Entries:
    """Sort a file's nodes by kind and place.

    Raises:
        UsageError: One is of an unknown type, has an id of another form, is there twice, or stands
            beyond the layers or the tokens; or there are no logits.
    """
    known = [FEATURE, LORSA, ERROR, LORSA_ERROR, EMBEDDING, LOGIT, BIAS]
    unknown = {node.feature_type for node in nodes}.difference(known)
    if unknown:
        raise UsageError(
            f"it has nodes of the types {listed(sorted(map(shorten, unknown)))}; only "
            f"{listed(known)} are read."
        )
    logits = _of_kind(nodes, LOGIT, parse_logit)
    if not logits:
        raise UsageError("it has no logit nodes, so it explains nothing.")
    has_heads = _has_heads(nodes)
    features = [
        *_of_kind(nodes, FEATURE, parse_file_feature),
        *_of_kind(nodes, LORSA, parse_head_node if has_heads else parse_attention_feature, True),
    ]
    errors = [
        *_of_kind(nodes, ERROR, parse_error),
        *_of_kind(nodes, LORSA_ERROR, parse_attention_error, True),
    ]
    tokens = _of_kind(nodes, EMBEDDING, parse_embedding)
    found = Entries(
        tuple(sorted(features, key=_place_of_feature)),
        tuple(sorted(errors, key=_place_of_error)),
        tuple(sorted(tokens, key=lambda each: (each.name.pos, each.name.token))),
        tuple(logits),
        _n_layers(logits, [*features, *errors]),
        has_heads,
    )
    _check_places(found, n_tokens)
    _check_ids(found)
    return found


def _has_heads(nodes: Sequence[NodeEntry]) -> bool:
    """Whether the nodes of the attention features' type are heads, as tracer writes them."""
    names = [node.node_id for node in nodes if node.feature_type == LORSA]
    heads = [name for name in names if parse_head_node(name)]
    if heads and len(heads) < len(names):
        other = next(name for name in names if not parse_head_node(name))
        raise UsageError(
            f"it has heads ({show(heads[0])}) and features of an attention dictionary "
            f"({show(other)}) as nodes; only the ones or the others are read."
        )
    return bool(heads)


def _place_of_feature(each: PlacedEntry[FeatureName]) -> tuple[int, ...]:
    return each.name.layer, not each.of_attention, each.name.pos, each.name.feature


def _place_of_error(each: PlacedEntry[ErrorName]) -> tuple[int, ...]:
    return each.name.layer, not each.of_attention, each.name.pos


def _of_kind(
    nodes: Sequence[NodeEntry],
    kind: str,
    parse: Callable[[str], Name | None],
    of_attention: bool = False,
) -> list[PlacedEntry[Name]]:
    found: dict[Name, PlacedEntry[Name]] = {}
    for node in nodes:
        if node.feature_type != kind:
            continue
        name = parse(node.node_id)
        if name is None:
            raise UsageError(f"{show(node.node_id)} is no id of a node of the type {kind!r}.")
        if name in found:
            raise UsageError(f"the node {show(node.node_id)} of the type {kind!r} is there twice.")
        found[name] = PlacedEntry(name, node, of_attention)
    return list(found.values())


def _n_layers(
    logits: Sequence[PlacedEntry[LogitName]],
    others: Iterable[PlacedEntry[FeatureName] | PlacedEntry[ErrorName]],
) -> int:
    """Logits stand in layer `n_layers + 1`; where MLPs' ids have a middle word, in `n_layers`."""
    has_words = any(
        not each.of_attention and ("_cro_" in each.entry.node_id or "_mlp_" in each.entry.node_id)
        for each in others
    )
    beyond = 0 if has_words else 1
    layers = {each.name.layer for each in logits}
    if len(layers) > 1 or min(layers) <= beyond:
        plus = " plus one" if beyond else ""
        raise UsageError(
            f"its logits stand in layers {sorted(layers)}; one layer is expected, the number of "
            f"layers{plus}."
        )
    return layers.pop() - beyond


def _check_places(found: Entries, n_tokens: int) -> None:
    for each in (*found.features, *found.errors, *found.tokens, *found.logits):
        if each.name.pos >= n_tokens:
            raise UsageError(
                f"the node {show(each.entry.node_id)} stands at position {each.name.pos}, but "
                f"there are only {n_tokens} prompt tokens, counted from 0."
            )
    for each in (*found.features, *found.errors):
        if each.name.layer >= found.n_layers:
            raise UsageError(
                f"the node {show(each.entry.node_id)} stands in layer {each.name.layer}, but its "
                f"logits say that there are only {found.n_layers} layers, counted from 0."
            )
    if len({each.name.pos for each in found.tokens}) < len(found.tokens):
        raise UsageError("it has two embedding nodes at one position.")


def _check_ids(found: Entries) -> None:
    """Of ids without a middle word, only an older error's may be another node's too."""
    taken: set[str] = set()
    for each in (*found.features, *(error for error in found.errors if not _is_older(error))):
        if each.entry.node_id in taken:
            raise UsageError(f"two nodes have the id {show(each.entry.node_id)}.")
        taken.add(each.entry.node_id)


def _is_older(error: PlacedEntry[ErrorName]) -> bool:
    return not error.of_attention and parse_feature(error.entry.node_id) is not None
