from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph_json import (
    AUSTIN,
    ERROR,
    FEATURE,
    SAY_AUSTIN,
    TEXAS,
    TWIN,
    dallas,
    entry,
    link,
    saved,
)
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import supernodes
from tracer.record.graph import neuronpedia_format, neuronpedia_import
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Pruning, Subject
from tracer.record.graph.neuronpedia_export import write
from tracer.record.graph.neuronpedia_format import validate
from tracer.record.graph.neuronpedia_import import read_either


def read(path: Path) -> AttributionGraph:
    return read_either(path).graph


def test_a_round_trip_keeps_nodes_edges_and_logits(tmp_path: Path):
    edges = np.zeros((4, 6), dtype=np.float32)
    edges[1, 0], edges[2, 1], edges[3, 2], edges[0, 4] = 0.1, -3e-7, 1 / 3, 5e20
    graph = AttributionGraph(
        subject=Subject("a b", (" a", "\u2028b"), (3, 4), "o/m", "", "neurons", 6, 2, 0.0),
        nodes=Nodes(
            features=np.array([[0, 1, 5], [5, 1, 9]]),
            activations=np.array([-0.1, 2.0], dtype=np.float32),
            errors=np.array([[0, 0], [5, 1]]),
            tokens=np.array([0, 1]),
            logits=(Logit(' (p="0")"', 7, 0.3), Logit("up - down", None, 1.0)),
        ),
        edges=edges,
        constants=np.array([0.5, 0, -2, 1e-3], dtype=np.float32),
        values=edges.sum(1) + np.array([0.5, 0, -2, 1e-3], dtype=np.float32),
        pruning=Pruning(0.7, 0.9),
    )
    write(tmp_path / "g.json", graph, np.ones(6), "g")
    back = read(tmp_path / "g.json")
    for name in ("features", "activations", "errors", "tokens"):
        np.testing.assert_array_equal(getattr(back.nodes, name), getattr(graph.nodes, name))
    np.testing.assert_array_equal(back.edges, edges)
    np.testing.assert_array_equal(back.constants, graph.constants)
    np.testing.assert_array_equal(back.values, graph.values)
    assert back.nodes.logits == graph.nodes.logits
    assert back.pruning == graph.pruning
    assert back.subject == Subject("a b", (" a", "\u2028b"), (3, 4), "m", "", "neurons", 6, 2, 0.0)


def test_an_older_file_is_read(tmp_path: Path):
    graph = read(saved(tmp_path, dallas()))
    nodes = graph.nodes
    assert nodes.features.tolist() == [[0, 2, 5], [20, 4, 15589], [23, 4, 12237]]
    assert nodes.activations.tolist() == [2.0, 8.5, 0.0]
    assert nodes.errors.tolist() == [[5, 2], [21, 4]]
    assert nodes.tokens.tolist() == [3]
    assert nodes.logits == (Logit(" Austin", 22605, 0.42), Logit(' "x"', 8770, 0.061))
    assert graph.subject.token_ids == (-1, -1, -1, 26865, -1)
    assert (graph.subject.n_layers, graph.subject.n_active) == (26, 3)
    assert graph.pruning == Pruning(0.8, 1.0)
    np.testing.assert_array_equal(graph.constants, np.zeros(5))
    np.testing.assert_array_equal(graph.values, [0, -3, 0.25, 6, 0])
    assert {
        (target, source): graph.edges[target, source]
        for target, source in zip(*np.nonzero(graph.edges), strict=True)
    } == {(1, 5): -3, (2, 1): 0.25, (3, 2): 2, (3, 4): 4}


FEATURES_COLUMN, ERRORS_COLUMN = 0, 4
"""Of the twin; columns: layers 0, 5, 20, 23, then the errors of 5 and 21, then the token."""


@pytest.mark.parametrize(
    ("sources", "target", "columns"),
    [
        ([TWIN, SAY_AUSTIN], AUSTIN, [FEATURES_COLUMN]),
        ([TEXAS, TWIN], AUSTIN, [ERRORS_COLUMN]),
        ([TEXAS, TWIN, "21_-1_4"], AUSTIN, [ERRORS_COLUMN]),
        ([TWIN, TWIN], AUSTIN, [FEATURES_COLUMN, ERRORS_COLUMN]),
        ([TWIN], "5_7_4", [FEATURES_COLUMN]),
    ],
)
def test_a_name_of_two_nodes_is_told_apart(
    tmp_path: Path, sources: list[str], target: str, columns: list[int]
):
    data = dallas()
    data["nodes"].append(entry("5_7_4", FEATURE))
    data["links"] = [link(source, target, 7) for source in sources]
    edges = read(saved(tmp_path, data)).edges
    row = {AUSTIN: 4, "5_7_4": 1}[target]
    assert [n for n in (FEATURES_COLUMN, ERRORS_COLUMN) if edges[row, n]] == columns


