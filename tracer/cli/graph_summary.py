"""What `tracer graph` says of a graph, to people and to programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from tracer.cli.consensus_summary import print_consensus
from tracer.cli.documents.graphs import (
    ConsensusFacts,
    GraphFacts,
    GraphHeads,
    Graphs,
    GraphSupernode,
)
from tracer.cli.graph_why import print_reason, reason_data
from tracer.cli.output import percent, print_table
from tracer.errors import shorten
from tracer.evidence.wording import counted
from tracer.hypothesis.neuronpedia import LabelledIds
from tracer.record.graph.consensus_summary import ConsensusSummary
from tracer.record.graph.graph import Logit, Pruning, Subject
from tracer.record.graph.head_reason import HeadReason
from tracer.record.graph.heads import HeadNodes
from tracer.record.graph.neuronpedia_export import PageMarks
from tracer.record.graph.summary import InfluentialFeature, Strongest, Summary
from tracer.report.screen import Screen
from tracer.report.text import heads_text

_MAX_PROMPT = 400
_ALL = 1 - 1e-6
"""A share of relevance from here on leaves no rest but rounding."""
_MAX_TOKEN = 13
"""So that a row of the longest ids fits into 80 columns."""
_MAX_HEADS = 2
_MAX_SHOWN = 20
"""Ids of a supernode, supernodes, or explained logits; more are no longer read."""


class Origin(NamedTuple):
    """The file that a graph was read from, and what it says beside the graph."""

    path: str
    pruning: Pruning | None
    """What had been cut before."""
    supernodes: tuple[LabelledIds, ...]
    marks: PageMarks


@dataclass(frozen=True)
class WrittenGraph:
    """A graph that has been taken or read, without its nodes and edges."""

    name: str | None
    subject: Subject
    logits: tuple[Logit, ...]
    pruning: Pruning | None
    summary: Summary
    heads: HeadNodes | None
    """Of a graph with heads as nodes."""
    origin: Origin | None
    """None of a graph that was taken now."""
    absent: frozenset[str]
    """Ids in the origin's supernodes that the graph does not have."""
    reason: HeadReason | None
    consensus: ConsensusSummary | None
    """Of a graph that is one of several prompts."""
    paths: tuple[str, ...]


def document(written: Iterable[WrittenGraph]) -> Graphs:
    """Everything that was written, for programs."""
    return Graphs(graphs=tuple(_facts(each) for each in written))


def _facts(each: WrittenGraph) -> GraphFacts:
    subject, summary, told = each.subject, each.summary, _is_told(each)
    copied: dict[str, Any] = {
        "pruning": each.pruning,
        "without_dropped": subject.without_dropped,
        "targets": each.logits,
        "features": summary.features,
    }
    return GraphFacts(
        name=each.name,
        prompt=subject.prompt,
        tokens=tuple(subject.tokens),
        model=subject.model,
        basis=subject.basis,
        n_active=subject.n_active if told else None,
        n_kept=summary.n_kept,
        n_attention=summary.n_attention,
        relevance_share=subject.relevance_share if told else None,
        heads=each.heads and GraphHeads(**asdict(each.heads), n_left=summary.n_heads),
        n_nodes=summary.n_nodes,
        n_edges=summary.n_edges,
        **summary.scores._asdict(),
        source=each.origin and each.origin.path,
        supernodes=tuple(
            GraphSupernode(
                label=group.label,
                ids=group.ids,
                absent=tuple(name for name in group.ids if name in each.absent),
            )
            for group in _supernodes(each)
        ),
        why=None if each.reason is None else reason_data(each.reason),
        consensus=each.consensus and ConsensusFacts.model_validate(each.consensus),
        files=each.paths,
        **copied,
    )


def _is_told(each: WrittenGraph) -> bool:
    """Only what we made knows its model, and how much of it is in the graph."""
    return each.subject.fingerprint != ""


def _supernodes(each: WrittenGraph) -> tuple[LabelledIds, ...]:
    return each.origin.supernodes if each.origin else ()


def print_graph(screen: Screen, each: WrittenGraph) -> None:
    """A heading, the counts, what is explained, and the most influential features."""
    if each.name is not None:
        screen.say(each.name, "bold")
    screen.paragraph(shorten(each.subject.prompt, _MAX_PROMPT), "italic")
    for sentence in _sentences(each):
        screen.paragraph(sentence)
    screen.say()
    if each.consensus is not None:
        print_consensus(screen, each.consensus, each.subject.basis)
        _print_paths(screen, each)
        return
    logits = each.logits[:_MAX_SHOWN]
    rows = [(_explained(logit), _weight(logit)) for logit in logits]
    print_table(screen, [("explained", 0), ("probability", 0)], rows)
    _say_more(screen, len(each.logits) - len(logits), "logits")
    screen.say()
    if each.summary.features:
        headings = ("feature", "at token", "activation", "influence", "strongest edge to")
        if any(each.strongest and each.strongest.heads for each in each.summary.features):
            headings = (*headings, "through heads")
        rows = [_row(feature)[: len(headings)] for feature in each.summary.features]
        print_table(screen, [(heading, 0) for heading in headings], rows)
        screen.say()
    _print_supernodes(screen, each)
    if each.reason is not None:
        print_reason(screen, each.reason, each.subject)
    _print_paths(screen, each)


