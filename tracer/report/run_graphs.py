"""The saved graphs of a run as the interactive view's data, each with the run's supernodes.

A graph that cannot be read is a sentence in its place: the rest of a report does not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracer.errors import UsageError
from tracer.graph.edge_list import ListedGraph
from tracer.graph.files import read_listed
from tracer.graph_record import Firing
from tracer.record import Ablation, FeatureRef, GraphRecord, PromptRecord, Record, SupernodeRecord
from tracer.report.graph_data import MAX_LINKS, MAX_NODES, GraphData, Group, graph_data
from tracer.report.text import shorten, show_token, signed


@dataclass(frozen=True)
class RunGraphs:
    """Graphs by prompt, and why others cannot be shown."""

    graphs: dict[str, ListedGraph] = field(default_factory=dict[str, ListedGraph])
    problems: dict[str, str] = field(default_factory=dict[str, str])


def read_graphs(folder: Path, record: Record) -> RunGraphs:
    """Every graph that a run names and its folder holds."""
    found = RunGraphs()
    for prompt in record.graphs:
        try:
            found.graphs[prompt] = read_graph(folder, record, prompt)
        except UsageError as error:
            found.problems[prompt] = str(error)
    return found


def read_graph(folder: Path, record: Record, prompt: str) -> ListedGraph:
    """The graph of one prompt.

    Raises:
        UsageError: It is missing or cannot be read, or the record names a file outside the folder.
    """
    return read_listed(folder / graph_name(record, prompt))


def graph_name(record: Record, prompt: str) -> str:
    """The file of a prompt's graph: a name in the run's folder, and nothing else.

    Raises:
        UsageError: The record names something else.
    """
    name = record.graphs[prompt].file
    if Path(name).name != name or not name.endswith(".json") or not name.isprintable():
        found = shorten(repr(name), 100)
        raise UsageError(
            f"{prompt}: a run's graph lies in its folder, and {found} is no graph file there."
        )
    return name


def run_graph_data(
    record: Record,
    prompt: str,
    graph: ListedGraph,
    max_nodes: int = MAX_NODES,
    max_links: int = MAX_LINKS,
) -> GraphData:
    """The view of the graph of one prompt, with supernodes and with what ablating features did."""
    return graph_data(
        graph,
        f"Attribution graph of {prompt}",
        supernode_groups(record, prompt),
        graph_facts(record.graphs[prompt]),
        max_nodes,
        max_links,
    )


def supernode_groups(record: Record, prompt: str) -> list[Group]:
    """The run's supernodes as they lie on a prompt."""
    told = record.prompts[prompt]
    return [
        Group(name=each.name, label=each.label, places=_places(told, each))
        for each in record.supernodes.values()
    ]


def _places(prompt: PromptRecord, supernode: SupernodeRecord) -> list[tuple[int, int, int]]:
    return [
        (ref.layer, position, ref.index)
        for ref in supernode.features
        if (position := place_on(prompt, supernode, ref)) is not None
    ]


def place_on(prompt: PromptRecord, supernode: SupernodeRecord, ref: FeatureRef) -> int | None:
    """Where a member is on a recorded prompt; None where its span is missing or too short."""
    if ref.position is not None:
        return ref.position if ref.position < len(prompt.tokens) else None
    if supernode.at not in prompt.spans:
        return None
    start, end = prompt.spans[supernode.at]
    position = (end - 1 if supernode.anchor == "last" else start) - ref.offset
    return position if position >= start else None


def graph_facts(graph: GraphRecord) -> dict[str, list[tuple[str, str]]]:
    """What features say on the direct path, and their ablations held against the graph."""
    found = {
        name: [
            ("Promotes", _tokens(said.promotes)),
            ("Suppresses", _tokens(said.suppresses)),
            *(("Fires on", _firing(each)) for each in said.fires),
        ]
        for name, said in graph.features.items()
    }
    for each in graph.ablations:
        if not each.is_supernode:
            found.setdefault(each.name, []).append(("Ablated alone", _ablation(each)))
    return found


def _tokens(tokens: Sequence[str]) -> str:
    return "  ".join(show_token(token) for token in tokens)


def _firing(each: Firing) -> str:
    before = show_token(each.before) if each.before else ""
    return f"{before}⟦{show_token(each.token)}⟧ {signed(each.activation)} ({each.prompt})"


def _ablation(each: Ablation) -> str:
    return (
        f"graph says {signed(each.predicted_direct, 3)}, measured "
        f"{signed(each.measured_direct, 3)} with everything frozen, "
        f"{signed(each.measured_free, 3)} free"
    )
