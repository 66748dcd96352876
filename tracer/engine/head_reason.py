"""The strongest nodes and pairs of a head's score, by id: what `tracer graph --why` tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.graph import Attributed
from tracer.engine.attribution.head_scores import Against, require_places
from tracer.engine.attribution.query_key import QkAttribution, qk_attribution
from tracer.engine.graph_request import WhyRequest
from tracer.engine.model.model import Model
from tracer.errors import UsageError, show
from tracer.hypothesis.heads import HeadName
from tracer.record.graph.graph import source_ids
from tracer.record.graph.head_reason import CONSTANT, HeadReason, NodePart, PairPart

MOST = 10
"""Nodes of a side, and pairs, that are told."""
LAST, MEAN = "last", "mean"


class AskedScore(NamedTuple):
    """A head's score, by positions of one prompt."""

    head: HeadName
    query: int
    key: int
    against: Against


def asked_score(
    model: Model,
    asked: WhyRequest,
    tokens: Sequence[str],
    spans: Mapping[str, tuple[int, int]],
) -> AskedScore:
    """Find the tokens that a request names, before any graph is taken.

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
    return AskedScore(asked.head, query, key, against)


def head_reason(model: Model, taken: Attributed, asked: AskedScore) -> HeadReason:
    """Why a head looks from one token at another.

    Args:
        model: What the graph was taken on.
        taken: The graph.
        asked: Which head, and which tokens.

    Raises:
        UsageError: The head does not see that far; see `qk_attribution`.
        ModelUnavailable: See `qk_attribution`.
    """
    head, query, key, against = asked
    found = qk_attribution(model, taken.nodes, head, query, key, against)
    ids = [*source_ids(taken.graph.nodes, taken.graph.subject), CONSTANT]
    queries, keys = _strongest(found.query_marginals), _strongest(found.key_marginals)
    return HeadReason(
        layer=head.layer,
        head=head.head,
        query=query,
        key=key,
        against=against,
        attention=tuple(found.pattern.tolist()),
        score=found.score,
        total=float(found.total),
        slope=found.slope,
        query_side=_told(found.query_marginals, queries, ids),
        key_side=_told(found.key_marginals, keys, ids),
        pairs=_pairs(found, queries, keys, ids),
        n_nodes=len(ids),
    )


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


def _strongest(parts: Float[Tensor, " node"]) -> Int[Tensor, " n"]:
    """Rows of the strongest nodes of a side."""
    rows = parts.abs().argsort(descending=True, stable=True)[:MOST]
    return rows[parts[rows] != 0]


def _told(
    parts: Float[Tensor, " node"], rows: Int[Tensor, " n"], ids: list[str]
) -> tuple[NodePart, ...]:
    return tuple(NodePart(ids[row], float(parts[row])) for row in rows.tolist())


def _pairs(
    found: QkAttribution,
    queries: Int[Tensor, " query_node"],
    keys: Int[Tensor, " key_node"],
    ids: list[str],
) -> tuple[PairPart, ...]:
    """The strongest pairs of some nodes."""
    if not (len(queries) and len(keys)):
        return ()
    pairs = found.pairs(queries, keys)
    strongest = torch.topk(pairs.abs().flatten(), min(MOST, pairs.numel())).indices.tolist()
    places = [divmod(place, len(keys)) for place in strongest]
    query_ids, key_ids = ([ids[row] for row in rows.tolist()] for rows in (queries, keys))
    told = [PairPart(query_ids[i], key_ids[j], float(pairs[i, j])) for i, j in places]
    return tuple(each for each in told if each.part != 0)
