"""Graphs that are there already, told apart by what stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph_json import AUSTIN, TEXAS, TWIN, dallas, saved
from tests.graphs import hand_graph
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import LabelledIds
from tracer.hypothesis.neuronpedia_ids import FEATURE
from tracer.record.graph import files
from tracer.record.graph.neuronpedia_export import export
from tracer.record.graph.neuronpedia_import import absent, read_either


def test_ours_and_theirs_are_read_whatever_they_are_called(tmp_path: Path):
    ours = read_either(files.write(tmp_path / "dallas-neuronpedia.json", hand_graph()))
    assert ours.graph.subject == hand_graph().subject and ours.supernodes == ()
    theirs = read_either(saved(tmp_path, dallas()))
    assert theirs.graph.subject.prompt == "<bos>Fact: Dallas is"
    assert theirs.supernodes == (LabelledIds("Texas", (TEXAS,)),)
    assert theirs.sha256 != ours.sha256


def test_a_byte_order_mark_is_no_content(tmp_path: Path):
    path = saved(tmp_path, dallas())
    plain = read_either(path).graph
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_either(path).graph.subject == plain.subject


def test_ids_that_are_not_there(tmp_path: Path):
    graph = read_either(saved(tmp_path, dallas())).graph
    there = [TWIN, TEXAS, "0_21_4", "21_-1_4", "E_26865_3", AUSTIN, "27_8770_4"]
    gone = ["20_15589_3", "0_20_4", "E_1_3", "E_26865_2", "27_1_4", "Texas", ""]
    assert absent([*there, *gone], graph) == set(gone)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "no attribution graph: tracer's have the schema 'tracer.graph/1', those of"),
        (None, "no attribution graph"),
        (5, "no attribution graph"),
        ("x", "no attribution graph"),
        ({"schema": "tracer.run/1"}, "no attribution graph"),
        ({"schema": 5, "metadata": {}}, "no attribution graph"),
        ({"schema": "tracer.graph/9"}, "written by a newer tracer"),
        ({"schema": "tracer.graph/1"}, "not what tracer.graph/1 says"),
        ({"nodes": []}, "no graph JSON: metadata: it is missing"),
        (dallas() | {"qParams": {"supernodes": "["}}, "supernodes: no JSON"),
    ],
)
def test_what_is_no_graph_is_one_sentence(tmp_path: Path, data: Any, sentence: str):
    path = saved(tmp_path, data)
    with pytest.raises(UsageError, match=sentence) as told:
        read_either(path)
    assert str(told.value).startswith(f"{path}: ")


def test_tensors_that_are_not_there_are_told(tmp_path: Path):
    path = files.write(tmp_path / "g.json", hand_graph())
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(UsageError, match=r"g\.safetensors: no graph is here"):
        read_either(path)


def test_a_name_the_system_refuses_is_a_sentence():
    for name in ("x" * 5000 + ".json", "a\0.json"):
        with pytest.raises(UsageError):
            read_either(Path(name))


def test_deep_nesting_is_a_sentence(tmp_path: Path):
    path = tmp_path / "deep.json"
    path.write_text('{"nodes": ' + "[" * 150 + "]" * 150 + "}")
    json.loads(path.read_text())
    with pytest.raises(UsageError):
        read_either(path)


def test_labels_pins_and_the_node_in_view_are_carried_into_an_export(tmp_path: Path):
    data = dallas()
    features = [node for node in data["nodes"] if node["feature_type"] == FEATURE]
    features[0]["clerp"] = "say a capital"
    data["qParams"] |= {"pinnedIds": f"{TEXAS},{AUSTIN}", "clickedId": TEXAS}
    found = read_either(saved(tmp_path, data))
    influences = np.ones(found.graph.nodes.n_sources)
    written = export(found.graph, influences, "a", marks=found.marks)
    labels = {node["node_id"]: node["clerp"] for node in written["nodes"]}
    assert labels[features[0]["node_id"]] == "say a capital"
    assert written["qParams"]["pinnedIds"] == [TEXAS, AUSTIN]
    assert written["qParams"]["clickedId"] == TEXAS
    assert read_either(saved(tmp_path, written)).marks == found.marks
