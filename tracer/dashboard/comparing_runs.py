"""What two runs have no counterpart for: names of one only, other tokens, features of another kind.

Most of it comes of one hypothesis on two models, where it is no mistake; it is said because a table
would leave it out unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from statistics import mean

from tracer.dashboard.comparing import Cells
from tracer.dashboard.run_rows import CELL, shown
from tracer.record import GraphRecord, Record, SupernodeRecord
from tracer.report.text import plural

_MOST_NAMES = 12


def lone(a: Record, b: Record) -> tuple[str, ...]:
    """A sentence for everything that only one of the runs has."""
    return tuple(
        sentence
        for kind, mine, other in (
            ("Prompts", a.prompts, b.prompts),
            ("Supernodes", a.supernodes, b.supernodes),
            ("Interventions", a.interventions, b.interventions),
            ("Graphs", a.graphs, b.graphs),
        )
        for sentence in _only(kind, list(mine), list(other))
    )


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
            row[f"features in {side}"] = len(found.features) if found else None
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


def _only(kind: str, a: Collection[str], b: Collection[str]) -> Iterator[str]:
    for side, mine, other in (("A", a, b), ("B", b, a)):
        names = [name for name in mine if name not in other]
        if names:
            yield f"{kind} only in {side}: {_names(names)}."


def _names(names: list[str]) -> str:
    told = ", ".join(shown(name, CELL) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return told + (f" and {more} more" if more > 0 else "")


def _layers(supernode: SupernodeRecord, record: Record) -> str:
    """'3 to 11 of 18, mean 7.2'."""
    layers = [ref.layer for ref in supernode.features]
    if not layers:
        return "no features"
    span = f"{min(layers)}" if min(layers) == max(layers) else f"{min(layers)} to {max(layers)}"
    return f"{span} of {plural(record.model.n_layers, 'layer')}, mean {mean(layers):.1f}"
