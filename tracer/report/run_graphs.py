"""The saved graphs of a run as data of the interactive view, each with the run's supernodes.

A graph that cannot be read is a sentence in its place: the rest of a report does not depend on it.
A page carries its graphs as JSON, gzip, base64, and stays below two megabytes: where a run has too
many graphs, each gets fewer nodes and links; where that does not help, none is drawn.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracer.errors import UsageError
from tracer.hypothesis.clamps import LAST
from tracer.hypothesis.load import as_declared
from tracer.hypothesis.neuronpedia_ids import parse_feature
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.feature_index import IndexedFeature, TextPlace
from tracer.record.graph.files import read_listed
from tracer.record.graph.graph import ListedGraph
from tracer.record.record import FeatureRef, PromptRecord, Record, SupernodeRecord
from tracer.record.trials import Ablation, FeatureTokens, Firing, GraphRecord
from tracer.report.graph_view import (
    GraphData,
    NamedPlaces,
    SupernodePlaces,
    graph_data,
    to_json,
)
from tracer.report.text import (
    feature_name,
    formatted,
    percent,
    shorten,
    signed,
    visible_token,
)


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
    declared: Mapping[str, str],
    max_nodes: int,
    max_links: int,
) -> GraphData:
    """The view of the graph of one prompt, with supernodes and with what ablating features did."""
    return graph_data(
        graph,
        f"Attribution graph of {prompt}",
        supernode_groups(record, prompt),
        graph_facts(record.graphs[prompt]),
        feature_names(record.graphs[prompt].features),
        max_nodes,
        max_links,
        named_places(record.prompts[prompt], declared),
    )


def declarations(record: Record) -> dict[str, str]:
    """What the file declares each supernode by, as YAML."""
    supernodes = record.hypothesis.supernodes
    return {name: to_yaml({name: as_declared(spec)}) for name, spec in supernodes.items()}


def named_places(prompt: PromptRecord, declared: Mapping[str, str]) -> NamedPlaces:
    """How the file names a prompt and its tokens, with its `declarations`."""
    positions = range(len(prompt.tokens))
    spans = {n: span for n in positions if (span := span_ending(prompt, n)) is not None}
    return NamedPlaces(prompt.name, spans, declared)


def span_ending(prompt: PromptRecord, position: int | None) -> str | None:
    """A span that ends on this token, one with a name of its own first."""
    names = [name for name, (_, end) in prompt.spans.items() if end - 1 == position]
    return min(names, key=lambda name: name == LAST, default=None)


def supernode_groups(record: Record, prompt: str) -> list[SupernodePlaces]:
    """The run's supernodes as they lie on a prompt."""
    groups: list[SupernodePlaces] = []
    for each in record.supernodes.values():
        places = [
            (ref.layer, position, ref.index)
            for ref in each.features
            if (position := place_on(record.prompts[prompt], each, ref)) is not None
        ]
        groups.append(SupernodePlaces(name=each.name, label=each.label, places=places))
    return groups


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
    found = {name: said_of(said) for name, said in graph.features.items()}
    for each in graph.ablations:
        if not each.is_supernode:
            found.setdefault(each.name, []).append(("Ablated alone", _ablation(each)))
    return found


def said_of(said: FeatureTokens) -> list[tuple[str, str]]:
    """What a feature says, as (heading, text)."""
    return [
        *(_label(said.indexed) if said.indexed else ()),
        ("Promotes", "  ".join(map(visible_token, said.promotes))),
        ("Suppresses", "  ".join(map(visible_token, said.suppresses))),
        *(("Fires on", _firing(each)) for each in said.fires),
        *(_in_text(said.indexed) if said.indexed else ()),
    ]


def indexed_facts(indexed: IndexedFeature) -> list[tuple[str, str]]:
    """What an index tells of a feature, as (heading, text)."""
    return [*_label(indexed), *_in_text(indexed)]


def _label(indexed: IndexedFeature) -> list[tuple[str, str]]:
    heading = "Label, given" if indexed.is_given else "Label, by a rule"
    return [(heading, indexed.label)] if indexed.label else []


