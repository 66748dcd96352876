"""Runs and their attribution graphs as pages open them, cached until their files change.

A run is found by its id in the listing. One that cannot be opened comes back as a sentence to show.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from tracer.dashboard.explore.nodes import (
    AskedLogits,
    GraphIndex,
    entering,
    index_of,
    part_of,
    toward,
)
from tracer.dashboard.explore.supernodes import Groups, declared, group_scores
from tracer.errors import TracerError, UsageError
from tracer.hypothesis.neuronpedia_ids import parse_feature
from tracer.record.files import RECORD, FileStamp, file_stamp
from tracer.record.graph.graph import ListedGraph
from tracer.record.graph.influence import Scores, scores
from tracer.record.record import Record
from tracer.record.run_folder import ARRAYS, VERDICT
from tracer.record.runs import RunEntry, find_runs
from tracer.report.graph_view import GraphData, SupernodePlaces, graph_data, to_json
from tracer.report.render import render
from tracer.report.run import Run
from tracer.report.run_graphs import (
    declarations,
    feature_names,
    graph_facts,
    graph_name,
    named_places,
    read_graph,
    read_graphs,
    supernode_groups,
)

MOST_NODES = 2_000
MOST_LINKS = 10_000
_FILES = (RECORD, ARRAYS, VERDICT)
Stamp = tuple[FileStamp | None, ...]
"""Of each file; None where there is none."""
GraphStamp = tuple[tuple[str, int, int], ...]
Frozen = tuple[tuple[str, tuple[str, ...]], ...]
"""Groups that can be a key."""


def entries(reports: Path) -> dict[str, RunEntry]:
    """Every run by its id, newest first: the only way from an address to a folder."""
    return {entry.id: entry for entry in reversed(find_runs(reports))}


def opened(reports: Path, entry: RunEntry) -> Run | str:
    """The run, or the sentence that says why it cannot be shown."""
    try:
        return _open(str(entry.folder), _stamp(reports, entry.folder, _FILES))
    except (TracerError, OSError, ValueError) as error:
        return str(error)


def report_of(reports: Path, run: Run) -> str:
    """The run's report as HTML, drawn anew from the record: no HTML of a run folder is shown.

    Raises:
        UsageError: A file of the run is a link out of the reports folder.
    """
    # The JSON of a graph names the hash of the tensors beside it.
    graphs = [Path(graph.file).name for graph in run.record.graphs.values()]
    return _report(str(run.path), _stamp(reports, run.path, (*_FILES, *graphs)))


def _stamp(reports: Path, folder: Path, names: Iterable[str]) -> Stamp:
    """Raises UsageError where anything in the folder is a link out of the reports."""
    home = os.path.realpath(reports)
    links = (path for path in folder.rglob("*") if path.is_symlink())
    if not all(Path(os.path.realpath(path)).is_relative_to(home) for path in (folder, *links)):
        raise UsageError("a file of this run is a link out of the reports folder.")
    return tuple(file_stamp(folder / name) for name in names)


@st.cache_resource(max_entries=16, show_spinner=False)
def _open(folder: str, stamp: Stamp) -> Run:
    """`stamp` makes a changed folder another; what is kept is frozen, and only read."""
    return Run.open(folder)


@st.cache_data(max_entries=8, show_spinner=False)
def _report(folder: str, stamp: Stamp) -> str:
    run = Run.open(folder)
    return render(run.record, run.verdict, run.arrays, read_graphs(run.path, run.record))


@dataclass(frozen=True)
class Shown:
    """One graph, asked about something, with groups."""

    data: GraphData
    """What the view draws."""
    text: str
    """The same as JSON, written once: the page is drawn anew at every click."""
    index: GraphIndex
    """Of the part that it draws."""
    sums: np.ndarray
    """Σ |edge| into each target of that part."""
    influence: dict[str, float]
    declared: dict[str, tuple[str, ...]]
    """The run's own supernodes, as far as they are in it."""
    whole: Scores
    """Of that part, with every feature of it."""
    alone: Scores
    """With the features of supernodes only, the run's and those made by hand."""


def stored(run: Run, prompt: str) -> ListedGraph:
    """The graph in the run's folder.

    Raises:
        UsageError: It is missing, outside the folder, or cannot be read.
    """
    return _stored(str(run.path), _graph_stamp(run, prompt), prompt, run.record)


def shown(run: Run, prompt: str, asked: AskedLogits, groups: Groups) -> Shown:
    """The graph, ready for the page.

    Raises:
        UsageError: As `stored`.
    """
    frozen = tuple(groups.items())
    return _shown(str(run.path), _graph_stamp(run, prompt), prompt, run.record, asked, frozen)


def _graph_stamp(run: Run, prompt: str) -> GraphStamp:
    """Real path, modification time and size of both files; inside the run's folder they must be."""
    home = os.path.realpath(run.path)
    found: list[tuple[str, int, int]] = []
    for suffix in (".json", ".safetensors"):
        path = run.path / Path(graph_name(run.record, prompt)).with_suffix(suffix).name
        real = os.path.realpath(path)
        if not Path(real).is_relative_to(home):
            raise UsageError(f"{prompt}: the graph's file is a link out of the run's folder.")
        try:
            told = path.stat()
        except OSError as error:
            raise UsageError(
                f"{prompt}: no graph, {path.name} cannot be read ({error.strerror}). Run it again."
            ) from error
        found.append((real, told.st_mtime_ns, told.st_size))
    return tuple(found)


@st.cache_resource(max_entries=2, show_spinner="Reading the graph…")
def _stored(folder: str, stamp: GraphStamp, prompt: str, _record: Record) -> ListedGraph:
    return read_graph(Path(folder), _record, prompt)


@st.cache_resource(max_entries=6, show_spinner=False)
def _shown(
    folder: str, stamp: GraphStamp, prompt: str, _record: Record, asked: AskedLogits, groups: Frozen
) -> Shown:
    graph = toward(_stored(folder, stamp, prompt, _record), asked)
    names = feature_names(_record.graphs[prompt].features)
    data = graph_data(
        graph,
        f"Attribution graph of {prompt}",
        [*supernode_groups(_record, prompt), *(group_places(name, ids) for name, ids in groups)],
        graph_facts(_record.graphs[prompt]),
        names,
        MOST_NODES,
        MOST_LINKS,
        named_places(_record.prompts[prompt], declarations(_record)),
    )
    index = index_of(part_of(graph, [node["id"] for node in data["nodes"]]), names)
    influence = {node["id"]: node["influence"] for node in data["nodes"]}
    own = declared(_record, prompt, index)
    alone = group_scores(index, {**own, **dict(groups)})
    sums, whole = entering(index.graph), scores(index.graph)
    return Shown(data, to_json(data), index, sums, influence, own, whole, alone)


def group_places(name: str, ids: tuple[str, ...]) -> SupernodePlaces:
    """A supernode made by hand, by the places of its features."""
    found = [each for each in map(parse_feature, ids) if each is not None]
    places = [(each.layer, each.pos, each.feature) for each in found]
    return SupernodePlaces(name=name, label=name, places=places)
