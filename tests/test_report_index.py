"""The front page of several runs."""

from tests.records import make_record
from tests.verdicts import make_verdict
from tracer.report.index import IndexEntry, render_index


def test_each_run_is_a_row_with_its_verdict_effect_and_link():
    record, _ = make_record()
    page = render_index(
        [
            IndexEntry(record, make_verdict(), "two_hop/1/report.html"),
            IndexEntry(
                record, make_verdict(verdict="refuted", expected="refuted"), "javascript:alert(1)"
            ),
        ]
    )
    assert page.count("<tr data-kind=") == 2
    assert 'href="two_hop/1/report.html"' in page
    assert 'href="javascript%3Aalert%281%29"' in page
    assert "Published as a failure; failed as stated." in page
    assert "texas_to_california: logit(·Sacramento) − logit(·Austin)" in page
    assert "−1.48 → +1.99" in page


def test_no_runs_make_an_empty_page():
    assert "0 runs" in render_index([])
