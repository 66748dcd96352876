"""Two runs side by side, as tables: expectations, effects, supernodes, graph nodes, files.

What is worse and why is `tracer.regression.compare`; here is everything, the unchanged too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tracer.dashboard.run_rows import CELL, shown
from tracer.graph.edge_list import ListedGraph
from tracer.regression.compare import Finding
from tracer.regression.essentials import Essentials
from tracer.regression.matching import paired
from tracer.report.glance import OUTCOMES
from tracer.report.text import show_token
from tracer.runs import RunEntry

SAME, CHANGED = "=", "≠"
SIDES = ("only A", "both", "only B")
MOST_NODES = 5_000

Cells = dict[str, str | float | int | None]


def finding_rows(findings: Iterable[Finding]) -> list[Cells]:
    """What came out otherwise, in the order given."""
    return [
        {
            "how": "worse" if finding.is_regression else "otherwise",
            "what": shown(finding.what, CELL),
            "A": shown(finding.before, CELL),
            "B": shown(finding.after, CELL),
            "where": shown(finding.where, CELL),
        }
        for finding in findings
    ]


def outcome_rows(a: Essentials, b: Essentials) -> list[Cells]:
    """Every expectation of either run: how it came out, and what was observed."""
    rows: list[Cells] = []
    for pair in paired(a.outcomes, b.outcomes):
        old, new = pair.old, pair.new
        before, after = old.outcome if old else None, new.outcome if new else None
        rows.append(
            {
                "same": SAME if before == after else CHANGED,
                "expectation": shown(pair.name, CELL),
                "A": f"{OUTCOMES[before]} {before}" if before else "not asked",
                "B": f"{OUTCOMES[after]} {after}" if after else "not asked",
                "observed in A": shown(old.observed, CELL) if old else "",
                "observed in B": shown(new.observed, CELL) if new else "",
            }
        )
    return rows


def effect_rows(
    a: Essentials, b: Essentials, intervention: str | None = None, prompt: str | None = None
) -> list[Cells]:
    """Interventions' effects on every token asked about, in nats; None where not measured.

    Args:
        a: One run.
        b: The other.
        intervention: Only this one's.
        prompt: Only on this one.
    """
    before, after = _effects(a), _effects(b)
    return [
        _effect(key, before.get(key), after.get(key))
        for key in dict.fromkeys([*before, *after])
        if intervention in (None, key[0]) and prompt in (None, key[1])
    ]


_Place = tuple[str, str, str]
"""Intervention, prompt and token."""


def _effects(run: Essentials) -> dict[_Place, float]:
    return {
        (intervention, prompt, token): effect
        for intervention, prompts in run.effects.items()
        for prompt, tokens in prompts.items()
        for token, effect in tokens.items()
    }


def _effect(place: _Place, was: float | None, now: float | None) -> Cells:
    intervention, prompt, token = place
    return {
        "intervention": shown(intervention, CELL),
        "prompt": shown(prompt, CELL),
        "token": shown(show_token(token), CELL),
        "A (nats)": was,
        "B (nats)": now,
        "B − A": None if was is None or now is None else now - was,
    }


def member_rows(a: Essentials, b: Essentials) -> list[Cells]:
    """Each supernode's members: how many are only in one run's, and how many in both."""
    rows: list[Cells] = []
    for name in dict.fromkeys([*a.supernodes, *b.supernodes]):
        old, new = set(a.supernodes.get(name, ())), set(b.supernodes.get(name, ()))
        union = len(old | new)
        rows.append(
            {
                "supernode": shown(name, CELL),
                SIDES[0]: len(old - new),
                SIDES[1]: len(old & new),
                SIDES[2]: len(new - old),
                "overlap": len(old & new) / union if union else None,
            }
        )
    return rows


def node_sides(a: ListedGraph, b: ListedGraph) -> dict[str, int]:
    """How many feature nodes are in one graph and not in the other, and how many in both."""
    old, new = _nodes(a).keys(), _nodes(b).keys()
    return dict(zip(SIDES, (len(old - new), len(old & new), len(new - old)), strict=True))


def node_rows(a: ListedGraph, b: ListedGraph) -> list[Cells]:
    """The feature nodes of both graphs by layer, position and feature, at most `MOST_NODES`."""
    old, new = _nodes(a), _nodes(b)
    tokens = a.subject.tokens
    rows: list[Cells] = []
    for node in sorted({*old, *new})[:MOST_NODES]:
        layer, pos, feature = node
        rows.append(
            {
                "in": SIDES[1 + (node in new) - (node in old)],
                "layer": layer,
                "position": pos,
                "token": shown(show_token(tokens[pos]), CELL) if pos < len(tokens) else "",
                "feature": feature,
                "activation in A": old.get(node),
                "activation in B": new.get(node),
            }
        )
    return rows


_Node = tuple[int, int, int]
"""Layer, position and feature."""


def _nodes(graph: ListedGraph) -> dict[_Node, float]:
    """Every feature node with its activation."""
    nodes = graph.nodes
    places = ((layer, pos, feature) for layer, pos, feature in nodes.features.tolist())
    return dict(zip(places, nodes.activations.tolist(), strict=True))


def file_diff(a: str, b: str) -> str:
    """What stands otherwise in two texts, as a unified diff; empty where nothing does."""
    lines = difflib.unified_diff(a.splitlines(), b.splitlines(), "A", "B", lineterm="")
    return "\n".join(lines)


def by_model(entries: Iterable[RunEntry]) -> dict[str, dict[str, str]]:
    """For each hypothesis run on several models: by model, the id of its newest complete run.

    Args:
        entries: newest first.
    """
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.status == "complete" and entry.model is not None:
            found.setdefault(entry.hypothesis, {}).setdefault(entry.model, entry.id)
    return {name: models for name, models in sorted(found.items()) if len(models) > 1}
