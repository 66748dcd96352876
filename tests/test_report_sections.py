"""A section of the report is a view, a template beside it, and a line in the registry."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment

from tests.records import make_record
from tests.test_report_render import full_verdict
from tracer.report.render import page_view, render
from tracer.report.sections import registry
from tracer.report.sections.registry import SECTIONS, ReportData, Section

FOLDER = Path(registry.__file__).parent


@pytest.fixture
def data():
    record, arrays = make_record()
    return ReportData(record, full_verdict(), arrays)


def test_each_section_has_its_template_and_each_template_its_section():
    assert {section.template for section in SECTIONS} == {p.name for p in FOLDER.glob("*.j2")}
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)


def test_a_template_reads_its_view_and_nothing_else_of_the_page():
    for path in FOLDER.glob("*.j2"):
        text = path.read_text(encoding="utf-8")
        Environment().parse(text)
        assert "page." not in text, path.name
        assert text.count("<section ") == 1 and "view" in text, path.name


def test_what_has_nothing_to_show_is_left_out_and_the_rest_is_in_order(data):
    shown = [section.template for section, _ in page_view(data).sections]
    order = [section.template for section in SECTIONS]
    assert shown == [template for template in order if template in shown]
    assert "overview.html.j2" in shown and "circuits.html.j2" not in shown


def test_the_contents_link_each_section_that_is_there(data):
    page = render(data.record, data.verdict, data.arrays)
    [contents] = re.findall(r'<nav class="contents".*?</nav>', page, flags=re.S)
    links = re.findall(r'href="#([\w-]+)"', contents)
    assert links[0] == "h-expect" and "1 failed" in contents
    assert links[1:-1] == [section.anchor for section, _ in page_view(data).sections]
    assert all(f'<h2 id="{anchor}">' in page for anchor in links)


def test_a_section_that_is_added_is_on_the_page(data, monkeypatch):
    again = Section("texts", "Texts", "h-texts", lambda _: ())
    monkeypatch.setattr("tracer.report.render.SECTIONS", (*SECTIONS, again))
    page = render(data.record, data.verdict, data.arrays)
    assert page.index('id="h-from"') < page.index('id="h-texts"') < page.index('id="h-read"')