def _in_text(indexed: IndexedFeature) -> list[tuple[str, str]]:
    """The places, and then what text they are in."""
    share = f"{percent(indexed.share)} of its tokens, with this sign"
    return [
        *(("In a text", _text_place(each)) for each in indexed.places),
        ("The text", f"{indexed.text}; active on {share}"),
    ]


def _text_place(each: TextPlace) -> str:
    """A place with its token marked, and the passage's title."""
    before, after = (visible_token(part)[1:-1] for part in (each.before, each.after))
    token = visible_token(each.token)
    return f"…{before}⟦{token}⟧{after}… {signed(each.activation)} ({each.title})"


def feature_names(features: Mapping[str, FeatureTokens]) -> dict[str, str]:
    """By id, what the described features are called."""
    named = {name: parse_feature(name) for name in features}
    return {
        name: feature_name(place.layer, place.feature, features[name])
        for name, place in named.items()
        if place is not None
    }


def _firing(each: Firing) -> str:
    before = visible_token(each.before) if each.before else ""
    return f"{before}⟦{visible_token(each.token)}⟧ {signed(each.activation)} ({each.prompt})"


def _ablation(each: Ablation) -> str:
    return (
        f"graph says {signed(each.predicted_direct, 3)}, measured "
        f"{signed(each.measured_direct, 3)} with everything frozen, "
        f"{signed(each.measured_free, 3)} free"
    )


BUDGET = 1_200_000
"""Bytes of base64 for all graphs of a page together."""
_CAPS = ((1_000, 5_000), (500, 2_500), (250, 1_200), (120, 600), (60, 300))


@dataclass(frozen=True)
class InlineGraph:
    """One graph of a page."""

    prompt: str
    text: str
    """Base64 of the gzipped JSON."""
    cut: str
    strongest: tuple[tuple[str, str, str, str, str], ...]
    """(from, to, share, heads, prompts) of its most influential links: read without a script."""
    tells_heads: bool
    """Whether it is known which heads carry the links."""
    has_heads: bool
    """Whether heads are nodes of it."""
    is_consensus: bool
    """Whether it is of several prompts."""


def pack(record: Record, found: RunGraphs) -> tuple[InlineGraph, ...]:
    """All graphs of a run, as large as fits; none where nothing fits."""
    declared = declarations(record)
    for caps in _CAPS:
        packed = tuple(
            _packed(prompt, run_graph_data(record, prompt, graph, declared, *caps))
            for prompt, graph in found.graphs.items()
        )
        if sum(len(each.text) for each in packed) <= BUDGET:
            return packed
    return ()


def pack_graph(
    title: str,
    graph: ListedGraph,
    groups: Sequence[SupernodePlaces] = (),
    features: Mapping[str, FeatureTokens] | None = None,
) -> InlineGraph:
    """One graph for a page of its own: as many nodes and links as a view draws."""
    told = features or {}
    facts = {name: said_of(each) for name, each in told.items()}
    names = feature_names(told)
    return _packed(title, graph_data(graph, title, groups, facts, names))


def _packed(prompt: str, data: GraphData) -> InlineGraph:
    text = pack_json(to_json(data))
    has_heads = any(node["kind"] == "head" for node in data["nodes"])
    strongest, told = _strongest(data), ("heads" in data, has_heads, "on" in data)
    return InlineGraph(prompt, text, data["cut"], strongest, *told)


def pack_json(text: str) -> str:
    """JSON as a page carries it: gzip, base64."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _strongest(data: GraphData, n: int = 25) -> tuple[tuple[str, str, str, str, str], ...]:
    names = [_name(node["label"], node["kind"], node["token"]) for node in data["nodes"]]
    nothing = [""] * len(data["links"])
    heads, on = data.get("heads", nothing)[:n], data.get("on", nothing)[:n]
    links = data["links"][:n]
    shares = [f"{formatted(100 * link[3], '+.1f')} %" for link in links]
    sources, targets = ([names[int(link[end])] for link in links] for end in (0, 1))
    return tuple(zip(sources, targets, shares, heads, on, strict=True))


def _name(label: str, kind: str, token: str) -> str:
    return label if kind in ("token", "logit") else f"{label}, at {token}"
