"""Graphs with heads as nodes: their files in both formats, their pages, tables and summaries."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.graphs import dense_influence, make_graph, make_subject, square
from tests.test_graph_files import assert_equal
from tracer.api.graph import Graph
from tracer.dashboard.compare.graphs import edge_rows, matched
from tracer.dashboard.compare.tables import node_rows
from tracer.dashboard.explore.feature import _fires
from tracer.dashboard.explore.nodes import index_of
from tracer.dashboard.explore.supernodes import with_group
from tracer.engine.feature_card import influential
from tracer.errors import UsageError
from tracer.record.graph.files import read, read_listed, write
from tracer.record.graph.graph import Logit, Nodes, listed
from tracer.record.graph.heads import HeadNodes
from tracer.record.graph.influence import influence
from tracer.record.graph.neuronpedia_export import export
from tracer.record.graph.neuronpedia_export import write as write_neuronpedia
from tracer.record.graph.neuronpedia_import import read_either
from tracer.record.graph.prune import prune
from tracer.record.graph.summary import kept_influence, summarise
from tracer.report.graph_view import graph_data
from tracer.report.render import render_graph
from tracer.report.run_graphs import pack_graph

IDS = ["0_head_2_1", "0_5_1", "1_head_0_1", "1_head_3_1", "1_3_1"]


def headed():
    """Two layers, each with heads before a feature; the second head of layer 1 does nothing."""
    nodes = Nodes(
        features=np.array([[0, 1, 2], [0, 1, 5], [1, 1, 0], [1, 1, 3], [1, 1, 3]]),
        activations=np.array([0.5, 1, -2, 0.25, 3], dtype=np.float32),
        errors=np.array([[0, 1], [1, 1]]),
        tokens=np.array([0, 1]),
        logits=(Logit(" X", 3, 0.5),),
        attention=np.array([0, 2, 3]),
        heads=HeadNodes(n_all=8, relevance_share=0.75),
    )
    edges = [  # 0.2  f0  1.0 1.3 f1 e0  e1 s   t
        [0, 0, 0, 0, 0, 0, 0, 2, 1],
        [1, 0, 0, 0, 0, 0, 0, 0, 1],
        [0.5, -2, 0, 0, 0, 1, 0, 0, 0],
        [0, 0.25, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 3, 0, 0, 0, 0, 0, 0],
        [0, 0, -1, 0, 2, 0, 0.5, 0, 0],
    ]
    return make_graph(nodes, edges, make_subject(2, 2))


def test_ids_name_a_head_by_layer_number_and_position():
    nodes = headed().nodes
    assert nodes.feature_ids() == IDS == [nodes.id_of_row(row) for row in range(5)]
    assert nodes.find(np.array([[1, 1, 3], [0, 1, 2]])).tolist() == [4, -1]


def test_influence_counts_paths_through_heads_as_any_others():
    graph = headed()
    dense = dense_influence(*square(graph))[: graph.nodes.n_sources]
    np.testing.assert_allclose(influence(graph).sources, dense, rtol=1e-6)


def test_pruning_keeps_heads_that_carry_something():
    left = prune(headed(), 1.0, 1.0).nodes
    assert left.feature_ids() == [IDS[n] for n in (0, 1, 2, 4)]
    assert left.attention.tolist() == [0, 2]
    assert left.heads == HeadNodes(8, 0.75)


def test_our_files_keep_them(tmp_path):
    graph = headed()
    path = write(tmp_path, graph)
    for again in (read(path), read_listed(path)):
        assert again.nodes.heads == graph.nodes.heads
        assert again.nodes.feature_ids() == IDS
    assert_equal(read(path), graph)
    plain = replace(graph, nodes=replace(graph.nodes, heads=None))
    assert "head_nodes" not in write(tmp_path, plain).read_text()
    assert read(path).nodes.feature_ids()[0] == "0_lor_2_1"


def test_neuronpedias_format_keeps_them(tmp_path):
    graph, path = headed(), tmp_path / "it.json"
    write_neuronpedia(path, graph, influence(graph).sources, "it")
    nodes = {node["node_id"]: node for node in json.loads(path.read_text())["nodes"]}
    assert (nodes[IDS[0]]["feature_type"], nodes[IDS[0]]["clerp"]) == ("lorsa", "head 0.2")
    again = read_either(path).graph
    assert again.nodes.heads == graph.nodes.heads
    assert again.nodes.feature_ids() == IDS
    assert (again.nodes.activations == graph.nodes.activations).all()
    assert (again.edges == graph.edges).all()
    np.testing.assert_allclose(again.constants, graph.constants)


def test_heads_beside_features_of_an_attention_dictionary_are_refused(tmp_path):
    data = export(headed(), influence(headed()).sources, "it")
    data["nodes"][0]["node_id"] = "0_lor_2_1"
    (tmp_path / "it.json").write_text(json.dumps(data))
    told = r"it has heads \('1_head_0_1'\) and features .* \('0_lor_2_1'\) as nodes"
    with pytest.raises(UsageError, match=told):
        read_either(tmp_path / "it.json")


def test_pages_give_them_a_mark_and_a_name_of_their_own():
    graph = headed()
    nodes = graph_data(listed(graph), "it")["nodes"]
    assert [node["kind"] for node in nodes[:3]] == ["head", "feature", "head"]
    assert [nodes[2][key] for key in ("label", "token", "activation")] == ["L1 head 0", "' t1'", -2]
    assert nodes[2]["facts"] == []
    assert "★ a head of attention" in render_graph(pack_graph("it", listed(graph)))
    plain = replace(graph, nodes=replace(graph.nodes, heads=None))
    assert "★" not in render_graph(pack_graph("it", listed(plain)))
    index = index_of(graph)
    head = index.node(IDS[2])
    assert (head.kind, head.activation) == ("head", -2)
    assert head.label == f"L1 head 0 on {head.token}"
    assert with_group({}, "it", IDS, index) == {"it": (IDS[1], IDS[4])}


def test_two_graphs_are_compared_by_their_heads_names():
    graph = headed()
    other = replace(graph, edges=graph.edges * 2)
    names = {row["from"] for row in edge_rows(matched(listed(graph), listed(other)))}
    assert any(name.startswith("L1 head 0 on") for name in names)


def test_features_of_a_heads_number_are_not_taken_for_it():
    """L1/3 is a neuron and head 3 of layer 1 stands at the same token."""
    found = _fires(listed(headed()), 1, 3)
    assert [each.activation for each in found] == [3]
    rows = node_rows(listed(headed()), listed(headed()))
    assert [(row["layer"], row["feature"], row["activation in A"]) for row in rows] == [
        (0, 5, 1),
        (1, 3, 3),
    ]


def test_networkx_tells_them_from_features():
    kinds = dict(Graph.of(headed()).to_networkx().nodes(data="kind"))
    assert [kinds[name] for name in IDS] == ["head", "feature", "head", "head", "feature"]


def test_no_head_is_described_as_a_feature():
    assert set(influential(headed(), 10)) == {(0, 1, 5), (1, 1, 3)}


def test_the_summary_counts_them_apart():
    whole = headed()
    left = prune(whole, 1.0, 1.0)
    summary = summarise(whole, left, kept_influence(whole, left))
    assert (summary.n_kept, summary.n_heads, summary.n_attention) == (2, 2, 0)
    assert IDS[2] in [each.id for each in summary.features]
