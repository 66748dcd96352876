"""Why a head looks where it looks, and what it looks at: for terminals, pages and the dashboard.

A pattern is drawn as a square of queries by keys. One of a long prompt is cut to the tokens that
the query in question gives most to; its row is told in full.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import NamedTuple, TypedDict

import numpy as np
from jaxtyping import Float, Int

from tracer.hypothesis.expectations.because import MEAN
from tracer.hypothesis.neuronpedia_ids import parse_feature, parse_head_node
from tracer.record.graph.graph import Subject
from tracer.record.graph.head_reason import CONSTANT, HeadReason, NodePart
from tracer.record.record import PromptRecord
from tracer.record.trials import FeatureTokens
from tracer.report.run_graphs import pack_json
from tracer.report.text import (
    clean,
    feature_name,
    head_name,
    percent,
    shorten,
    signed,
    visible_token,
)

MOST_TOKENS = 64
"""Queries and keys of a drawn pattern."""
LEVELS = 5
"""Shades of a token that is looked at."""
_LONGEST = 24
"""Characters of a token."""
_STRONGEST = 5


def reason_sentence(reason: HeadReason, subject: Subject) -> str:
    """What is explained: the head, its attention and its score."""
    (head, query, key, against), attention = reason.asked, reason.attention
    found = (
        f"head {head} looks from {_at(query, subject)} at {_at(key, subject)} with "
        f"{percent(float(attention[key]))} of its attention; score {_part(reason.score)}"
    )
    if reason.slope < 1:
        found += f", of whose change {percent(reason.slope)} is left by the soft cap"
    if against == MEAN:
        found += f"; told is the difference to the mean by attention, {_part(reason.total)}"
    elif against is not None:
        paid = percent(float(attention[against]))
        other = f"{_at(against, subject)} ({paid})"
        found += f"; told is the difference to {other}, {_part(reason.total)}"
    return found


def reason_statement(reason: HeadReason, subject: Subject) -> str:
    """The same as a whole sentence."""
    found = reason_sentence(reason, subject)
    return f"{found[0].upper()}{found[1:]}."


def _at(pos: int, subject: Subject) -> str:
    return f"{shorten(visible_token(subject.tokens[pos]), _LONGEST)} ({pos})"


def _part(value: float) -> str:
    return signed(value, 2 if abs(value) >= 1 else 3)


def node_name(name: str, subject: Subject, features: Mapping[str, FeatureTokens]) -> str:
    """A node by what it promotes, or what it is, and its token and position."""
    if name == CONSTANT:
        return "constant"
    pos = int(name.rsplit("_", 1)[1])
    if name.startswith("E_"):
        return f"token {_at(pos, subject)}"
    if (head := parse_head_node(name)) is not None:
        return f"{head_name(head.layer, head.feature)} on {_at(pos, subject)}"
    place = parse_feature(name)
    if place is None:
        return f"L{name.partition('_')[0]} error on {_at(pos, subject)}"
    label = feature_name(place.layer, place.feature, features.get(name))
    return f"{label} on {_at(pos, subject)}"


class PartRow(NamedTuple):
    """What one node, or several, give to the score."""

    name: str
    part: str


class PairRow(NamedTuple):
    """What two of them give together."""

    query: str
    key: str
    part: str


class GroupRow(NamedTuple):
    """What a supernode gives on each side."""

    name: str
    query: str
    key: str


@dataclass(frozen=True)
class ReasonTables:
    """The parts of a score, the strongest first."""

    query_side: tuple[PartRow, ...]
    key_side: tuple[PartRow, ...]
    pairs: tuple[PairRow, ...]
    groups: tuple[GroupRow, ...]
    group_pairs: tuple[PairRow, ...]


def reason_tables(reason: HeadReason, subject: Subject) -> ReasonTables:
    """Every part that is told; the last row of a side are all nodes that are not listed."""

    def name(each: str) -> str:
        return str(clean(node_name(each, subject, reason.features)))

    def side(parts: Sequence[NodePart]) -> tuple[PartRow, ...]:
        rows = [PartRow(name(each.id), _part(each.part)) for each in parts]
        n_more = reason.n_nodes - len(parts)
        left = reason.total - sum(each.part for each in parts)
        return (*rows, PartRow(f"{n_more:,} others", _part(left))) if n_more else tuple(rows)

    return ReasonTables(
        side(reason.query_side),
        side(reason.key_side),
        tuple(PairRow(name(q), name(k), _part(part)) for q, k, part in reason.pairs),
        tuple(
            GroupRow(each.name or "all others", _part(each.query), _part(each.key))
            for each in reason.groups
        ),
        tuple(PairRow(q, k, _part(part)) for q, k, part in reason.group_pairs),
    )


@dataclass(frozen=True)
class ReasonView:
    """Why a head looks somewhere, as a page shows it."""

    title: str
    sentence: str
    row: AttentionRow
    tables: ReasonTables
    pattern: str
    """`PatternData`, packed."""


def reason_view(reason: HeadReason, subject: Subject) -> ReasonView:
    """The page's part on a reason."""
    head, query, key, _ = reason.asked
    return ReasonView(
        title=f"Why head {head} looks from {_at(query, subject)} at {_at(key, subject)}",
        sentence=reason_statement(reason, subject),
        row=attention_row(
            f"Head {head} from {_at(query, subject)}",
            subject.tokens,
            reason.attention[: query + 1].tolist(),
        ),
        tables=reason_tables(reason, subject),
        pattern=pack_json(pattern_json(reason, subject)),
    )


