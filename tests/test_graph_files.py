import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from graphs import empty_graph, hand_graph, make_subject, random_graph

from tracer.errors import UsageError
from tracer.record.graph import soundness
from tracer.record.graph.files import read, read_features, write
from tracer.record.graph.prune import prune
from tracer.record.trials import FeatureTokens


def assert_equal(a, b):
    assert a.subject == b.subject and a.pruning == b.pruning and a.nodes.logits == b.nodes.logits
    for name in ("features", "activations", "errors", "tokens"):
        assert getattr(a.nodes, name).tolist() == getattr(b.nodes, name).tolist()
        assert getattr(a.nodes, name).shape == getattr(b.nodes, name).shape
    for name in ("edges", "constants", "values"):
        assert getattr(a, name).dtype == np.float32
        assert (getattr(a, name) == getattr(b, name)).all()
        assert getattr(a, name).shape == getattr(b, name).shape


@pytest.mark.parametrize(
    "graph", [hand_graph(), empty_graph(), random_graph(1), prune(random_graph(2))]
)
def test_what_is_written_comes_back(tmp_path, graph):
    path = write(tmp_path / "some.graph.json", graph)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "some.graph.json",
        "some.graph.safetensors",
    ]
    assert_equal(read(path), graph)


def test_what_is_told_of_features_comes_back_with_those_that_are_there(tmp_path):
    graph = hand_graph()
    layer, pos, index = graph.nodes.features[0].tolist()
    told = FeatureTokens(promotes=(" Austin",), suppresses=("<b>",))
    path = write(tmp_path / "g.json", graph, {f"{layer}_{index}_{pos}": told, "9_9_9": told})
    assert read_features(path) == {f"{layer}_{index}_{pos}": told}
    assert_equal(read(path), graph)
    assert "features" not in json.loads(write(tmp_path / "h.json", graph).read_text())


def test_a_folder_holds_one_graph(tmp_path):
    assert write(tmp_path, hand_graph()) == tmp_path / "graph.json"
    assert_equal(read(tmp_path), hand_graph())


def test_the_files_are_as_documented(tmp_path):
    write(tmp_path, hand_graph())
    about = json.loads((tmp_path / "graph.json").read_text())
    data = (tmp_path / "graph.safetensors").read_bytes()
    assert about["schema"] == "tracer.graph/1"
    assert about["n_nodes"] == 8
    assert about["counts"] == {"features": 3, "errors": 1, "tokens": 2, "logits": 2, "edges": 11}
    assert about["logits"][0] == {"label": " X", "token": 3, "weight": 0.6}
    assert about["tensors_sha256"] == hashlib.sha256(data).hexdigest()
    found = safetensors.numpy.load(data)
    edges = [found[f"edges.{what}"].tolist() for what in ("target", "source", "weight")]
    assert list(zip(*edges, strict=True))[:4] == [(0, 4, 2), (1, 4, -1), (1, 5, 3), (2, 0, 1)]


@pytest.mark.parametrize("name", ["graph.json", "graph.safetensors"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    write(tmp_path, hand_graph())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=f"{name}: no graph is here, this is not a regular file"):
        read(tmp_path)


def test_a_name_that_no_graph_has_and_a_graph_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"graph\.pt: a graph's file ends in \.json"):
        write(tmp_path / "graph.pt", hand_graph())
    with pytest.raises(UsageError, match=r"none\.json: no graph is here"):
        read(tmp_path / "none.json")
    write(tmp_path, hand_graph())
    (tmp_path / "graph.safetensors").unlink()
    with pytest.raises(UsageError, match=r"graph\.safetensors: no graph is here"):
        read(tmp_path)


def refused(folder, sentence):
    with pytest.raises(UsageError, match=rf"graph\.\w+: {sentence}"):
        read(folder)


def test_broken_files_are_told(tmp_path):
    path = write(tmp_path, hand_graph())
    text = path.read_text()
    for cut in (0, 1, len(text) // 2, len(text) - 3):
        path.write_text(text[:cut])
        refused(tmp_path, "cut short, or not JSON")
    path.write_text("[" * 100_000)
    refused(tmp_path, "cut short, or not JSON")
    path.write_text(text.replace('"n_nodes": 8', '"n_nodes": 8' + "0" * 5000))
    refused(tmp_path, "cut short, or not JSON")
    path.write_text("[1]")
    refused(tmp_path, "not written by tracer: its schema is None")
    path.write_text(text.replace("graph/1", "graph/2"))
    refused(tmp_path, r"written by a newer tracer \(tracer.graph/2")
    path.write_text(text)
    beside = tmp_path / "graph.safetensors"
    beside.write_bytes(beside.read_bytes()[:-1] + b"?")
    refused(tmp_path, r"not the tensors that graph\.json was written with")


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        ("n_nodes", 9, "n_nodes is 9, but the counts add up to 8"),
        ("n_nodes", "8", "not what tracer.graph/1 says: n_nodes: .*integer"),
        ("n_nodes", True, "not what tracer.graph/1 says: n_nodes: .*integer"),
        ("n_nodes", 10**40, "not what tracer.graph/1 says: n_nodes: .*less than"),
        ("more", 1, "not what tracer.graph/1 says: more: extra"),
        ("pruning", {"nodes": 2.0, "edges": 1}, "not what .* pruning.nodes: .*less than or equal"),
        ("subject.relevance_share", float("nan"), "not what|cut short"),
        ("subject.token_ids", [1], "2 tokens, but 1 token ids"),
        ("logits.0.weight", -1.0, "not what .* logits.0.weight: .*greater than"),
        ("logits.0.token", 1.5, "not what .* logits.0.token: .*integer"),
        ("logits", [], "0 logits, but a count of 2"),
        ("counts.features", -1, "not what .* counts.features: .*greater than"),
        ("tensors_sha256", "../x", "not what .* tensors_sha256: .*pattern"),
    ],
)
def test_a_document_that_does_not_fit_is_told(tmp_path, where, value, sentence):
    path = write(tmp_path, hand_graph())
    about = json.loads(path.read_text())
    part = about
    *way, last = [int(key) if key.isdigit() else key for key in where.split(".")]
    for key in way:
        part = part[key]
    part[last] = value
    path.write_text(json.dumps(about))
    refused(tmp_path, sentence)