@pytest.mark.parametrize("sources", [[TWIN], ["21_-1_4", TEXAS, TWIN], [TWIN, "E_26865_3"]])
def test_a_name_of_two_nodes_that_nothing_tells_apart_is_refused(
    tmp_path: Path, sources: list[str]
):
    data = dallas()
    data["links"] = [link(source, AUSTIN) for source in sources]
    with pytest.raises(UsageError, match="'0_5_2' → '27_22605_4' may be a feature's or an error's"):
        read(saved(tmp_path, data))


def test_what_several_bias_nodes_send_is_one_constant(tmp_path: Path):
    data = dallas()
    before = read(saved(tmp_path, data))
    data["nodes"] += [entry("b0", "bias"), entry("b1", "bias")]
    target = next(node["node_id"] for node in data["nodes"] if node["feature_type"] == "logit")
    data["links"] += [{"source": name, "target": target, "weight": 0.25} for name in ("b0", "b1")]
    found = read(saved(tmp_path, data))
    row = before.nodes.n_features
    assert found.constants.tolist() == [0.0] * row + [0.5] + [0.0] * (
        len(found.constants) - row - 1
    )
    np.testing.assert_allclose(found.values - before.values, found.constants)
    data["links"][-1]["target"] = "b0"
    with pytest.raises(UsageError, match="the node 'b1' sends to 'b0', which receives no links"):
        read(saved(tmp_path, data))


