"""Pages of runs beyond any reasonable size stay small, and say what they leave out."""

import re

import numpy as np

from tests.records import make_graph_record, make_record
from tests.test_report_render import full_verdict
from tracer.record.graph.graph import ListedGraph, Logit, Nodes, Subject
from tracer.record.trials import GraphRecord
from tracer.report import run_graphs
from tracer.report.graph_view import graph_data, to_json
from tracer.report.render import render
from tracer.report.run_graphs import RunGraphs, read_graphs


def large_graph(n_features: int = 20_000, n_tokens: int = 25_000) -> ListedGraph:
    """Ten edges into each feature from tokens, a hundred onto the output; few features a layer."""
    rng = np.random.default_rng(0)
    layers = np.sort(rng.integers(0, 20, n_features))
    places = np.stack([layers, rng.integers(0, n_tokens, n_features), np.arange(n_features)], 1)
    features = places[np.lexsort(places.T[::-1])]
    nodes = Nodes(
        features,
        np.ones(n_features, dtype=np.float32),
        np.zeros((0, 2), dtype=np.int64),
        np.arange(n_tokens),
        (Logit(" X", 3, 1.0),),
    )
    tokens = np.sort(rng.choice(n_tokens, (n_features, 10)), axis=1) + n_features
    pairs = {(row, col) for row, cols in enumerate(tokens.tolist()) for col in cols}
    pairs |= {(n_features, col) for col in range(0, n_features, n_features // 100)}
    targets, sources = np.array(sorted(pairs)).T
    weights = rng.standard_normal(len(targets)).astype(np.float32)
    words = tuple(f" w{n}" for n in range(n_tokens))
    subject = Subject("", words, tuple(range(n_tokens)), "toy", "f", "neurons", 20, 10**6, 0.5)
    return ListedGraph(subject, nodes, targets, sources, weights)


PROMPTS = ("dallas", "plano", "el_paso")


def told(n: int) -> dict[str, GraphRecord]:
    return {prompt: make_graph_record(file="graph.json") for prompt in PROMPTS[:n]}


def test_a_graph_of_45_000_nodes_is_cut_to_a_thousand():
    data = graph_data(large_graph(), "large")
    assert len(data["nodes"]) == 1_000 and len(data["links"]) <= 5_000
    assert data["cut"].startswith("Shown: the 1,000 most influential of 45,001 nodes")
    assert len(to_json(data)) < 500_000
    assert len(data["tokens"]) <= 1_000


def test_many_graphs_get_fewer_nodes_or_none(monkeypatch):
    record, arrays = make_record()
    record = record.model_copy(update={"graphs": told(3)})
    found = RunGraphs({prompt: large_graph(2_000, 50) for prompt in PROMPTS})
    whole = sum(len(each.text) for each in run_graphs.pack(record, found))
    monkeypatch.setattr(run_graphs, "BUDGET", whole // 2)
    smaller = run_graphs.pack(record, found)
    assert sum(len(each.text) for each in smaller) <= whole // 2
    assert all(re.match(r"Shown: the \d{2,3} most", each.cut) for each in smaller)
    monkeypatch.setattr(run_graphs, "BUDGET", 10)
    page = render(record, full_verdict(), arrays, found)
    assert "are not drawn here" in page and "data-graph>" not in page


def test_a_missing_foreign_or_broken_graph_is_a_sentence(tmp_path):
    record, arrays = make_record()
    graphs = told(2)
    graphs["plano"] = graphs["plano"].model_copy(update={"file": "../../secret.json"})
    record = record.model_copy(update={"graphs": graphs})
    found = read_graphs(tmp_path, record)
    assert "no graph is here" in found.problems["dallas"]
    assert "lies in its folder" in found.problems["plano"]
    page = render(record, full_verdict(), arrays, found)
    assert page.count("cannot be drawn:") == 2
    (tmp_path / "graph.json").write_text('{"schema": "tracer.gr')
    assert "cut short" in read_graphs(tmp_path, record).problems["dallas"]


def test_a_prompt_of_a_hundred_thousand_characters_makes_a_page():
    template = "Fact:" + " word" * 20_000 + " The capital of the state containing {city} is"
    record, arrays = make_record(hypothesis={"template": template})
    page = render(record, full_verdict(), arrays)
    assert len(page.encode()) < 2_000_000
