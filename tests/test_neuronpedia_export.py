from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import LabelledIds, supernodes
from tracer.hypothesis.neuronpedia_ids import cantor
from tracer.record.graph import neuronpedia_export
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Pruning, Subject, source_ids
from tracer.record.graph.neuronpedia_export import export, logit_ids, write
from tracer.record.graph.neuronpedia_format import validate

INFLUENCES = np.array([0.5, 0.0, 0.25, 0.125, 0.125])


def two_features() -> AttributionGraph:
    """Dallas → a feature → Austin and a direction, by hand; feature 5 of layer 0 sits where the
    error of layer 5 would collide in the older form."""
    nodes = Nodes(
        features=np.array([[0, 1, 5], [5, 2, 15589]]),
        activations=np.array([1.5, 0.1], dtype=np.float32),
        errors=np.array([[5, 1]]),
        tokens=np.array([0, 1]),
        logits=(Logit(' "Austin"', 22605, 0.4194), Logit("capital - state", None, 1.0)),
    )
    edges = np.zeros((4, 5), dtype=np.float32)
    edges[0, 4] = 0.1
    edges[1, 0] = -2.5
    edges[2, [1, 2]] = [3.0, 1e-6]
    return AttributionGraph(
        subject=Subject(
            prompt="Fact: Dallas is",
            tokens=("<bos>", " Dallas", " is"),
            token_ids=(2, 26865, 603),
            model="google/gemma-2-2b",
            fingerprint="f",
            basis="gemma",
            n_layers=6,
            n_active=9,
            relevance_share=0.9,
        ),
        nodes=nodes,
        edges=edges,
        constants=np.zeros(4, dtype=np.float32),
        values=edges.sum(1),
        pruning=Pruning(0.8, 0.98),
    )


def nodes_of(graph: AttributionGraph) -> dict[str, dict]:
    return {node["node_id"]: node for node in export(graph, INFLUENCES, "dallas")["nodes"]}


@pytest.mark.parametrize(
    ("layer", "index", "paired"),
    [(0, 928, 431984), (1, 57794, 1670217704), (20, 15589, 121843834)],
)
def test_a_feature_is_paired_as_in_published_graphs(layer: int, index: int, paired: int):
    assert cantor(layer, index) == paired


