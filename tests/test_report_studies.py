from __future__ import annotations

import re

from tests.records import AWAY, HYPOTHESIS, make_reading, make_record
from tracer.evidence.judge import judge_run
from tracer.report.render import render
from tracer.report.sections.studies import study_views

DIFF = (" Sacramento", " Austin")
EVIL = "</table><script>alert(1)</script>"
STUDIES = {
    "interventions": {},
    "supernodes": HYPOTHESIS["supernodes"]
    | {"texas": HYPOTHESIS["supernodes"]["texas"] | {"label": EVIL}},
    "necessity": {
        "needed": {
            "prompts": ["dallas", "plano"],
            "ablate": ["texas"],
            "kinds": ["zero", "inhibit"],
            "expect": [{"logit_diff": DIFF, "rises_by": 0}],
        }
    },
    "mediation": {
        "through": {
            "prompts": ["dallas"],
            "clamp": {"texas": 0},
            "through": ["say_austin"],
            "expect": [{"logit_diff": DIFF, "share_above": 0.2}],
        }
    },
    "swaps": {
        "states": {
            "concepts": {"texas": ["dallas", "plano", "el_paso"], "california": ["oakland"]},
            "mostly": 0.5,
        }
    },
}
HALF = make_reading(Austin=0.2, Sacramento=0.12)
CLAMPED = {
    ("needed.inhibit", "plano"): make_reading(Austin=0.9, Sacramento=0.05),
    ("through.held", "dallas"): HALF,
    ("states.texas-california", "el_paso"): AWAY,
}


def made():
    record, arrays = make_record(hypothesis=STUDIES, clamped=CLAMPED)
    return record, arrays, judge_run(record, arrays)


def difference(reading):
    return reading.tokens[DIFF[0]].logit - reading.tokens[DIFF[1]].logit


def table_of(name, number=0):
    record, _, verdict = made()
    [view] = [view for view in study_views(record, verdict) if view.name == name]
    return record, view.tables[number]


def test_kinds_stand_side_by_side_and_a_turned_sign_is_named():
    record, view = table_of("needed")
    change = difference(record.interventions["needed.zero"].trials["dallas"].reading) - difference(
        record.prompts["dallas"].baseline
    )
    table = view.table
    assert table.columns == ("Kind", "Discovery", "Held out")
    assert [row.heading for row in table.rows] == ["zero", "inhibit"]
    assert table.rows[0].cells[0].text == f"+{change:.2f}"
    assert table.rows[1].cells[1].text.startswith("−")
    assert "the sign changes with the kind on 1 prompt: plano." in table.note


def test_the_mediated_share_is_what_is_gone():
    record, view = table_of("through")
    clean = difference(record.prompts["dallas"].baseline)
    total = difference(record.interventions["through.total"].trials["dallas"].reading) - clean
    share = 1 - (difference(HALF) - clean) / total
    [row] = view.table.rows
    assert view.table.columns[-1] == "Share through them"
    assert (row.heading, row.cells[-1].text) == ("dallas", f"{share:.2f}")


def test_the_swap_matrix_counts_and_names_failures():
    _, view = table_of("states", 1)
    [(recipient, cells)] = view.table.rows
    assert (recipient, cells[0]) == ("texas", None)
    assert cells[1] is not None and cells[1].text == "1 of 2"
    assert [failure.split(":")[0] for failure in view.failures.kept] == ["el_paso ← california"]


def test_the_page_holds_them_and_stays_inert():
    record, arrays, verdict = made()
    html = render(record, verdict, arrays)
    assert '<h2 id="h-studies">Studies</h2>' in html
    assert "<script>alert" not in html
    for name in ("needed", "through", "states"):
        assert re.search(rf'href="#h-studies"[^>]*>\s*(<bdi>)?{name}', html)


def test_each_swap_says_the_token_that_came_first():
    """On el Paso it is ' Tallahassee': ' Sacramento' came on one of two held-out prompts."""
    for number, said in ((0, "' Sacramento'"), (1, "' Sacramento' ×1")):
        _, view = table_of("states", number)
        rows = {row.heading: row.cells for row in view.table.rows}
        assert rows["texas"][1].said == said
