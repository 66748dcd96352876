"""The edges of a run's graphs together: what `mostly` reads, and what the report tells of it."""

from __future__ import annotations

import math
from statistics import median

import pytest

from tests.records import make_graph_record, make_record
from tracer.evidence.judge import judge_run
from tracer.record.trials import GraphEdge
from tracer.report.graph_consensus import graph_consensus, shared_links
from tracer.report.render import render

SHARES = {"dallas": 0.3, "oakland": -0.2, "plano": 0.1, "el_paso": 0.2, "lubbock": None}
"""Of what enters the output, by prompt; the last three are held out."""
EDGE = "edge texas → output, share of what enters output"


def recorded(mostly: float):
    edge = {"edge": {"from": "texas", "to": "output", "above": 0.0}, "mostly": mostly}
    section = {"prompts": list(SHARES), "expect": [edge]}
    record, arrays = make_record(hypothesis={"graph": section})
    graphs = {
        prompt: make_graph_record(
            file=f"graph-{prompt}.json",
            members={"texas": 40, "say_austin": 0},
            edges=(GraphEdge(source="texas", target="output", weight=1.0, share=share),),
        )
        for prompt, share in SHARES.items()
    }
    return record.model_copy(update={"graphs": graphs}), arrays


@pytest.mark.parametrize(
    ("mostly", "discovery", "held_out"),
    [(0.5, "held", "held"), (2 / 3, "failed", "held"), (0.8, "failed", "untested")],
)
def test_mostly_is_the_share_of_a_split_s_graphs_with_the_edge(mostly, discovery, held_out):
    record, arrays = recorded(mostly)
    verdict = judge_run(record, arrays)
    found = {each.split: each for each in verdict.outcomes if each.expectation == EDGE}
    assert (found["discovery"].outcome, found["held out"].outcome) == (discovery, held_out)
    assert (found["discovery"].n_held, found["discovery"].n_failed) == (1, 1)
    assert (found["held out"].n_held, found["held out"].n_untested) == (2, 1)
    for split, n in (("discovery", 2), ("held out", 3)):
        assert found[split].needed == math.ceil(mostly * n)


def test_the_report_tells_the_shares_the_signs_and_what_was_claimed():
    record, arrays = recorded(0.5)
    verdict = judge_run(record, arrays)
    [link] = shared_links(record)
    there = {prompt: share for prompt, share in SHARES.items() if share is not None}
    assert link.shares == there and link.median == median(there.values()) == pytest.approx(0.15)
    view = graph_consensus(record, verdict.outcomes)
    assert view is not None and view.diagram is not None
    assert view.note == "5 graphs: 2 of discovery prompts, 3 of held-out ones"
    [row] = view.rows.kept
    assert (row.source, row.target, row.on) == ("Texas", "the output", "4 of 5")
    assert (row.median, row.range) == ("+15.0 %", "−20.0 % to +30.0 %")
    assert (row.discovery, row.held_out) == ("1 of 2", "2 of 3")
    assert row.claims == (
        "discovery: held (1 of 2, 1 needed)",
        "held out: held (2 of 3, 2 needed)",
    )
    [arrow] = view.diagram.arrows
    assert arrow.lines == ("+15.0 %", "this sign: 3 of 5")
    assert [box.label for box in view.diagram.boxes] == ["' Austin'", "Texas"]
    page = render(record, verdict, arrays)
    assert "What the graphs have in common" in page and "this sign: 3 of 5" in page


def test_a_single_graph_has_nothing_in_common_with_others():
    record, arrays = recorded(0.5)
    alone = record.model_copy(update={"graphs": {"dallas": record.graphs["dallas"]}})
    assert graph_consensus(alone, ()) is None
    assert "What the graphs have in common" not in render(alone, judge_run(alone, arrays), arrays)
