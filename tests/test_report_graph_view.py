"""What the interactive graph is given: numbers by hand, cuts told, hostile text cleaned."""

import dataclasses
import json

import pytest

from tests.graphs import hand_graph, make_graph, random_graph
from tracer.record.graph.graph import listed
from tracer.report.graph_view import graph_data, to_json

GROUPS = [{"name": "b", "label": "B and more", "places": [(0, 1, 7), (0, 1, 99)]}]


def test_the_hand_graph_as_the_view_draws_it():
    data = graph_data(listed(hand_graph()), "hand", GROUPS, {"1_2_1": [("Ablated", "−0.3")]})
    by_id = {node["id"]: node for node in data["nodes"]}
    assert list(by_id) == ["0_5_0", "0_7_1", "1_2_1", "0_-1_1", "E_0_0", "E_1_1", "L_0", "L_1"]
    c = by_id["1_2_1"]
    # X (.6) takes 3/4 of its input from C, Y (.3) a quarter.
    assert c["influence"] == pytest.approx(0.6 * 3 / 4 + 0.3 / 4)
    assert (c["kind"], c["layer"], c["position"], c["token"]) == ("feature", 1, 1, "' t1'")
    assert c["input"] == 4 and c["facts"] == [["Ablated", "−0.3"]]
    assert by_id["0_7_1"]["supernodes"] == [0]
    assert data["supernodes"] == [{"name": "b", "label": "B and more", "n_features": 2}]
    ids = list(by_id)
    links = {(ids[int(s)], ids[int(t)]): (w, share) for s, t, w, share in data["links"]}
    assert links["0_7_1", "1_2_1"] == (-2, -0.5)
    assert len(links) == 11 and data["cut"] == ""


def test_links_come_by_the_influence_they_carry():
    graph = random_graph(2)
    data = graph_data(listed(graph), "")
    nodes = data["nodes"]
    carried = [abs(share) * nodes[int(t)]["influence"] for _, t, _, share in data["links"]]
    assert all(b <= a * 1.001 for a, b in zip(carried, carried[1:], strict=False))


def test_what_is_cut_is_told_and_supernodes_stay():
    graph = random_graph(5)
    least = graph_data(listed(graph), "")["nodes"][:60]
    weakest = min(least, key=lambda node: node["influence"])
    layer, index, position = map(int, weakest["id"].split("_"))
    groups = [{"name": "w", "label": "w", "places": [(layer, position, index)]}]
    data = graph_data(listed(graph), "", groups, max_nodes=20, max_links=15)
    assert len(data["nodes"]) == 20 and len(data["links"]) == 15
    assert weakest["id"] in {node["id"] for node in data["nodes"]}
    assert data["cut"].startswith("Shown: the 20 most influential of 88 nodes and the 15 links")
    assert {node["kind"] for node in data["nodes"]} >= {"logit"}
    assert all(0 <= n < 20 for link in data["links"] for n in link[:2])


def test_the_hash_names_the_content():
    one, again, other = (listed(random_graph(seed)) for seed in (1, 1, 2))
    assert graph_data(one, "a")["hash"] == graph_data(again, "a")["hash"]
    assert graph_data(one, "a")["hash"] != graph_data(other, "a")["hash"]


def test_hostile_tokens_are_cleaned_and_numbers_stay_json():
    graph = hand_graph()
    subject = dataclasses.replace(graph.subject, tokens=("\u202e<script>", "/home/someone/x"))
    edges = graph.edges.copy()
    edges[2, 0] = 1e30
    data = graph_data(listed(make_graph(graph.nodes, edges, subject)), "x\x00")
    text = to_json(data)
    assert "\u202e" not in text and r"\\u202e<script>" in text and "/home/someone" not in text
    assert data["title"] == "x⟨U+0000⟩"
    assert json.loads(text) == data