def test_nodes_are_named_and_typed_as_the_page_reads_them():
    nodes = nodes_of(two_features())
    assert list(nodes) == [
        *("0_5_1", "5_15589_2", "5_-1_1"),
        *("E_2_0", "E_26865_1", "7_22605_2", "7_1000000001_2"),
    ]
    seen = {
        name: (n["layer"], n["ctx_idx"], n["feature"], n["jsNodeId"]) for name, n in nodes.items()
    }
    assert seen == {
        "0_5_1": ("0", 1, 20, "0_5-0"),
        "5_15589_2": ("5", 2, 15594 * 15595 // 2 + 15589, "5_15589-0"),
        "5_-1_1": ("5", 1, -1, "5_-1-1"),
        "E_2_0": ("E", 0, 0, "E_2-0"),
        "E_26865_1": ("E", 1, 1, "E_26865-1"),
        "7_22605_2": ("7", 2, 22605, "L_22605-2"),
        "7_1000000001_2": ("7", 2, 1000000001, "L_1000000001-2"),
    }
    assert [nodes[name]["activation"] for name in ("0_5_1", "5_15589_2", "E_2_0")] == [
        1.5,
        0.1,
        None,
    ]


def test_logits_carry_their_label_and_probability_as_text():
    nodes = nodes_of(two_features())
    austin, direction = nodes["7_22605_2"], nodes["7_1000000001_2"]
    assert austin["clerp"] == 'Output " "Austin"" (p=0.419)'
    assert (austin["token_prob"], austin["is_target_logit"]) == (0.4194, True)
    assert (direction["token_prob"], direction["is_target_logit"]) == (1.0, False)
    assert austin["influence"] is None


def test_influence_is_the_share_down_to_the_rank_and_ends_at_the_threshold():
    ranks = [node["influence"] for node in nodes_of(two_features()).values()][:5]
    # by rank: 0.5, 0.25, 0.125, 0.125 (a tie goes to the first), 0
    assert ranks == pytest.approx([0.4, 0.8, 0.6, 0.7, 0.8])
    assert max(ranks) == 0.8, "the slider ends there: nothing may stand beyond it"


def test_an_unpruned_graph_ends_at_one_and_says_nothing_of_pruning():
    data = export(replace(two_features(), pruning=None), np.zeros(5), "dallas")
    assert data["metadata"]["node_threshold"] == 1
    assert "pruning_settings" not in data["metadata"]
    assert [node["influence"] for node in data["nodes"]][:5] == [1.0] * 5


def test_links_are_the_edges_that_are_there():
    links = export(two_features(), INFLUENCES, "dallas")["links"]
    assert [tuple(link.values()) for link in links] == [
        ("E_26865_1", "0_5_1", 0.1),
        ("0_5_1", "5_15589_2", -2.5),
        ("5_15589_2", "7_22605_2", 3.0),
        ("5_-1_1", "7_22605_2", 1e-6),
    ]


def test_with_the_bias_node_the_links_into_a_target_add_up_to_its_value():
    graph = two_features()
    constants = np.array([0.25, 0, -1, 2], dtype=np.float32)
    graph = replace(graph, constants=constants, values=graph.edges.sum(1) + constants)
    data = export(graph, INFLUENCES, "dallas")
    (bias,) = (node for node in data["nodes"] if node["feature_type"] == "bias")
    receivers = [
        *source_ids(graph.nodes, graph.subject)[: graph.nodes.n_features],
        *logit_ids(graph),
    ]
    for name, value in zip(receivers, graph.values.tolist(), strict=True):
        into = [link["weight"] for link in data["links"] if link["target"] == name]
        assert sum(into) == pytest.approx(value, rel=1e-6)
    assert {link["target"] for link in data["links"] if link["source"] == bias["node_id"]} == {
        name for name, constant in zip(receivers, constants, strict=True) if constant
    }


def test_the_head_tells_prompt_model_and_pruning():
    metadata = export(two_features(), INFLUENCES, "dallas")["metadata"]
    assert metadata["scan"] == "gemma-2-2b"
    assert export(two_features(), INFLUENCES, "dallas", "x")["metadata"]["scan"] == "x"
    assert metadata["prompt_tokens"] == ["<bos>", " Dallas", " is"]
    assert metadata["schema_version"] == 1
    assert metadata["pruning_settings"] == {"node_threshold": 0.8, "edge_threshold": 0.98}
    assert metadata["info"]["generator"]["name"] == "tracer"


def test_what_is_written_is_valid_and_the_same_each_time(tmp_path: Path):
    for name in ("a.json", "b.json"):
        write(tmp_path / name, two_features(), INFLUENCES, "dallas")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert data == export(two_features(), INFLUENCES, "dallas")
    assert validate(data) == []


def test_supernodes_are_kept_as_they_are():
    groups = (LabelledIds("Texas", ("5_15589_2", "9_9_9")), LabelledIds("none", ()))
    data = export(two_features(), INFLUENCES, "dallas", supernodes=groups)
    assert data["qParams"]["supernodes"] == [["Texas", "5_15589_2", "9_9_9"], ["none"]]
    assert validate(data) == []
    assert supernodes(data) == dict(groups)


@pytest.mark.parametrize("slug", ["", "../secret", "a b", ".hidden", "x" * 201])
def test_a_slug_is_a_plain_name(slug: str):
    with pytest.raises(UsageError, match="is no slug: letters, digits"):
        export(two_features(), INFLUENCES, slug)


def test_more_than_neuronpedia_takes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neuronpedia_export, "MAX_JSON_BYTES", 100)
    with pytest.raises(UsageError, match="Neuronpedia takes at most"):
        write(tmp_path / "g.json", two_features(), INFLUENCES, "dallas")
    assert not list(tmp_path.iterdir())
