"""Graphs of no run: of a prompt that is typed here, and those in the folder of `tracer graph`.

A file is found by its name in the listing, never by a path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from streamlit.components.v2 import component

from tracer import engine
from tracer.dashboard import model
from tracer.dashboard.dashboard import GRAPH, Dashboard, plain, put_in_address
from tracer.dashboard.explore.heads import HeadSubject, heads_panel
from tracer.dashboard.runs.run import CELL, shown
from tracer.engine.graph_request import GraphRequest
from tracer.engine.progress import Silent
from tracer.errors import TracerError
from tracer.hypothesis.spec import Hypothesis, ModelSpec
from tracer.record.files import file_stamp
from tracer.record.graph.files import read_features, read_listed, write
from tracer.record.graph.graph import ListedGraph
from tracer.record.graph.prune import prune
from tracer.record.trials import FeatureTokens
from tracer.report.graph_view import graph_data, to_json
from tracer.report.render import graph_module, graph_style
from tracer.report.run_graphs import feature_names, said_of

LONGEST_PROMPT = 2_000
"""Characters."""
MOST_NODES, MOST_LINKS = 1_000, 10_000
_KEPT = (0.8, 0.98)
"""Shares of the nodes' and of the edges' influence, as `tracer graph` keeps them."""


def graph_names(folder: Path) -> list[str]:
    """The graphs in the folder, newest first; links and what is no plain file are left out."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.glob("*.json") if path.is_file() and not path.is_symlink()]
    found.sort(key=lambda path: (-path.stat().st_mtime_ns, path.name))
    return [path.stem for path in found if path.stem.isprintable()]


def chosen_graph(dashboard: Dashboard) -> str | None:
    """Draw the prompt box and the list of graphs; the graph to show, None for those of runs."""
    folder = dashboard.places.graphs
    names = graph_names(folder)
    asked = st.query_params.get(GRAPH)
    if asked in names:
        st.session_state[GRAPH] = asked
    if st.session_state.get(GRAPH) not in names:
        st.session_state.pop(GRAPH, None)
    with st.expander("A prompt of your own, or a graph file", expanded=GRAPH in st.session_state):
        with st.form("prompt graph", border=False):
            left, right = st.columns([5, 1], vertical_alignment="bottom")
            text = left.text_input(
                "Prompt", max_chars=LONGEST_PROMPT, placeholder="The opposite of small is"
            )
            absent = model.absent()
            sent = right.form_submit_button("Take its graph", disabled=absent is not None)
        if absent:
            st.markdown(plain(absent))
        if sent and text.strip():
            made = _made(folder, text)
            if made is not None:
                st.session_state[GRAPH] = made
                names = graph_names(folder)
        label = "Graph file, instead of a run's graph"
        chosen = st.selectbox(label, names, index=None, key=GRAPH, placeholder="None: a run's")
    put_in_address(GRAPH, chosen)
    return chosen


def _made(folder: Path, text: str) -> str | None:
    """Take the graph of a prompt and keep it as a file; its name, None where a mistake is told."""
    default = ModelSpec(name=str(Hypothesis.model_fields["model"].default))
    basis = str(Hypothesis.model_fields["features"].default)
    request = GraphRequest(text, default, basis)
    key = (default.name, default.revision, default.dtype, default.device, basis)
    try:
        request.check()
        with st.spinner("Taking the graph: half a minute for a short prompt…"):
            held = model.hold(key)
            with held.lock:
                [found] = engine.graphs.graphs(request, Silent(), held.opened)
                graph = prune(found.graph, *_KEPT)
                features = found.describe(graph, Silent())
            words = "-".join(re.findall("[a-z0-9]+", text.lower()))[:60].strip("-") or "prompt"
            cause = repr((graph.subject.fingerprint, basis, graph.subject.token_ids))
            name = f"{words}-{hashlib.sha256(cause.encode()).hexdigest()[:8]}"
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / f"{name}.json", graph, features)
    except TracerError as error:
        st.warning(plain(str(error)))
        return None
    except OSError as error:
        st.warning(plain(f"the graph could not be kept ({error.strerror})."))
        return None
    return name


def draw_graph(dashboard: Dashboard, name: str) -> None:
    """Draw a graph of the folder: what is selected stays in the view."""
    path = dashboard.places.graphs / f"{name}.json"
    stamp = (file_stamp(path), file_stamp(path.with_suffix(".safetensors")))
    found = _read(str(path), stamp)
    st.markdown(f"**{plain(shown(found.graph.subject.prompt, CELL))}** {plain(found.cut)}")
    view = component("tracer_graph", css=graph_style(), js=graph_module())
    view(key="file graph", data={"hash": found.hash, "graph": found.text, "selected": None})
    if found.graph.agreement is None:
        _heads(name, found)


@st.fragment
def _heads(name: str, found: _FileGraph) -> None:
    """Why its heads look where they look; the graph is not drawn anew with it."""
    of_model = model.key_of_graph(found.graph.subject)
    heads_panel(HeadSubject(name, found.graph, of_model, {}, {}, found.features))


class _FileGraph(NamedTuple):
    graph: ListedGraph
    features: Mapping[str, FeatureTokens]
    cut: str
    hash: str
    text: str
    """As the view reads it."""


@st.cache_resource(max_entries=4, show_spinner="Reading the graph…")
def _read(path: str, stamp: object) -> _FileGraph:
    graph, told = read_listed(Path(path)), read_features(Path(path))
    facts = {name: said_of(each) for name, each in told.items()}
    title = f"Attribution graph of {shown(graph.subject.prompt, CELL)}"
    names = feature_names(told)
    data = graph_data(graph, title, (), facts, names, MOST_NODES, MOST_LINKS)
    return _FileGraph(graph, told, data["cut"], data["hash"], to_json(data))
