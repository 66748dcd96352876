"""The picture of a graph's supernodes: what is drawn, flagged and left out; and where."""

from __future__ import annotations

import itertools
import re

import pytest
from markupsafe import escape

from tests.records import make_record
from tests.test_claimed_links import graphed
from tracer.evidence.judge import judge_run
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.report.graph_supernodes import MOST_MEMBERS, graph_diagram
from tracer.report.render import render, supernodes_picture
from tracer.report.sections.graphs import contradicted
from tracer.report.supernode_diagram import (
    BOX,
    MOST_LINKS,
    WIDTH,
    Group,
    GroupEffect,
    diagram,
    output_group,
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


def test_a_box_opens_to_its_members_by_name_and_token():
    record = graphed(STORY)
    closed, opened = (graph_diagram(record, "dallas", opened=names) for names in ((), ("texas",)))
    assert closed is not None and opened is not None
    a, b = ({box.name: box for box in each.boxes} for each in (closed, opened))
    assert [box.is_open for box in closed.boxes] == [False] * len(closed.boxes)
    assert [name for name, box in b.items() if box.is_open] == ["texas"]
    members = a["texas"].members
    features = record.supernodes["texas"].features
    assert members == b["texas"].members
    assert len(members) == min(len(features), MOST_MEMBERS) + (len(features) > MOST_MEMBERS)
    assert members[0].startswith(f"L{features[0].layer}/{features[0].index}")
    assert a["texas"].height == BOX
    assert b["texas"].height >= BOX + 13 * len(members)
    assert opened.height >= closed.height + 13 * len(members) - BOX
    picture = supernodes_picture(opened)
    assert all(escape(member) in picture for member in members)
    assert escape(members[0]) not in supernodes_picture(closed)
    page = render(record, judge_run(record, make_record()[1]), make_record()[1])
    for place in re.findall(r'<a href="#(gm-[0-9]+-[0-9]+)"', page):
        assert f'<ul id="{place}">' in page
    assert page.count('<a href="#gm-') == sum(1 for box in closed.boxes if box.members)


@pytest.mark.parametrize("opened", [(), ("g0", "g3", "g5", "g10")])
def test_deeper_groups_stand_higher_and_no_box_lies_on_another(opened: tuple[str, ...]):
    members = tuple(f"L1/{n} – word, words, at {n}" for n in range(20))
    groups = [
        Group(f"g{n}", f"group {n}", "12 features", n % 4 * 3.0, n, members) for n in range(16)
    ]
    groups.append(Group(OUTPUT, "x", "is explained", 1e9, 0))
    drawn = diagram(groups, [], set(), opened)
    at = {box.name: box for box in drawn.boxes}
    for a, b in itertools.combinations(groups, 2):
        if b.layer - a.layer > 2:
            assert at[b.name].y < at[a.name].y
    for a, b in itertools.combinations(drawn.boxes, 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert apart or a.y + a.height <= b.y or b.y + b.height <= a.y
    assert all(box.x >= 0 and box.x + box.width <= WIDTH for box in drawn.boxes)
    assert all(drawn.top <= box.y <= drawn.top + drawn.height - box.height for box in drawn.boxes)


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


def test_no_text_lies_on_a_box_or_on_another_text():
    row = [Group(f"g{n}", f"Group {n}", "2000 features · L0–8", 4.0, n) for n in range(5)]
    groups = [*row, output_group("' Austin'")]
    effects = [GroupEffect(each.name, OUTPUT, 0.04, "this sign: 2 of 2") for each in row]
    effects += [GroupEffect("g0", "g4", 0.03, "this sign: 1 of 2")]
    found = diagram(groups, effects, ())

    def areas(arrow):
        height = 14 * len(arrow.lines)
        return (arrow.x - arrow.text_width / 2, arrow.y, arrow.text_width, height)

    texts = [areas(arrow) for arrow in found.arrows]
    boxes = [(box.x, box.y, box.width, box.height) for box in found.boxes]
    for number, (x, y, w, h) in enumerate(texts):
        for ox, oy, ow, oh in [*texts[:number], *boxes]:
            assert x >= ox + ow or ox >= x + w or y >= oy + oh or oy >= y + h
    assert all(y >= found.top for _, y, _, _ in texts)
