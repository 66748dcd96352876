"""Graph files with attention dictionaries, as Neuronpedia writes them: read, counted, written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import call
from tests.graph_json import entry, link, saved
from tests.graphs import dense_influence, square
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import LabelledIds, read_url
from tracer.record.graph import files
from tracer.record.graph.graph import AttributionGraph, listed, source_ids
from tracer.record.graph.influence import influence, inputs, listed_influence, supernode_scores
from tracer.record.graph.neuronpedia_export import export
from tracer.record.graph.neuronpedia_import import read_either
from tracer.record.graph.prune import prune
from tracer.report.graph_view import graph_data

LORSA = "1_lor_7_2"
MLP, LATER = "0_cro_3_1", "1_cro_5_2"
PLAIN = {MLP: "0_3_1", LATER: "1_5_2"}
BIAS, GONE = "0_bias_tc_bD_1", "0_cro_9_0"


def induction() -> dict[str, Any]:
    """Two layers, three tokens: a token → a feature → an attention feature → a later feature."""
    traced = {
        "pair_wise_contributors": [[MLP, GONE, 0.5], ["E_11_1", BIAS, -0.25]],
        "top_q_marginal_contributors": [[MLP, 0.75]],
        "top_k_marginal_contributors": [[GONE, 0.5], [BIAS, -0.125]],
    }
    cro = "cross layer transcoder"
    return {
        "metadata": {
            "slug": "induction",
            "scan": "qwen3-1.7b",
            "prompt_tokens": ["A", " B", " A"],
            "prompt": "A B A",
            "schema_version": 1,
        },
        "qParams": {"pinnedIds": [LORSA, MLP], "supernodes": [["copy", LORSA, LATER]]},
        "nodes": [
            entry(LATER, cro, layer=1, ctx_idx=2, activation=2.0, clerp="F26"),
            entry(LORSA, "lorsa", layer=1, ctx_idx=2, activation=3.0, qk_tracing_results=traced),
            entry(MLP, cro, layer=0, ctx_idx=1, activation=1.5),
            entry("1_error_mlp_2", "mlp reconstruction error", layer=1, ctx_idx=2),
            entry("1_error_attn_2", "lorsa error", layer=1, ctx_idx=2, feature=None),
            entry("0_bias_mlp_bout_1", "bias", layer=0, ctx_idx=1, feature=None),
            entry("E_11_1", "embedding", layer="E", ctx_idx=1),
            entry("2_12_2", "logit", layer=2, token_prob=0.5, clerp='Logit " B" (p=0.500)'),
        ],
        "links": [
            link("E_11_1", MLP, 2.0),
            link(MLP, LORSA, 1.0),
            link("E_11_1", LORSA, 3.0),
            link(LORSA, LATER, -4.0),
            link("1_error_attn_2", LATER, 1.0),
            link(LATER, "2_12_2", 2.0),
            link(LORSA, "2_12_2", 1.0),
            link("1_error_mlp_2", "2_12_2", 0.5),
            link("0_bias_mlp_bout_1", LORSA, 0.25),
        ],
        "qk_only_nodes": {
            BIAS: entry(BIAS, "bias", layer=0, ctx_idx=1, feature=None, clerp="L0 Bias (tc_bD)"),
            GONE: entry(GONE, cro, layer=0, ctx_idx=0, activation=0.125),
        },
    }


def opened(tmp_path: Path, data: dict[str, Any] | None = None) -> AttributionGraph:
    return read_either(saved(tmp_path, data or induction())).graph


def test_the_nodes_stand_where_their_ids_say(tmp_path: Path):
    nodes = opened(tmp_path).nodes
    assert nodes.features.tolist() == [[0, 1, 3], [1, 2, 7], [1, 2, 5]]
    assert nodes.activations.tolist() == [1.5, 3.0, 2.0]
    assert nodes.feature_ids() == ["0_3_1", LORSA, "1_5_2"]
    assert [nodes.id_of_row(row) for row in range(3)] == nodes.feature_ids()
    assert nodes.errors.tolist() == [[1, 2], [1, 2]]
    assert nodes.error_ids() == ["1_error_attn_2", "1_-1_2"]
    assert nodes.find(np.array([[1, 2, 5], [1, 2, 7]])).tolist() == [2, -1]
    assert [(each.label, each.weight) for each in nodes.logits] == [(" B", 0.5)]


def test_logits_stand_in_the_layer_that_the_files_form_says(tmp_path: Path):
    assert opened(tmp_path).subject.n_layers == 2
    data = induction()
    text = (
        json.dumps(data)
        .replace("_cro_", "_")
        .replace("error_mlp", "-1")
        .replace("2_12_2", "3_12_2")
    )
    assert opened(tmp_path, json.loads(text)).subject.n_layers == 2
    data["nodes"][0]["node_id"] = "2_cro_5_2"
    with pytest.raises(UsageError, match="in layer 2, but its logits say .* 2 layers"):
        opened(tmp_path, data)


def test_edges_and_constants_are_those_of_the_file(tmp_path: Path):
    graph, data = opened(tmp_path), induction()
    sources = source_ids(graph.nodes, graph.subject)
    targets = [*graph.nodes.feature_ids(), "logit"]
    names = PLAIN | {"2_12_2": "logit"}
    wanted = {
        (names.get(each["target"], each["target"]), each["source"]): each
        for each in data["links"]
        if "bias" not in each["source"]
    }
    found = {
        (targets[row], sources[column]): graph.edges[row, column]
        for row, column in zip(*np.nonzero(graph.edges), strict=True)
    }
    back = {**{ours: theirs for theirs, ours in PLAIN.items()}, "1_-1_2": "1_error_mlp_2"}
    assert {(target, back.get(source, source)): w for (target, source), w in found.items()} == {
        place: each["weight"] for place, each in wanted.items()
    }
    assert graph.constants.tolist() == [0, 0.25, 0, 0]


def test_influence_counts_paths_through_attention(tmp_path: Path):
    graph = opened(tmp_path)
    dense = dense_influence(*square(graph))[: graph.nodes.n_sources]
    np.testing.assert_allclose(influence(graph).sources, dense, rtol=1e-6)
    # The later feature (2/3.5 of the output's input) takes 4/5 of its own from attention.
    assert influence(graph).features[1] == pytest.approx(0.5 * (1 / 3.5 + 2 / 3.5 * 4 / 5))
    as_list = listed(graph)
    np.testing.assert_allclose(listed_influence(as_list, inputs(as_list))[0], dense, rtol=1e-6)


def test_a_supernodes_rest_goes_to_the_error_of_its_own_kind(tmp_path: Path):
    graph = opened(tmp_path)
    alone = supernode_scores(graph, np.array([True, False, True]))
    # Everything but what comes by the token 1/3.5·… is error: by hand, from the logit down.
    errors = (1 + 0.5) / 3.5 + 2 / 3.5
    assert alone.replacement == pytest.approx(1 - errors)


def test_pruning_keeps_which_nodes_are_of_attention(tmp_path: Path):
    graph = opened(tmp_path)
    smaller = prune(graph, 0.8, 1.0)
    assert smaller.nodes.n_features + len(smaller.nodes.errors) < 5
    assert LORSA in smaller.nodes.feature_ids()
    columns = graph.nodes.columns_of(smaller.nodes)
    names = np.array(source_ids(graph.nodes, graph.subject))
    assert names[columns].tolist() == source_ids(smaller.nodes, smaller.subject)


def test_marks_and_supernodes_have_the_names_that_are_written(tmp_path: Path):
    found = read_either(saved(tmp_path, induction()))
    assert found.supernodes == (LabelledIds("copy", (LORSA, "1_5_2")),)
    assert found.marks.pinned == (LORSA, "0_3_1")
    assert found.marks.labels == {"1_5_2": "F26"}


def test_what_is_written_is_read_the_same(tmp_path: Path):
    graph = opened(tmp_path)
    data = export(graph, influence(graph).sources, "again")
    types = {node["node_id"]: node["feature_type"] for node in data["nodes"]}
    assert (types[LORSA], types["1_error_attn_2"]) == ("lorsa", "lorsa error")
    [node] = [node for node in data["nodes"] if "qk_tracing_results" in node]
    assert (node["node_id"], node["layer"], node["ctx_idx"]) == (LORSA, "1", 2)
    assert node["qk_tracing_results"] == {
        "pair_wise_contributors": [["0_3_1", "0_9_0", 0.5], ["E_11_1", BIAS, -0.25]],
        "top_q_marginal_contributors": [["0_3_1", 0.75]],
        "top_k_marginal_contributors": [["0_9_0", 0.5], [BIAS, -0.125]],
    }
    only = data["qk_only_nodes"]
    assert only.keys() == {BIAS, "0_9_0"}
    assert (only[BIAS]["clerp"], only[BIAS]["feature_type"]) == ("L0 Bias (tc_bD)", "bias")
    assert (only["0_9_0"]["feature"], only["0_9_0"]["activation"]) == (54, 0.125)
    same(opened(tmp_path, json.loads(json.dumps(data))), graph)


def test_our_own_files_keep_it(tmp_path: Path):
    graph = opened(tmp_path)
    path = files.write(tmp_path / "ours.json", graph)
    same(files.read(path), graph)
    assert files.read_listed(path).tracings == graph.tracings
    about = json.loads(path.read_text())
    about["attention"]["tracings"]["contributors"]["0_9_0"]["position"] = 3
    path.write_text(json.dumps(about))
    with pytest.raises(UsageError, match="name a node beyond the 3 tokens"):
        files.read(path)
    del about["attention"]["tracings"]["contributors"]["0_9_0"]
    path.write_text(json.dumps(about))
    with pytest.raises(UsageError, match="the tracings name '0_9_0', which they do not describe"):
        files.read(path)


def same(found: AttributionGraph, wanted: AttributionGraph) -> None:
    assert source_ids(found.nodes, found.subject) == source_ids(wanted.nodes, wanted.subject)
    np.testing.assert_array_equal(found.edges, wanted.edges)
    np.testing.assert_array_equal(found.constants, wanted.constants)
    assert found.subject.n_layers == wanted.subject.n_layers
    assert found.tracings == wanted.tracings


def test_a_node_that_pruning_took_is_still_described(tmp_path: Path):
    data = induction()
    data["links"] = [each for each in data["links"] if each["source"] != MLP]
    graph = prune(opened(tmp_path, data), 1.0, 1.0)
    assert "0_3_1" not in graph.nodes.feature_ids()
    written = export(graph, influence(graph).sources, "x")
    assert written["qk_only_nodes"].keys() == {BIAS, "0_9_0", "0_3_1"}
    assert opened(tmp_path, written).tracings == graph.tracings


def test_the_view_shows_the_kinds_and_why_it_looks_there(tmp_path: Path):
    data = graph_data(listed(opened(tmp_path)), "it")
    nodes = {node["id"]: node for node in data["nodes"]}
    assert {name: node["kind"] for name, node in nodes.items()} == {
        "0_3_1": "feature",
        LORSA: "attention",
        "1_5_2": "feature",
        "1_error_attn_2": "attention-error",
        "1_-1_2": "error",
        "E_11_1": "token",
        "L_0": "logit",
    }
    assert nodes[LORSA]["label"] == "attention L1/7"
    assert ["Clamps", "none can set it: tracer has no dictionary of attention"] in nodes[LORSA][
        "facts"
    ]
    assert nodes[LORSA].get("tracing") == [
        {
            "title": "Score: query · key",
            "rows": [
                ("L0/3, at ' B' · L0/9, at 'A'", 0.5),
                ("token ' B' · L0 Bias (tc_bD), at ' B'", -0.25),
            ],
            "n_more": 0,
        },
        {"title": "Score: query side", "rows": [("L0/3, at ' B'", 0.75)], "n_more": 0},
        {
            "title": "Score: key side",
            "rows": [("L0/9, at 'A'", 0.5), ("L0 Bias (tc_bD), at ' B'", -0.125)],
            "n_more": 0,
        },
    ]
    assert not any("tracing" in node for name, node in nodes.items() if name != LORSA)


def test_the_command_says_that_none_can_be_clamped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    path = str(saved(tmp_path, induction()))
    text = " ".join(call(capfd, "graph", path).out.split())
    assert "1 feature of attention (lorsa): shown with their connections, but no clamp" in text
    assert "7 nodes, 8 edges" in text
    [graph] = json.loads(call(capfd, "graph", path, "--json").out)["graphs"]
    assert graph["n_attention"] == 1


def test_an_address_of_such_a_page_keeps_its_features():
    link = read_url(
        'https://www.neuronpedia.org/m/graph?slug=x&supernodes=[["a","1_cro_5_2","1_lor_7_2"]]'
    )
    assert link.supernodes == (LabelledIds("a", ("1_5_2",)),)
    assert link.notes == (
        "supernode 'a': '1_lor_7_2' is an attention feature, for which tracer has no dictionary: "
        "left out.",
    )


def traced(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["nodes"][1]["qk_tracing_results"][key] = value

    return change


def node(name: str, kind: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["nodes"].append(entry(name, kind, **more))


def only(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["qk_only_nodes"].update({name: value})


def described(name: str, kind: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        only(name, entry(name, kind, **more))(data)
        traced(QUERIES, [[name, 1.0]])(data)

    return change


def put(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({key: value})


def more(where: str, item: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[where].append(item)


PAIRS, QUERIES = "pair_wise_contributors", "top_q_marginal_contributors"
HOSTILE = [
    (traced(PAIRS, 5), r"nodes\[1\].*pair_wise_contributors: found 5; a list is expected"),
    (traced(PAIRS, [[MLP, 1.0]]), "pair_wise_contributors"),
    (traced(PAIRS, [[MLP, MLP, 1.0, 2]]), "a shorter list is expected"),
    (traced(PAIRS, [[MLP, MLP, "1"]]), "found '1'; a number is expected"),
    (traced(QUERIES, [[MLP, 1e31]]), r"a number within ±1e\+30"),
    (traced(QUERIES, [[MLP, 1.0]] * 10_001), "has 10,001 entries; at most 10,000 are read"),
    (traced(QUERIES, [["0_cro_8_0", 1]]), "'0_cro_8_0', which is neither in `nodes` nor in"),
    (traced(QUERIES, [[LORSA, 1]]), f"{LORSA}.* does not come before it"),
    (traced(QUERIES, [[LATER, 1]]), f"{LATER}.* does not come before it"),
    (traced(QUERIES, [["2_12_2", 1]]), "'2_12_2', which does not come before it"),
    (described("0_cro_1_3", "cross layer transcoder"), "does not come before it"),
    (described("q", "cross layer transcoder"), "has no id, `layer` or `ctx_idx` that says where"),
    (described("q", "unknown", layer="x"), "has no id, `layer` or `ctx_idx` that says where"),
    (described("q", "unknown", ctx_idx=-1), "has no id, `layer` or `ctx_idx` that says where"),
    (only("q", entry("r", "bias")), "qk_only_nodes: 'q' has the `node_id` 'r'"),
    (only("q", []), "qk_only_nodes.q: found a list; a mapping is expected"),
    (put("qk_only_nodes", []), "qk_only_nodes: found a list; a mapping"),
    (
        node(
            "0_cro_1_1",
            "cross layer transcoder",
            qk_tracing_results={PAIRS: [], QUERIES: [], "top_k_marginal_contributors": []},
        ),
        "has `qk_tracing_results`; only those of the type 'lorsa' can",
    ),
    (node("x", "lorsa error"), "'x' is no id of a node of the type 'lorsa error'"),
    (node("1_7_2", "lorsa"), "'1_7_2' of the type 'lorsa' is there twice"),
    (node("0_3_1", "lorsa"), None),
    (node("1_error_attn_3", "lorsa error"), "at position 3, but there are only 3"),
    (more("links", link(LATER, LORSA)), "does not go to a later layer"),
    (more("links", link(LORSA, LORSA)), "does not go to a later layer"),
]


@pytest.mark.parametrize(("change", "sentence"), HOSTILE)
def test_a_hostile_file_is_a_sentence(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str | None
):
    data = induction()
    change(data)
    if sentence is None:
        assert "0_lor_3_1" in opened(tmp_path, data).nodes.feature_ids()
        return
    with pytest.raises(UsageError, match=sentence):
        opened(tmp_path, data)


def test_one_id_for_two_kinds_is_refused(tmp_path: Path):
    data = induction()
    node("1_8_2", "lorsa")(data)
    node("1_8_2", "cross layer transcoder")(data)
    with pytest.raises(UsageError, match="two nodes have the id '1_8_2'"):
        opened(tmp_path, data)
