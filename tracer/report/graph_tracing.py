"""Why attention features look where they do, as the interactive view lists it beside a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from tracer.hypothesis.neuronpedia_ids import (
    EMBEDDING,
    FEATURE,
    LORSA,
    parse_attention_feature,
    parse_feature,
)
from tracer.record.graph.graph import ListedGraph
from tracer.record.graph.qk_tracing import Contributor
from tracer.report.text import clean, feature_name, shorten, visible_token

_MOST = 15
_LONGEST = 120


class TracedList(TypedDict):
    """Nodes, or pairs of nodes, that add to an attention feature's score, the strongest first."""

    title: str
    rows: list[tuple[str, float]]
    """What it is, and what it adds."""
    n_more: int
    """Weaker ones that the graph tells of."""


def traced_lists(graph: ListedGraph, name: str, names: Mapping[str, str]) -> list[TracedList]:
    """What the graph tells of an attention feature; `names` are what features are called, by id."""
    assert graph.tracings is not None
    found, others = graph.tracings.features[name], graph.tracings.contributors

    def text(name: str) -> str:
        return _text(names.get(name) or _contributor(graph.subject.tokens, name, others[name]))

    pairs = [(f"{text(query)} · {text(key)}", weight) for query, key, weight in found.pairs]
    queries = [(text(name), weight) for name, weight in found.queries]
    keys = [(text(name), weight) for name, weight in found.keys]
    told = {"Score: query · key": pairs, "Score: query side": queries, "Score: key side": keys}
    return [_list(title, rows) for title, rows in told.items() if rows]


def _list(title: str, rows: list[tuple[str, float]]) -> TracedList:
    """The strongest, whatever the order in the file; four digits are more than anybody reads."""
    strongest = sorted(rows, key=lambda row: -abs(row[1]))[:_MOST]
    return TracedList(
        title=title,
        rows=[(text, float(f"{weight:.4g}")) for text, weight in strongest],
        n_more=len(rows) - len(strongest),
    )


def _contributor(tokens: tuple[str, ...], name: str, each: Contributor) -> str:
    token = visible_token(tokens[each.position])
    if each.kind == EMBEDDING:
        return f"token {token}"
    parse = {FEATURE: parse_feature, LORSA: parse_attention_feature}.get(each.kind)
    place = parse(name) if parse else None
    label = each.label or name
    if place is not None:
        label = feature_name(place.layer, place.feature)
        label = f"attention {label}" if each.kind == LORSA else label
    return f"{label}, at {token}"


def _text(text: str) -> str:
    return shorten(str(clean(text)), _LONGEST)
