"""The report's graph section: numbers from the record, hostile names as text."""

import pytest

from tests.records import make_graph_record, make_record
from tracer.evidence.judge import judge_run
from tracer.record.head_shares import HeadShareRecord, ReasonRecord
from tracer.record.trials import Ablation, GraphEdge, HeadLoading
from tracer.report.render import render
from tracer.report.sections.graphs import graph_views


@pytest.fixture
def recorded():
    record, arrays = make_record()
    prompt = next(iter(record.prompts))
    first, second = list(record.supernodes)[:2]
    graph = make_graph_record(
        target="<script>alert(1)</script>",
        n_active=1_000_000,
        n_features=2048,
        relevance_share=0.22,
        replacement=0.42,
        completeness=None,
        supernode_replacement=0.1,
        supernode_completeness=0.5,
        members={first: 2, second: 1},
        edges=(
            GraphEdge(source=first, target="output", weight=-0.5, share=-0.01),
            GraphEdge(source=first, target=second, weight=2.0, share=0.25),
            GraphEdge(source=second, target=first, weight=0.0, share=None),
        ),
        ablations=tuple(
            Ablation(
                name=name,
                is_supernode=n == 0,
                n_features=1,
                predicted_direct=x,
                predicted_total=x,
                measured_direct=x,
                measured_attention=x / 2,
                measured_free=-x,
            )
            for n, (name, x) in enumerate([(first, 1.0), ("1_2_3", -0.5), ("4_5_6", 0.25)])
        ),
    )
    return record.model_copy(update={"graphs": {prompt: graph}}), arrays


def test_the_section_tells_what_the_graph_carries_and_how_right_it_is(recorded):
    record, _ = recorded
    (view,) = graph_views(record)
    assert "2,048 of 1,000,000 active features" in view.kept and "22 %" in view.kept
    assert [edge.share for edge in view.edges.kept] == ["+25.00 %", "−1.00 %"]
    assert view.edges.kept[1].target == "the output"
    assert dict(view.facts)["Completeness score"] == "–"
    direct, attention, free = view.calibrations
    assert direct.summary == "r 1.00, slope 1.00, same sign 3 of 3"
    assert attention.summary == "r 1.00, slope 0.50, same sign 3 of 3"
    assert free.summary == "r −1.00, slope −1.00, same sign 0 of 3"


def test_heads_that_carry_an_edge_are_told_where_they_are_known(recorded):
    record, arrays = recorded
    [(prompt, graph)] = record.graphs.items()
    assert 'data-label="Heads"' not in render(record, judge_run(record, arrays), arrays)
    heads = (HeadLoading(layer=9, head=1, weight=1.5), HeadLoading(layer=7, head=0, weight=-0.2))
    first, second, third = graph.edges
    edges = (first, second.model_copy(update={"heads": heads}), third)
    told = record.model_copy(update={"graphs": {prompt: graph.model_copy(update={"edges": edges})}})
    rows = graph_views(told)[0].edges.kept
    assert [row.heads for row in rows] == ["9.1 +75 %, 7.0 −10 %", ""]
    page = render(told, judge_run(told, arrays), arrays)
    assert '<td data-label="Heads">9.1 +75 %, 7.0 −10 %</td>' in page
    assert '<td data-label="Heads">none</td>' in page


def test_agreement_lies_on_the_diagonal(recorded):
    record, _ = recorded
    plot = graph_views(record)[0].calibrations[0].plot
    for dot in plot.dots:
        across = (dot.x - plot.left) / (plot.right - plot.left)
        up = (plot.bottom - dot.y) / (plot.bottom - plot.top)
        assert across == pytest.approx(up)


def test_a_run_with_a_graph_renders_and_escapes(recorded):
    record, arrays = recorded
    page = render(record, judge_run(record, arrays), arrays)
    assert "held against clamps" in page
    assert "<script>alert(1)" not in page
    without = record.model_copy(update={"graphs": {}})
    assert "held against clamps" not in render(without, judge_run(without, arrays), arrays)


def test_what_heads_have_is_told(recorded):
    record, arrays = recorded
    prompt, graph = next(iter(record.graphs.items()))
    assert "What heads carry" not in render(record, judge_run(record, arrays), arrays)
    share = HeadShareRecord(
        heads=("0.1", "1.2"),
        part=0.6,
        whole=1.5,
        share=0.4,
        n_controls=9,
        n_as_high=0,
        n_as_low=9,
        control_median=0.1,
    )
    unseen = ReasonRecord(heads=("1.2",), query=3, key=5, problem="<b>that comes later")
    more = {"carried": {"movers of a → output": share}, "reasons": {"1.2 last → city": unseen}}
    record = record.model_copy(update={"graphs": {prompt: graph.model_copy(update=more)}})
    (view,) = graph_views(record)
    row, reason = view.carried[0], view.reasons[0]
    assert (row.heads, row.share, row.controls) == ("0.1, 1.2", "+40.00 %", "+10.00 %, p 0.1")
    assert (row.part, row.whole) == ("+0.60", "+1.50")
    assert (reason.share, reason.controls) == ("<b>that comes later", "–")
    page = render(record, judge_run(record, arrays), arrays)
    assert "What heads carry of edges" in page and "Why heads look where they look" in page
    assert "&lt;b&gt;that comes later" in page and "<b>that comes" not in page