def test_unknown_types_are_named(tmp_path: Path):
    data = dallas()
    data["nodes"] += [entry("1_2_3", "matryoshka sae"), entry("x", "unknown")]
    with pytest.raises(UsageError, match="of the types 'matryoshka sae', 'unknown'; only"):
        read(saved(tmp_path, data))


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change: the last argument is put where the others lead."""
    *way, last, value = path

    def change(data: dict[str, Any]) -> None:
        for key in way:
            data = data[key]
        data[last] = value

    return change


def more(where: str, item: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[where].append(item)


HUGE = 10**400
MISFITS = [
    (put("nodes", 3), "nodes: found 3; a list is expected"),
    (put("nodes", 0, 3), r"nodes\[0\]: found 3; a mapping is expected"),
    (put("nodes", 0, "node_id", 5), r"nodes\[0\]\.node_id: found 5; text is expected"),
    (put("nodes", 0, "ctx_idx", "1"), r"nodes\[0\]\.ctx_idx: found '1'; a whole number"),
    (put("nodes", 0, "ctx_idx", True), "found true; a whole number is expected"),
    (put("nodes", 0, "layer", 1.5), r"nodes\[0\]\.layer: found 1.5; text is expected"),
    (put("nodes", 1, "activation", "hot"), r"nodes\[1\]\.activation: found 'hot'; a number"),
    (put("nodes", 1, "activation", 1e39), "a number within"),
    (
        put("links", 0, "weight", 1.1e30),
        r"links\[0\]\.weight: found 1.1e\+30; a number within ±1e\+30",
    ),
    (put("links", 0, "weight", -1.1e30), r"found -1.1e\+30; a number within ±1e\+30"),
    (put("nodes", 1, "activation", HUGE), r"nodes\[1\]\.activation"),
    (put("links", 0, "weight", None), r"links\[0\]\.weight: found nothing; a number is expected"),
    (put("metadata", "prompt_tokens", "abc"), "metadata.prompt_tokens: found 'abc'; a list"),
    (put("metadata", "prompt_tokens", [["a"]]), r"prompt_tokens\[0\]: found a list; text"),
    (
        put("metadata", "node_threshold", 8),
        "metadata.node_threshold: found 8; input should be less",
    ),
    (put("metadata", []), "metadata: found a list; a mapping is expected"),
    (put("metadata", {}), "metadata.slug: it is missing; .*; and 1 more"),
    (put("qParams", "supernodes", 5), "qParams.supernodes: found 5; text or a list is expected"),
]


@pytest.mark.parametrize(("change", "sentence"), MISFITS)
def test_a_value_of_the_wrong_kind_is_told_with_its_place(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str
):
    data = dallas()
    assert validate(data) == []
    change(data)
    assert validate(data)
    with pytest.raises(UsageError, match=f"graph.json: no graph JSON: .*{sentence}"):
        read(saved(tmp_path, data))


CONTRADICTIONS = [
    (more("links", link("1_1_1", AUSTIN)), r"links\[4\]: there is no node '1_1_1'"),
    (more("links", link(TEXAS, "9_9_9")), r"links\[4\]: there is no node '9_9_9'"),
    (more("links", link(TEXAS, "E_26865_3")), "the node 'E_26865_3' receives no links"),
    (more("links", link(AUSTIN, TEXAS)), "the node '27_22605_4' sends no links"),
    (more("links", link(SAY_AUSTIN, TEXAS)), "does not go to a later layer"),
    (more("links", link(TEXAS, TEXAS)), "does not go to a later layer"),
    (more("links", link("E_26865_3", TEXAS)), "'E_26865_3' → '20_15589_4' is there twice"),
    (more("nodes", entry(TEXAS, FEATURE)), "'20_15589_4' of the type .* is there twice"),
    (more("nodes", entry("0_21_4", ERROR)), "'0_21_4' of the type .* is there twice"),
    (more("nodes", entry("E_1_3", "embedding")), "two embedding nodes at one position"),
    (more("nodes", entry("D25_5604_7", FEATURE)), "'D25_5604_7' is no id of a node of the type"),
    (more("nodes", entry("020_15589_4", FEATURE)), "is no id of a node"),
    (more("nodes", entry("26_1_4", FEATURE)), "in layer 26, but its logits say .* 26 layers"),
    (more("nodes", entry("1_1_5", FEATURE)), "at position 5, but there are only 5 prompt tokens"),
    (more("nodes", entry("26_1_4", "logit", token_prob=0)), r"logits stand in layers \[26, 27\]"),
    (more("nodes", entry("27_1_4", "logit")), "the logit '27_1_4' has no probability"),
    (put("nodes", 6, "token_prob", -0.1), "the logit '27_22605_4' has no probability from 0 to 1"),
    (put("nodes", 6, "token_prob", 1.01), "the logit '27_22605_4' has no probability from 0 to 1"),
    (put("nodes", 6, dallas()["nodes"][6] | {"token_prob": None, "clerp": '"x" (p=42)'}), "has no"),
    (put("nodes", []), "it has no logit nodes"),
]


@pytest.mark.parametrize(("change", "sentence"), CONTRADICTIONS)
def test_a_contradiction_is_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str
):
    data = dallas()
    change(data)
    with pytest.raises(UsageError, match=sentence):
        read(saved(tmp_path, data))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ufeffx",
        '{"nodes": NaN}',
        "1" * 10_000,
        '"\\ud800"',
    ],
)
def test_what_is_no_json_is_one_sentence(tmp_path: Path, text: str):
    path = tmp_path / "graph.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="graph.json: cut short, or no JSON"):
        read(path)


def test_infinity_and_bytes_that_are_no_text_are_refused(tmp_path: Path):
    text = json.dumps(dallas())
    for content in (text.replace("0.25", "1e999").encode(), text.encode("utf-16"), b"\xff\x00"):
        (tmp_path / "graph.json").write_bytes(content)
        with pytest.raises(UsageError):
            read(tmp_path / "graph.json")


def test_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="there is no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(UsageError, match="this is a folder"):
        read(tmp_path)
    path = saved(tmp_path, dallas())
    monkeypatch.setattr(neuronpedia_import, "MAX_EDGES", 10)
    with pytest.raises(UsageError, match="5 × 6 edges are possible .* at most 10"):
        read(path)
    monkeypatch.setattr(neuronpedia_format, "MAX_JSON_BYTES", 100)
    with pytest.raises(UsageError, match="the file is larger than"):
        read(path)


@pytest.mark.parametrize(
    "written",
    [[["Texas", TEXAS], ["Texas", "E_1_3"]], '[["Texas","20_15589_4"],["Texas","E_1_3"]]'],
)
def test_supernodes_are_a_list_or_its_text(written: object):
    data = {"qParams": {"supernodes": written}}
    assert supernodes(data) == {"Texas": (TEXAS,), "Texas (2)": ("E_1_3",)}


@pytest.mark.parametrize(
    "data", [{}, {"qParams": 5}, {"qParams": {}}, {"qParams": {"supernodes": ""}}]
)
def test_a_file_may_keep_no_supernodes(data: dict[str, Any]):
    assert supernodes(data) == {}


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (5, "found 5; a list of lists is expected"),
        ("{}", "a list of lists is expected"),
        ("[", "no JSON"),
        ([[]], r"supernodes\[0\]: found \[\]; a label and ids are expected"),
        ([["a"], "b"], r"supernodes\[1\]: found 'b'"),
        ([["a", 5]], r"found \['a', 5\]"),
        ([[["a"]]], "a label and ids are expected"),
    ],
)
def test_supernodes_of_another_shape_are_refused(written: object, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        supernodes({"qParams": {"supernodes": written}})
