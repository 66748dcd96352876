"""The picture of a graph's supernodes: what is drawn, flagged and left out; and where."""

from __future__ import annotations

import itertools

import pytest

from tests.records import make_record
from tests.test_claimed_links import graphed
from tracer.evidence.judge import judge_run
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.report.render import render
from tracer.report.sections.graphs import contradicted
from tracer.report.supernode_diagram import (
    BOX,
    MOST_LINKS,
    WIDTH,
    Group,
    GroupEffect,
    diagram,
    graph_diagram,
)

STORY = [
    ("texas", "say_austin", -0.033),
    ("texas", OUTPUT, 0.12),
    ("say_austin", OUTPUT, 0.2),
    ("california", OUTPUT, -0.08),
    ("california", "texas", 0.001),
]


def test_arrows_say_their_share_what_was_measured_and_what_the_story_says():
    record = graphed(STORY, ablations=[("texas", -1.18), ("california", -0.9)])
    drawn = graph_diagram(record, "dallas")
    assert drawn is not None
    found = {a.title: a for a in drawn.arrows}
    assert list(found) == [
        "Texas → ' Austin' +12.0 %; ablated: −1.18",
        "Texas → say Austin −3.3 %; ×0: 52 %; ⚠ claimed: +",
        "say Austin → ' Austin' +20.0 %",
        "California → ' Austin' −8.0 %; ablated: −0.90; ⚠ measured: +",
    ]
    assert [a.adds for a in drawn.arrows] == [True, False, True, False]
    assert drawn.note == "1 weaker link not drawn, see the table."
    assert all(title in drawn.description for title in found)


def test_the_sentence_names_who_claims_it_and_what_was_found():
    assert contradicted(graphed(STORY), "dallas") == (
        "ablate_texas claims that Texas adds to say Austin; in the graph of dallas its direct "
        "effect is −3.3 %.",
    )
    (said,) = contradicted(graphed([], ablations=[("texas", 1.5)]), "dallas")
    assert said.endswith("adds to ' Austin'; on dallas, ablating it raises that by 1.50.")


def test_a_report_warns_of_it_first_and_draws_it():
    record = graphed(STORY)
    arrays = make_record()[1]
    page = render(record, judge_run(record, arrays), arrays)
    warned = "ablate_texas claims that Texas adds to say Austin"
    assert page.index(warned) < page.index('class="circuit supernodes"')
    assert page.count(warned) == 2


def test_deeper_groups_stand_higher_and_no_box_lies_on_another():
    groups = [Group(f"g{n}", f"group {n}", "12 features", n % 4 * 3.0, n) for n in range(16)]
    groups.append(Group(OUTPUT, "x", "is explained", 1e9, 0))
    drawn = diagram(groups, [], set())
    at = {box.name: box for box in drawn.boxes}
    for a, b in itertools.combinations(groups, 2):
        if b.layer - a.layer > 2:
            assert at[b.name].y < at[a.name].y
    for a, b in itertools.combinations(drawn.boxes, 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert apart or abs(a.y - b.y) >= BOX
    assert all(box.x >= 0 and box.x + box.width <= WIDTH for box in drawn.boxes)
    assert all(drawn.top <= box.y <= drawn.top + drawn.height - BOX for box in drawn.boxes)


@pytest.mark.parametrize("n", [3, 8])
def test_the_strongest_are_drawn_and_no_text_lies_on_another(n):
    groups = [Group(f"g{i}", f"group {i}", "12 features", i, i) for i in range(n)]
    pairs = list(itertools.permutations(groups, 2))
    effects = [GroupEffect(a.name, b.name, 0.01 * (k + 1)) for k, (a, b) in enumerate(pairs)]
    drawn = diagram(groups, effects, {(effects[0].source, effects[0].target)})
    assert len(drawn.arrows) == min(MOST_LINKS, len(pairs))
    strongest = [f"{effects[0].share:+.1%}", *(f"{e.share:+.1%}" for e in effects[:0:-1])]
    assert [a.lines[0].replace(" %", "%") for a in drawn.arrows] == strongest[: len(drawn.arrows)]
    for a, b in itertools.combinations(drawn.arrows, 2):
        near = abs(a.x - b.x) < (a.text_width + b.text_width) / 2
        assert not near or abs(a.y - b.y) >= 18
