"""Which heads carry an edge, as a graph's files, prunings, pages and tables keep it."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from graphs import hand_graph, random_graph

from tests.test_graph_files import assert_equal, refused
from tracer.dashboard.explore.nodes import (
    AskedLogits,
    connections,
    entering,
    index_of,
    part_of,
    toward,
)
from tracer.record.graph.files import read, read_listed, write
from tracer.record.graph.graph import heads_of_edge, listed
from tracer.record.graph.heads import HeadLoadings, HeadShare
from tracer.record.graph.prune import prune
from tracer.record.graph.summary import kept_influence, summarise
from tracer.report.graph_view import graph_data
from tracer.report.render import render_graph
from tracer.report.run_graphs import pack_graph
from tracer.report.text import heads_text

N_HEADS = 3


def told(graph):
    """Every edge has two heads of its own: one that its number names, and one that takes away."""
    n = np.count_nonzero(graph.edges)
    number = np.arange(n)
    first = number % (N_HEADS * graph.subject.n_layers)
    weights = graph.edges[np.nonzero(graph.edges)]
    heads = np.stack([first, np.where(number % 2, (first + 1) % N_HEADS, -1)], 1)
    shares = np.stack([np.full(n, 0.5), np.where(number % 2, -0.25, 0.0)], 1)
    loadings = (shares * weights[:, None]).astype(np.float32)
    return replace(graph, heads=HeadLoadings(N_HEADS, heads, loadings))


def by_places(graph):
    """Heads of each edge, by what it connects."""
    nodes, found = graph.nodes, {}
    sources = [*map(tuple, nodes.features.tolist()), *map(tuple, nodes.errors.tolist())]
    sources += nodes.tokens.tolist()
    targets = [*map(tuple, nodes.features.tolist()), *(each.label for each in nodes.logits)]
    for row, column in np.argwhere(graph.edges).tolist():
        found[targets[row], sources[column]] = heads_of_edge(graph, row, column)
    return found


def test_what_is_written_comes_back(tmp_path):
    graph = told(random_graph(1))
    path = write(tmp_path, graph)
    again = read(path)
    assert_equal(again, graph)
    for one in (again, read_listed(path)):
        assert one.heads.n_heads == N_HEADS
        assert (one.heads.heads == graph.heads.heads).all()
        assert (one.heads.weights == graph.heads.weights).all()


def test_a_file_without_them_opens(tmp_path):
    path = write(tmp_path, hand_graph())
    path.write_text(path.read_text().replace(' "heads": null,\n', ""))
    assert '"heads"' not in path.read_text()
    assert read(path).heads is None


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("loadings.head", -2, "'loadings.head' goes beyond -1 to 5"),
        ("loadings.head", 6, "'loadings.head' goes beyond -1 to 5"),
        ("loadings.weight", np.nan, "'loadings.weight' holds something that is no number"),
    ],
)
def test_heads_that_cannot_be_are_told(tmp_path, name, value, sentence):
    path = write(tmp_path, told(hand_graph()))
    file = path.with_suffix(".safetensors")
    tensors = safetensors.numpy.load(file.read_bytes())
    tensors[name][3, 1] = value
    rewritten(path, file, tensors)
    refused(tmp_path, sentence)
    del tensors["loadings.head"]
    rewritten(path, file, tensors)
    refused(tmp_path, r"tensor 'loadings\.head' is missing")


def rewritten(path, file, tensors):
    data = safetensors.numpy.save(tensors)
    about = json.loads(path.read_text())
    about["tensors_sha256"] = hashlib.sha256(data).hexdigest()
    file.write_bytes(data)
    path.write_text(json.dumps(about))


def test_a_pruning_keeps_those_of_the_edges_that_are_left():
    graph = told(random_graph(2))
    left = prune(graph, 0.6, 0.7)
    before, after = by_places(graph), by_places(left)
    assert 0 < len(after) < len(before)
    assert left.heads.heads.shape == (len(after), 2)
    assert all(before[place] == heads for place, heads in after.items())


def test_words_of_an_edges_heads():
    heads = (HeadShare(9, 1, 1.5), HeadShare(0, 0, -0.2))
    assert heads_text(heads, 2.0) == "9.1 +75 %, 0.0 −10 %"
    assert heads_text((HeadShare(9, 1, -1.5),), -2.0) == "9.1 +75 %"


def test_the_summary_tells_those_of_the_strongest_edges():
    graph = told(random_graph(3))
    summary = summarise(graph, graph, kept_influence(graph, graph))
    for feature in summary.features:
        layer, index, pos = map(int, feature.id.split("_"))
        row = int(graph.nodes.find(np.array([[layer, pos, index]]))[0])
        target = int(np.abs(graph.edges[:, row]).argmax())
        assert feature.strongest.heads == heads_of_edge(graph, target, row) != ()


def test_the_page_tells_them_by_link_and_in_the_table():
    graph = told(random_graph(4))
    data = graph_data(listed(graph), "it")
    assert len(data["heads"]) == len(data["links"]) > 100
    page = render_graph(pack_graph("it", listed(graph)))
    assert '<th scope="col">Heads, share of the link</th>' in page
    assert data["heads"][0] in page
    without = replace(graph, heads=None)
    assert "heads" not in graph_data(listed(without), "it")
    assert "Heads, share of the link" not in render_graph(pack_graph("it", listed(without)))


def test_the_dashboards_parts_and_logits_keep_them():
    graph = told(random_graph(5))
    whole = listed(graph)
    before = by_places(graph)
    index = index_of(graph)
    part = part_of(whole, index.ids[10:60])
    assert all(before[place] == heads for place, heads in by_places(part).items())
    alone = toward(whole, AskedLogits(1))
    after = by_places(part_of(alone, index.ids[:60]))
    assert after.keys() < before.keys()
    assert all(before[place] == heads for place, heads in after.items())
    less = by_places(part_of(toward(whole, AskedLogits(0, 1)), index.ids[:60]))
    difference = {place: heads for place, heads in less.items() if "−" in str(place[0])}
    assert difference
    assert set(difference.values()) == {()}
    name = index.ids[0]
    links = connections(index, entering(graph), name).outputs
    assert links
    assert all(link.heads == heads_of_edge(graph, index.row(link.id), 0) for link in links)