class LookedAt(NamedTuple):
    """A token, and how much of a head's attention it gets."""

    text: str
    weight: str
    level: int
    """0 to `LEVELS`."""


@dataclass(frozen=True)
class AttentionRow:
    """What heads look at from one token, along the prompt."""

    title: str
    tokens: tuple[LookedAt, ...]
    strongest: str
    """In words: those that get most."""


def recorded_row(prompt: PromptRecord, title: str, weights: Sequence[float]) -> AttentionRow | None:
    """A row as a record keeps it; None where it keeps none, or one of another prompt."""
    if not 0 < len(weights) <= len(prompt.tokens) or not all(map(isfinite, weights)):
        return None
    return attention_row(title, prompt.tokens, weights)


def attention_row(title: str, tokens: Sequence[str], weights: Iterable[float]) -> AttentionRow:
    """A row of a pattern; `weights` are by position, and end where the query stands."""
    found = [(visible_token(token), weight) for token, weight in zip(tokens, weights, strict=False)]
    order = sorted(range(len(found)), key=lambda pos: -found[pos][1])[:_STRONGEST]
    strongest = [
        f"{shorten(found[pos][0], _LONGEST)} ({pos}) {percent(found[pos][1])}"
        for pos in order
        if found[pos][1] > 0
    ]
    return AttentionRow(
        title,
        tuple(
            LookedAt(shorten(text, _LONGEST), percent(weight), _level(weight))
            for text, weight in found
        ),
        ", ".join(strongest) or "nothing",
    )


def _level(weight: float) -> int:
    """The shade of a weight: as the root, so that small ones are seen beside one large one."""
    return min(LEVELS, round(LEVELS * sqrt(max(weight, 0.0))))


class PatternData(TypedDict):
    """A pattern as the view draws it."""

    title: str
    tokens: list[str]
    """Of the queries, from the top, and of the keys, from the left."""
    positions: list[int]
    rows: list[list[float]]
    """By query, the weights of the keys up to it."""
    query: int
    """Position of the chosen one."""
    key: int
    cut: str
    """What is left out, in a sentence; empty where nothing is."""


def pattern_json(reason: HeadReason, subject: Subject) -> str:
    """The pattern of the head that was asked about, as JSON."""
    return json.dumps(pattern_data(reason, subject), ensure_ascii=False, separators=(",", ":"))


def pattern_data(reason: HeadReason, subject: Subject) -> PatternData:
    """The same, not written out yet."""
    head, query, key, _ = reason.asked
    shown = _shown(reason)
    rows = reason.pattern[np.ix_(shown, shown)]
    n = len(subject.tokens)
    cut = f"Drawn: the {len(shown)} of {n:,} tokens that get most from the chosen one."
    return PatternData(
        title=f"Pattern of head {head}",
        tokens=[_token(subject.tokens[pos]) for pos in shown],
        positions=shown.tolist(),
        rows=[[round(float(x), 4) for x in row[: n + 1]] for n, row in enumerate(rows)],
        query=query,
        key=key,
        cut=cut if len(shown) < n else "",
    )


def _shown(reason: HeadReason) -> Int[np.ndarray, " some"]:
    """Positions that are drawn."""
    weights: Float[np.ndarray, " key"] = reason.attention.copy()
    weights[[reason.asked.query, reason.asked.key]] = 2  # both are drawn, whatever they get
    return np.sort(np.argsort(-weights, kind="stable")[:MOST_TOKENS])


def _token(token: str) -> str:
    return shorten(str(clean(visible_token(token))), _LONGEST)
