"""Two runs as tables: expectations, effects, supernodes, graph nodes and files, unchanged ones too.

What only one run has is told as sentences, because a table would leave it out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from statistics import mean

from tracer.dashboard.runs.run import CELL, shown
from tracer.evidence.baseline_run import Essentials
from tracer.evidence.matching import paired
from tracer.evidence.regression import Finding
from tracer.record.graph.graph import ListedGraph
from tracer.record.record import Record, SupernodeRecord
from tracer.record.runs import RunEntry
from tracer.record.trials import GraphRecord
from tracer.report.headline import OUTCOMES
from tracer.report.text import plural, visible_token

SAME, CHANGED = "=", "≠"
SIDES = ("only A", "both", "only B")
MOST_NODES = 5_000
_MOST_NAMES = 12

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
    """Effects on every token asked about, in nats, None where not measured.

    With `intervention` or `prompt` given, only those of it.
    """
    before, after = _effects(a), _effects(b)
    rows: list[Cells] = []
    for place in dict.fromkeys([*before, *after]):
        if intervention not in (None, place[0]) or prompt not in (None, place[1]):
            continue
        was, now = before.get(place), after.get(place)
        rows.append(
            {
                "intervention": shown(place[0], CELL),
                "prompt": shown(place[1], CELL),
                "token": shown(visible_token(place[2]), CELL),
                "A (nats)": was,
                "B (nats)": now,
                "B − A": None if was is None or now is None else now - was,
            }
        )
    return rows


def _effects(run: Essentials) -> dict[tuple[str, str, str], float]:
    """By intervention, prompt and token."""
    return {
        (intervention, prompt, token): effect
        for intervention, prompts in run.effects.items()
        for prompt, tokens in prompts.items()
        for token, effect in tokens.items()
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
                "token": shown(visible_token(tokens[pos]), CELL) if pos < len(tokens) else "",
                "feature": feature,
                "activation in A": old.get(node),
                "activation in B": new.get(node),
            }
        )
    return rows


def _nodes(graph: ListedGraph) -> dict[tuple[int, int, int], float]:
    """Activations by layer, position and feature, which no head is."""
    nodes = graph.nodes
    heads = set(nodes.attention.tolist()) if nodes.heads else set[int]()
    every = enumerate(zip(nodes.features.tolist(), nodes.activations.tolist(), strict=True))
    return {
        (layer, pos, feature): activation
        for row, ((layer, pos, feature), activation) in every
        if row not in heads
    }


def file_diff(a: str, b: str) -> str:
    """What stands otherwise in two texts, as a unified diff; empty where nothing does."""
    lines = difflib.unified_diff(a.splitlines(), b.splitlines(), "A", "B", lineterm="")
    return "\n".join(lines)


def by_model(entries: Iterable[RunEntry]) -> dict[str, dict[str, str]]:
    """Ids of complete runs, by hypothesis run on several models and by model.

    Of a model it is the first entry, so the newest where entries stand newest first.
    """
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.status == "complete" and entry.model is not None:
            found.setdefault(entry.hypothesis, {}).setdefault(entry.model, entry.id)
    return {name: models for name, models in sorted(found.items()) if len(models) > 1}


def lone(a: Record, b: Record) -> tuple[str, ...]:
    """A sentence for everything that only one of the runs has."""
    sentences: list[str] = []
    for kind in ("prompts", "supernodes", "interventions", "graphs"):
        for side, mine, other in (("A", a, b), ("B", b, a)):
            names = [name for name in getattr(mine, kind) if name not in getattr(other, kind)]
            if names:
                sentences.append(f"{kind.capitalize()} only in {side}: {_names(names)}.")
    return tuple(sentences)


def retokenized(a: Record, b: Record) -> tuple[str, ...]:
    """A sentence for prompts of both that are other tokens in each."""
    apart = [
        name
        for name, prompt in a.prompts.items()
        if name in b.prompts and prompt.tokens != b.prompts[name].tokens
    ]
    if not apart:
        return ()
    first = apart[0]
    sizes = [len(each.prompts[first].tokens) for each in (a, b)]
    told = f" ({first}: {sizes[0]} in A, {sizes[1]} in B)" if sizes[0] != sizes[1] else ""
    return (f"Other tokens in B: {_names(apart)}{told}. Places are matched by name, not by token.",)


def unmatched(a: Record, b: Record) -> str | None:
    """Why no feature of one run is a feature of the other; None where they are the same."""
    reasons = [
        f"{what} ({shown(mine, CELL)} in A, {shown(other, CELL)} in B)"
        for what, mine, other in (
            ("different models", a.model.name, b.model.name),
            ("different feature bases", a.basis, b.basis),
        )
        if mine != other
    ]
    if not reasons and a.model.fingerprint != b.model.fingerprint:
        reasons = ["different weights of the model"]
    if not reasons and a.dictionary != b.dictionary:
        reasons = ["different dictionaries, or states of one"]
    if not reasons:
        return None
    return (
        f"The two runs have {' and '.join(reasons)}: a feature of one is not a feature of the "
        "other. Compared is what has a name in the file: expectations, effects, supernodes by "
        "their size and depth, and what passes between them."
    )


def size_rows(a: Record, b: Record) -> list[Cells]:
    """Each supernode by how many features it has and how deep they lie, in either run."""
    rows: list[Cells] = []
    for name in dict.fromkeys([*a.supernodes, *b.supernodes]):
        row: Cells = {"supernode": shown(name, CELL)}
        for side, record in (("A", a), ("B", b)):
            found = record.supernodes.get(name)
            row[f"features in {side}"] = len(found.members) if found else None
            row[f"layers in {side}"] = _layers(found, record) if found else "not there"
        rows.append(row)
    return rows


def score_rows(a: GraphRecord, b: GraphRecord) -> list[Cells]:
    """What each of two graphs keeps and explains."""
    figures = (
        ("features before pruning", a.n_features, b.n_features),
        ("features after pruning", a.n_pruned, b.n_pruned),
        ("share of all relevance", a.relevance_share, b.relevance_share),
        ("replacement", a.replacement, b.replacement),
        ("completeness", a.completeness, b.completeness),
        ("replacement, as circuit-tracer counts", a.kept_replacement, b.kept_replacement),
        ("completeness, as circuit-tracer counts", a.kept_completeness, b.kept_completeness),
        ("replacement, supernodes alone", a.supernode_replacement, b.supernode_replacement),
        ("completeness, supernodes alone", a.supernode_completeness, b.supernode_completeness),
    )
    return [{"of the graph": what, "A": mine, "B": other} for what, mine, other in figures]


def share_rows(a: GraphRecord, b: GraphRecord) -> list[Cells]:
    """Direct effects between supernodes, as shares of what enters the target, largest first."""
    before, after = ({(e.source, e.target): e.share for e in each.edges} for each in (a, b))
    found = [(pair, before.get(pair), after.get(pair)) for pair in dict.fromkeys([*before, *after])]
    there = [each for each in found if each[1] or each[2]]
    ordered = sorted(there, key=lambda each: -max(abs(each[1] or 0.0), abs(each[2] or 0.0)))
    return [
        {
            "from": shown(source, CELL),
            "to": shown(target, CELL),
            "A (%)": None if old is None else 100 * old,
            "B (%)": None if new is None else 100 * new,
        }
        for (source, target), old, new in ordered
    ]


def _names(names: list[str]) -> str:
    told = ", ".join(shown(name, CELL) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return told + (f" and {more} more" if more > 0 else "")


def _layers(supernode: SupernodeRecord, record: Record) -> str:
    """'3 to 11 of 18, mean 7.2'."""
    layers = [ref.layer for ref in supernode.members]
    if not layers:
        return "no features"
    span = f"{min(layers)}" if min(layers) == max(layers) else f"{min(layers)} to {max(layers)}"
    return f"{span} of {plural(record.model.n_layers, 'layer')}, mean {mean(layers):.1f}"