def _print_paths(screen: Screen, each: WrittenGraph) -> None:
    for path in each.paths:
        screen.say(f"  {path}")
    screen.say()


def _print_supernodes(screen: Screen, each: WrittenGraph) -> None:
    groups = _supernodes(each)
    for group in groups[:_MAX_SHOWN]:
        screen.paragraph(_grouped(group, each.absent))
    _say_more(screen, len(groups) - _MAX_SHOWN, "supernodes")
    if groups:
        screen.say()


def _say_more(screen: Screen, n: int, what: str) -> None:
    if n > 0:
        screen.paragraph(f"and {n:,} more {what}")


def _grouped(group: LabelledIds, absent: frozenset[str]) -> str:
    """A supernode's label and ids, and which of them are not there."""
    sentence = f"supernode {shorten(repr(group.label), 50)}: {_ids(group.ids)}"
    missing = [name for name in group.ids if name in absent]
    return f"{sentence}; not in the graph: {_ids(missing)}" if missing else sentence


def _ids(names: Sequence[str]) -> str:
    shown = [shorten(name, 40) for name in names[:_MAX_SHOWN]]
    more = len(names) - len(shown)
    return (", ".join(shown) or "nothing") + (f" and {more:,} more" if more else "")


def _sentences(each: WrittenGraph) -> Iterator[str]:
    subject, summary = each.subject, each.summary
    names = f"{shorten(subject.model)}, {shorten(subject.basis)}"
    if each.consensus is not None:
        yield f"{names}, {len(subject.tokens):,} places, explaining {_logits(each)}"
        return
    yield f"{names}, {len(subject.tokens):,} tokens"
    yield _carried(each)
    yield f"{summary.n_nodes:,} nodes, {summary.n_edges:,} edges; {_cut(each)}"
    if summary.n_attention:
        features = counted(summary.n_attention, "feature")
        yield (
            f"{features} of attention (lorsa): shown with their connections, but no clamp can set "
            "them, as tracer has no dictionary of attention"
        )
    if each.heads:
        yield _heads_carried(each.heads, summary.n_heads)
    whole = "the graph in the file" if each.origin else "the whole graph"
    yield (
        f"replacement score {_score(summary.scores.replacement)}, completeness score "
        f"{_score(summary.scores.completeness)}, both of {whole}"
    )
    theirs = subject.without_dropped
    if theirs is not None and theirs != summary.scores:
        yield (
            "as circuit-tracer counts them, without what dropped features write: "
            f"{_score(theirs.replacement)} and {_score(theirs.completeness)}"
        )


def _logits(each: WrittenGraph) -> str:
    shown = [_explained(logit) for logit in each.logits[:_MAX_SHOWN]]
    more = len(each.logits) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _carried(each: WrittenGraph) -> str:
    subject, n_kept = each.subject, f"{each.summary.n_kept:,}"
    what = subject.basis if subject.basis == "neurons" else "features"
    if not _is_told(each):
        return f"{n_kept} {what}; the file does not tell how many more were active"
    carried = f"carry {percent(subject.relevance_share)} of the relevance"
    if each.origin and each.origin.pruning:
        carried = f"left of those that {carried}"
    if subject.relevance_share < _ALL:
        carried += "; the rest is in the error nodes"
    return f"{n_kept} of {subject.n_active:,} active {what} {carried}"


def _heads_carried(heads: HeadNodes, n_left: int) -> str:
    of_all = f"{n_left:,} of {heads.n_all:,} heads at positions are nodes"
    if not heads.relevance_share:
        return of_all
    return f"{of_all}, left of those that carry {percent(heads.relevance_share)} of theirs"


def _cut(each: WrittenGraph) -> str:
    if each.pruning is None:
        return "nothing pruned" if _is_told(each) else "the file tells of no pruning"
    cut = f"pruned to {_shares(each.pruning)}"
    before = each.origin and each.origin.pruning
    return f"{cut}; before that to {_shares(before)}" if before and before != each.pruning else cut


def _shares(pruning: Pruning) -> str:
    return f"{pruning.nodes:g} of the nodes' influence, {pruning.edges:g} of the edges'"


def _score(score: float | None) -> str:
    return "not defined" if score is None else f"{score:.2f}"


def _explained(logit: Logit) -> str:
    """A token in quotes; a difference of two has a label that is none."""
    return shorten(logit.label if logit.token is None else repr(logit.label), 50)


def _weight(logit: Logit) -> str:
    return "a difference" if logit.token is None else f"{100 * logit.weight:.1f} %"


def _row(feature: InfluentialFeature) -> tuple[str, ...]:
    return (
        feature.id,
        _shown(feature.token),
        f"{feature.activation:+.3g}",
        f"{feature.influence:.3g}",
        _edge(feature.strongest),
        _heads(feature.strongest),
    )


def _edge(strongest: Strongest | None) -> str:
    if strongest is None:
        return "none"
    target = _shown(strongest.target) if strongest.is_logit else strongest.target
    return f"{target} {strongest.weight:+.3g}"


def _heads(strongest: Strongest | None) -> str:
    """The first few that carry the edge: more do not fit into a row."""
    return heads_text(strongest.heads[:_MAX_HEADS], strongest.weight) if strongest else ""


def _shown(token: str) -> str:
    return shorten(repr(token), _MAX_TOKEN)
