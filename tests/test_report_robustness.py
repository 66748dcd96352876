from __future__ import annotations

import re

import pytest

from tests.test_robustness import SECTION, make, verdict_of
from tracer.report.render import render
from tracer.report.sections.robustness import robustness_view

EVIL = "</td><script>alert(1)</script> {city}"


@pytest.fixture(scope="module")
def made():
    section = SECTION | {"templates": {"asked": EVIL}, "expect": [{"same": 0.5}]}
    return make(section, others=["seed-2"], opened=["seed-3"])


def test_counts_by_kind(made):
    view = robustness_view(verdict_of(made).robustness)
    assert [(k.kind, k.same, k.open, k.interval) for k in view.kinds] == [
        # Wilson by hand: 2 of 3 gives (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
        ("All", "2 of 4", "1", "21–94 %"),
        ("Another template", "1 of 1", "–", "21–100 %"),
        ("Another seed", "1 of 3", "1", "9–91 %"),
    ]
    assert view.sentence == "2 of 4 the same, 1 open; another: seed-2 (refuted)"


def test_every_variation_is_a_row(made):
    view = robustness_view(verdict_of(made).robustness)
    assert [(row.name, row.verdict, row.same) for row in view.rows] == [
        ("template-asked", "consistent", "same"),
        ("seed-1", "consistent", "same"),
        ("seed-2", "refuted", "another"),
        ("seed-3", "inconclusive", "open"),
    ]
    assert view.rows[0].p == view.own.p == "0.017"
    assert view.skipped == ("seed-0: it is the file's own seed",)


def test_the_page_has_the_section_and_a_line_at_the_top(made):
    record, arrays, _ = made
    verdict = verdict_of(made)
    html = render(record, verdict, arrays)
    glance = html[html.index('id="h-glance"') : html.index("</section>", html.index("h-glance"))]
    assert "2 of 4 the same, 1 open; another: seed-2 (refuted)" in glance
    assert html.count('id="h-robustness"') == 1
    assert "<script>alert" not in html
    assert "4 variations: 2 held, 1 failed, 1 untested" in re.sub(r"\s+", " ", html)


def test_no_section_without_variations(made):
    record, arrays, _ = made
    html = render(record, verdict_of(made, robustness=None), arrays)
    assert "h-robustness" not in html
