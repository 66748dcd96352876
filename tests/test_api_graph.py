"""A graph from Python: given to networkx, and shown as a page and in a notebook's frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tracer
from tests.chromium import WANTS_CHROMIUM, chromium, open_page
from tracer.api.session.session import Session
from tracer.errors import UsageError

TEMPLATE = "the capital of {city} is"
RULE = {"by": "activation", "on": ["dallas"], "against": ["oakland"], "at": "city", "top": 5}


@pytest.fixture(scope="module")
def session(tiny: Path) -> Session:
    return tracer.Session(str(tiny), device="cpu")


@pytest.fixture(scope="module")
def graph(session: Session) -> tracer.Graph:
    cities = {"dallas": {"city": "Dallas"}, "oakland": {"city": "Oakland"}}
    texas = session.find(RULE, cities, template=TEMPLATE, name="texas")
    return session.graph(
        {"city": "Dallas"}, template=TEMPLATE, prune=None, max_features=60, supernodes=[texas]
    )


def test_heads_are_found_where_they_are_asked_for(session: Session, graph: tracer.Graph):
    told = session.graph("the capital of Dallas is", max_features=20, heads=True)
    assert graph.heads is None
    assert told.heads is not None
    assert len(told.heads.heads) == np.count_nonzero(told.edges)
    assert "Heads, share of the link" in told.show().html


def test_heads_are_nodes_where_they_are_asked_for(session: Session):
    told = session.graph("the capital of Dallas is", max_features=20, max_heads=6, prune=None)
    kinds = list(dict(told.to_networkx().nodes(data="kind")).values())
    assert (kinds.count("head"), kinds.count("feature")) == (6, 20)
    assert "6 heads" in repr(told)


def test_networkx_has_every_node_and_every_edge(graph: tracer.Graph):
    whole, nodes = graph.to_networkx(), graph.nodes
    assert whole.number_of_nodes() == nodes.n_sources + len(nodes.logits)
    assert whole.number_of_edges() == np.count_nonzero(graph.edges)
    names = list(whole)
    kinds = [whole.nodes[name]["kind"] for name in names]
    sources = names[: nodes.n_sources]
    targets = [n for n, kind in zip(names, kinds, strict=True) if kind in ("feature", "logit")]
    matrix = np.zeros_like(graph.edges)
    for source, target, data in whole.edges(data=True):
        matrix[targets.index(target), sources.index(source)] = data["weight"]
    assert (matrix == graph.edges).all()


def test_its_nodes_say_what_they_are(graph: tracer.Graph):
    whole = graph.to_networkx()
    layer, pos, index = graph.nodes.features[0].tolist()
    told = whole.nodes[f"{layer}_{index}_{pos}"]
    assert told["kind"] == "feature"
    assert told["token"] == graph.subject.tokens[pos]
    assert told["activation"] == pytest.approx(float(graph.nodes.activations[0]))
    logit = whole.nodes["L_0"]
    assert (logit["layer"], logit["token"]) == (2, graph.nodes.logits[0].label)
    assert logit["weight"] == pytest.approx(graph.nodes.logits[0].weight)
    assert not list(whole.successors("L_0"))


def test_the_graph_of_a_session_is_that_of_the_function(session: Session, tiny: Path):
    text = "the capital of Texas"
    here = session.graph(text, toward=" Austin", max_features=30)
    there = tracer.attribution_graph(
        text, model=str(tiny), device="cpu", toward=" Austin", max_features=30
    )
    assert (here.edges == there.edges).all()
    assert here.subject == there.subject
    assert repr(here).startswith("Graph('<bos>the capital of Texas' → ' Austin': ")


def test_a_supernode_needs_its_span(session: Session, graph: tracer.Graph):
    texas = session.find(
        RULE | {"on": ["a"], "against": ["b"]},
        {"a": {"city": "Dallas"}, "b": {"city": "Oakland"}},
        template=TEMPLATE,
    )
    with pytest.raises(UsageError, match="has no span 'city', where the supernode 'found' is"):
        session.graph("the capital of Texas", supernodes=[texas])


@WANTS_CHROMIUM[0]
@WANTS_CHROMIUM[1]
@pytest.mark.parametrize("way", ["page", "notebook"])
def test_it_is_drawn_as_a_page_and_in_a_notebook(graph: tracer.Graph, tmp_path: Path, way: str):
    shown, path = graph.show(), tmp_path / "graph.html"
    shown.save(path)
    if way == "notebook":
        path.write_text(f"<!DOCTYPE html><body>{shown._repr_html_()}", encoding="utf-8")
    with chromium() as browser:
        page = open_page(browser, "light")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        frame = page if way == "page" else page.frame_locator("iframe")
        node = frame.locator("[role=option]").first
        node.wait_for()
        node.click(force=True)
        frame.locator("[aria-selected=true]").first.wait_for()
        assert frame.get_by_text("texas").count() > 0
        assert errors == []
