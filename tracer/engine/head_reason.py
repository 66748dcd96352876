"""Why a head looks where it looks, of a graph: its strongest nodes and pairs, by id.

It can be asked of a graph that was taken now, and of one that is read from a file: its prompt is
frozen again, with the features that the graph has. No edge is needed for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import freeze
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.graph import Attributed, nodes_of
from tracer.engine.attribution.head_scores import require_places
from tracer.engine.attribution.nodes import chosen
from tracer.engine.attribution.query_key import QkAttribution, qk_attribution
from tracer.engine.attribution.targets import Targets
from tracer.engine.feature_card import described
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import Place
from tracer.engine.graph_request import WhyRequest
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Model
from tracer.errors import UsageError, show
from tracer.hypothesis.clamps import LAST
from tracer.hypothesis.expectations.because import MEAN
from tracer.hypothesis.neuronpedia_ids import parse_feature
from tracer.record.graph.graph import ListedGraph, source_ids
from tracer.record.graph.head_reason import (
    CONSTANT,
    Against,
    GroupPart,
    HeadQuestion,
    HeadReason,
    NodePart,
    PairPart,
)
from tracer.record.trials import FeatureTokens

MOST = 10
"""Nodes of a side, and pairs, that are told."""


@dataclass(frozen=True)
class AskedPrompt:
    """A frozen prompt of which it is asked why its heads look where they look."""

    nodes: FrozenGraph
    ids: tuple[str, ...]
    """Of its nodes, in their order; `CONSTANT` comes last."""


def asked_prompt(taken: Attributed) -> AskedPrompt:
    """That of a graph that was taken now."""
    graph = taken.graph
    return AskedPrompt(taken.nodes, (*source_ids(graph.nodes, graph.subject), CONSTANT))


def refrozen(model: Model, basis: FeatureBasis, graph: ListedGraph) -> AskedPrompt:
    """That of a graph from a file: what its features do not write is in the error nodes.

    Heads that are nodes of the file are none here.

    Raises:
        UsageError: The graph is of another model, or of other features.
        ModelUnavailable, EngineError: See `freeze`.
    """
    subject = graph.subject
    if (subject.fingerprint, subject.basis) != (model.record.fingerprint, basis.name):
        raise UsageError(
            f"the graph is of {show(subject.model)} with {show(subject.basis)}, and its weights "
            f"are not those of {show(model.record.name)} with {show(basis.name)} as opened here."
        )
    with memory_told(f"the prompt of {len(subject.token_ids):,} tokens"):
        frozen = freeze(model, basis, torch.tensor(subject.token_ids))
        of_mlps = np.delete(graph.nodes.features, graph.nodes.attention, axis=0)
        kept = chosen(frozen, map(tuple, of_mlps.tolist()))
    width = frozen.resid_post.shape[0]
    nothing = Targets((), frozen.resid_post.new_zeros(0, width), frozen.resid_post.new_zeros(0))
    nodes = source_ids(nodes_of(frozen, kept, ()), subject)
    return AskedPrompt(FrozenGraph(basis, frozen, kept, nothing), (*nodes, CONSTANT))


def head_reason(
    model: Model,
    prompt: AskedPrompt,
    asked: HeadQuestion,
    known: Mapping[str, FeatureTokens],
    groups: Mapping[str, Sequence[str]] | None = None,
) -> HeadReason:
    """Why a head looks from one token at another.

    Args:
        model: What the prompt was frozen on.
        prompt: The prompt and its nodes.
        asked: Which head, and which tokens.
        known: What features promote, by id, as far as it was read before.
        groups: Ids of features whose parts are told together, by name.

    Raises:
        UsageError, ModelUnavailable: See `qk_attribution`.
    """
    found = qk_attribution(model, prompt.nodes, *asked)
    queries, keys = _strongest(found.query_marginals), _strongest(found.key_marginals)
    place = {name: row for row, name in enumerate(prompt.ids)}
    rows = {name: [place[i] for i in ids if i in place] for name, ids in (groups or {}).items()}
    sets = {name: torch.tensor(each) for name, each in rows.items() if each}
    listed = [*queries.tolist(), *keys.tolist()]
    return HeadReason(
        asked=asked,
        pattern=_pattern(prompt.nodes, asked),
        score=found.score,
        total=float(found.total),
        slope=found.slope,
        query_side=_told(found.query_marginals, queries, prompt.ids),
        key_side=_told(found.key_marginals, keys, prompt.ids),
        pairs=_pairs(found, queries, keys, prompt.ids),
        n_nodes=len(prompt.ids),
        features=_features(model, prompt, listed, known),
        groups=_group_parts(found, sets),
        group_pairs=_group_pairs(found, sets),
    )


def question_of(
    model: Model, asked: WhyRequest, tokens: Sequence[str], spans: Mapping[str, tuple[int, int]]
) -> HeadQuestion:
    """The positions that a question by words means, before any graph is taken.

    Args:
        model: What the graph is to be taken on.
        asked: Which head, and which tokens.
        tokens: The prompt's.
        spans: Of the prompt, by name; the last token of one stands for it.

    Raises:
        UsageError: A head that the model has not; a token that the prompt has not, or has more than
            once; a key that comes after the query.
    """
    query, key = (position_of(each, tokens, spans) for each in (asked.query, asked.key))
    against: Against = None
    if asked.against is not None:
        is_mean = asked.against == MEAN
        against = MEAN if is_mean else position_of(asked.against, tokens, spans)
    require_places(model, len(tokens), asked.head, query, key, against)
    return HeadQuestion(asked.head, query, key, against)


def position_of(text: str, tokens: Sequence[str], spans: Mapping[str, tuple[int, int]]) -> int:
    """The position that a span's name, `last`, a token or a number means, in this order.

    Raises:
        UsageError: There is none, several tokens read so, or the prompt has no such position.
    """
    if text in spans:
        return spans[text][1] - 1
    if text == LAST:
        return len(tokens) - 1
    exact = [pos for pos, token in enumerate(tokens) if token == text]
    found = exact or [pos for pos, token in enumerate(tokens) if token.strip() == text.strip()]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        places = ", ".join(map(str, found))
        raise UsageError(f"{show(text)} is at positions {places} of the prompt: name one of them.")
    if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 10:
        pos = int(text)
        if not -len(tokens) <= pos < len(tokens):
            raise UsageError(f"position {text}: the prompt has positions 0 to {len(tokens) - 1}.")
        return pos % len(tokens)
    known = ", ".join(["a position", "a token", LAST, *spans])
    raise UsageError(f"{show(text)} is no token of the prompt; {known} can be named.")


def _pattern(nodes: FrozenGraph, asked: HeadQuestion) -> Float[np.ndarray, "query key"]:
    pattern = nodes.frozen.blocks[asked.head.layer].pattern[asked.head.head]
    return pattern.float().cpu().numpy()


def _strongest(parts: Float[Tensor, " node"]) -> Int[Tensor, " n"]:
    """Rows of the strongest nodes of a side."""
    rows = parts.abs().argsort(descending=True, stable=True)[:MOST]
    return rows[parts[rows] != 0]


def _told(
    parts: Float[Tensor, " node"], rows: Int[Tensor, " n"], ids: Sequence[str]
) -> tuple[NodePart, ...]:
    return tuple(NodePart(str(ids[row]), float(parts[row])) for row in rows.tolist())


def _pairs(
    found: QkAttribution,
    queries: Int[Tensor, " query_node"],
    keys: Int[Tensor, " key_node"],
    ids: Sequence[str],
) -> tuple[PairPart, ...]:
    """The strongest pairs of some nodes."""
    if not (len(queries) and len(keys)):
        return ()
    query_ids, key_ids = ([str(ids[row]) for row in rows.tolist()] for rows in (queries, keys))
    return _strongest_pairs(found.pairs(queries, keys), query_ids, key_ids)


def _strongest_pairs(
    pairs: Float[Tensor, "query key"], queries: Sequence[str], keys: Sequence[str]
) -> tuple[PairPart, ...]:
    strongest = torch.topk(pairs.abs().flatten(), min(MOST, pairs.numel())).indices.tolist()
    places = [divmod(place, len(keys)) for place in strongest]
    told = [PairPart(str(queries[i]), str(keys[j]), float(pairs[i, j])) for i, j in places]
    return tuple(each for each in told if each.part != 0)


def _features(
    model: Model, prompt: AskedPrompt, rows: Sequence[int], known: Mapping[str, FeatureTokens]
) -> dict[str, FeatureTokens]:
    """What the features among some nodes promote: read now where it is not known."""
    activations = prompt.nodes.chosen.activations
    active, found = dict[Place, float](), dict[str, FeatureTokens]()
    for row in rows:
        name = prompt.ids[row]
        feature = parse_feature(name) if row < prompt.nodes.chosen.n else None
        if name in known:
            found[name] = known[name]
        elif feature is not None:
            place = feature.layer, feature.pos, feature.feature
            active[place] = float(activations[row])
    return found | described(model, prompt.nodes.basis, active, {})


def _group_parts(
    found: QkAttribution, sets: Mapping[str, Int[Tensor, " _"]]
) -> tuple[GroupPart, ...]:
    """The parts of each group, and of all nodes that are in none."""
    if not sets:
        return ()
    outside = torch.ones_like(found.query_marginals, dtype=torch.bool)
    outside[torch.cat([*sets.values()])] = False
    sides = found.query_marginals, found.key_marginals

    def part(name: str | None, rows: Tensor) -> GroupPart:
        return GroupPart(name, *(float(side[rows].double().sum()) for side in sides))

    return (*(part(name, rows) for name, rows in sets.items()), part(None, outside))


def _group_pairs(
    found: QkAttribution, sets: Mapping[str, Int[Tensor, " _"]]
) -> tuple[PairPart, ...]:
    if not sets:
        return ()
    queries, keys = (found.sums(side, [*sets.values()]) for side in ("query", "key"))
    return _strongest_pairs(queries @ keys.T, list(sets), list(sets))
