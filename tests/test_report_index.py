"""The front page of several runs."""

import html
import re

from tests.records import make_record
from tests.verdicts import make_verdict
from tracer.report.index import IndexEntry, UnreadEntry, render_index


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
    words = html.unescape(re.sub("<[^>]+>", "", page))
    assert "texas_to_california: logit(' Sacramento') − logit(' Austin')" in words
    assert "−1.48 → +1.99" in page


def test_a_link_leads_to_a_folder_whose_name_is_no_text():
    page = render_index([IndexEntry(make_record()[0], make_verdict(), "x\udcff/1/report.html")])
    assert 'href="x%FF/1/report.html"' in page


def test_no_runs_make_an_empty_page():
    assert "0 runs" in render_index([])


def test_a_run_that_cannot_be_read_is_a_row_with_the_reason():
    record, _ = make_record()
    unread = UnreadEntry("x/1", "x", None, None, "cut short, <b>or</b> not JSON")
    page = render_index([unread, IndexEntry(record, make_verdict(), None)])
    assert "cut short, &lt;b&gt;or&lt;/b&gt; not JSON" in page
    assert '<button type="button" data-show="unread"' in page
    assert "<a " not in page
