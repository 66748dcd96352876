"""What a page says of a consensus: the example of `test_graph_consensus`, by hand."""

from __future__ import annotations

from tests.test_graph_consensus import three
from tracer.record.graph.consensus_summary import consensus_summary
from tracer.record.graph.graph import listed
from tracer.report.agreement import PlaceEffect, agreement_view
from tracer.report.graph_view import graph_data
from tracer.report.render import render_graph
from tracer.report.run_graphs import pack_graph


def test_places_are_joined_by_the_sums_of_the_core_s_edges():
    graph = three()
    assert graph.agreement is not None
    summary = consensus_summary(graph, graph.agreement)
    view = agreement_view(graph, graph.agreement, summary)
    # {city} → answer 1 and {last} → answer 5; the one edge into {last} is from {city}.
    assert view.effects == (
        PlaceEffect("{city}", "{last}", "+100.0 %", "1 edge"),
        PlaceEffect("{last}", "answer", "+83.3 %", "1 edge"),
        PlaceEffect("{city}", "answer", "+16.7 %", "1 edge"),
    )
    assert [box.label for box in view.diagram.boxes] == ["answer", "{city}", "{last}"]
    assert view.sentences == (
        "3 prompts, 1 of them held out: a, b, c",
        "counted at the pruning 0.8/0.98 of the nodes' and of the edges' influence",
        "neurons on exactly 3 of 3: 1; exactly 2 of 3: 1; exactly 1 of 3: 1 (any: 3)",
        "edges on exactly 3 of 3: 2; exactly 2 of 3: 2; exactly 1 of 3: 3 (any: 7)",
        "in the core, on 0.6 of the prompts or more: 2 neurons, 4 edges; of these 0 and 0 are in "
        "front of all spans, where prompts of one template have the same tokens",
        "of 4 places these are not on all 3 prompts: {city−1} on 1",
    )
    page = render_graph(pack_graph("it", listed(graph)), None, view)
    assert "What places do to one another" in page and "2 of 3 prompts" in page
    assert "What places do to one another" not in render_graph(pack_graph("it", listed(graph)))


def test_every_node_and_link_says_on_how_many_prompts_it_is():
    data = graph_data(listed(three()), "it")
    facts = {node["id"]: [tuple(each) for each in node["facts"]] for node in data["nodes"]}
    held_out = "1 of 1 held out"
    assert facts["0_5_2"] == [
        ("On", f"3 of 3 prompts, {held_out}"),
        ("Sign", "that of the median on 3 of 3"),
    ]
    assert facts["L_0"] == [("On", f"3 of 3 prompts, {held_out}")]
    ids = [node["id"] for node in data["nodes"]]
    links = {(ids[a], ids[b]): on for (a, b, *_), on in zip(data["links"], data["on"], strict=True)}
    assert links["0_5_2", "L_0"] == "3 of 3 prompts, this sign on 2 of 3"
    assert links["0_5_2", "1_2_3"] == "2 of 3 prompts"