def rewrite(folder, change, counts=()):
    """Change the tensors, and let the document name what they are now."""
    path, beside = folder / "graph.json", folder / "graph.safetensors"
    found = safetensors.numpy.load(beside.read_bytes())
    change(found)
    data = safetensors.numpy.save({name: np.ascontiguousarray(t) for name, t in found.items()})
    beside.write_bytes(data)
    about = json.loads(path.read_text())
    about["counts"] |= dict(counts)
    about["n_nodes"] = sum(about["counts"].values()) - about["counts"]["edges"]
    about["tensors_sha256"] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(about))


def put(name, at, value):
    return lambda found: found[name].__setitem__(at, value)


def swap(name, rows):
    return lambda found: found.update({name: found[name][rows]})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put("edges.target", -1, 5), r"'edges\.target' goes beyond 0 to 4"),
        (put("edges.target", 0, -1), r"'edges\.target' goes beyond 0 to 4"),
        (put("edges.source", -1, 6), r"'edges\.source' goes beyond 0 to 5"),
        (put("edges.source", 0, -(2**31)), r"'edges\.source' goes beyond 0 to 5"),
        (put("edges.source", 0, 1), "an edge does not lead from a lower layer to a higher"),
        (put("edges.source", 2, 4), "the edges are not sorted by target and source"),
        (put("edges.weight", 3, 0), "an edge has the weight 0"),
        (put("edges.weight", 3, np.nan), r"'edges\.weight' holds something that is no number"),
        (put("values", 1, np.inf), "'values' holds something that is no number"),
        (put("constants", 1, -np.inf), "'constants' holds something that is no number"),
        (put("activations", 0, 3e38), "'activations' holds something that is no number"),
        (put("features", (2, 0), 2), "'features' goes beyond 0 to 1 in column 0"),
        (put("features", (2, 1), 2), "'features' goes beyond 0 to 1 in column 1"),
        (put("features", (2, 2), -1), "'features' goes beyond 0 to 2147483646 in column 2"),
        (swap("features", [0, 0, 2]), "'features' is not sorted, or names one twice"),
        (swap("features", [1, 0, 2]), "'features' is not sorted, or names one twice"),
        (swap("features", [0, 1]), r"'features' is I32 \[2, 3\], not I32 \[3, 3\]"),
        (put("errors", (0, 0), -1), "'errors' goes beyond 0 to 1 in column 0"),
        (swap("tokens", [1, 0]), "'tokens' is not sorted"),
        (lambda found: found.pop("tokens"), "tensor 'tokens' is missing"),
        (lambda found: found.update(more=np.zeros(2)), "tensor 'more' is unknown"),
        (
            lambda found: found.update(values=found["values"].astype(np.float64)),
            r"'values' is F64 \[5\], not F32 \[5\]",
        ),
    ],
)
def test_tensors_that_are_no_graph_are_told(tmp_path, change, sentence):
    write(tmp_path, hand_graph())
    rewrite(tmp_path, change)
    refused(tmp_path, sentence)


def test_a_matrix_too_large_to_make_is_refused_before_it_is_made(tmp_path, monkeypatch):
    write(tmp_path, hand_graph())
    rewrite(tmp_path, lambda found: None, {"features": 2**30})
    refused(tmp_path, "1073741826 × 1073741827 cells are more than the 5000000000 that are read")
    write(tmp_path, hand_graph())
    monkeypatch.setattr(soundness, "MAX_CELLS", 29)
    refused(tmp_path, "5 × 6 cells are more than the 29")


def test_a_header_that_promises_what_the_file_has_not(tmp_path):
    path, beside = write(tmp_path, hand_graph()), tmp_path / "graph.safetensors"
    whole, about = beside.read_bytes(), json.loads(path.read_text())
    for data in (b"", whole[:200], b"\xff" * 8 + whole[8:]):
        beside.write_bytes(data)
        path.write_text(json.dumps({**about, "tensors_sha256": hashlib.sha256(data).hexdigest()}))
        refused(tmp_path, "cut short, or no safetensors file")


def test_a_graph_that_cannot_be_read_again_is_not_written(tmp_path):
    graph = hand_graph()
    graph.edges[0, 2] = 1
    with pytest.raises(UsageError, match=r"graph\.json: this graph cannot be kept: an edge does"):
        write(tmp_path, graph)
    graph = replace(hand_graph(), subject=replace(make_subject(), relevance_share=2.0))
    with pytest.raises(UsageError, match="cannot be kept: relevance_share: input should be less"):
        write(tmp_path, graph)
    assert not list(tmp_path.iterdir())


def test_an_older_graph_stands_when_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    write(tmp_path, hand_graph())
    monkeypatch.setattr("tracer.record.graph.files.write_bytes", _full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, random_graph(1))
    assert_equal(read(tmp_path), hand_graph())


def _full(path, data):
    raise OSError(28, "No space left", str(path))
