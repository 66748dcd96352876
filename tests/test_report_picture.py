"""Pictures as files of their own: well-formed, and text in them is text."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from records import change, make_record

from tracer.evidence.judge import judge_alone
from tracer.report.render import bars_picture, circuit_picture, dose_picture, strip_picture
from tracer.report.sections.interventions import intervention_view

HOSTILE = '<script>alert(1)</script>&"{{x}}\x00\u202e\uffff'


def view(label: str = "Texas"):
    record, arrays = make_record()
    record = change(record, "supernodes.texas.label", label)
    return intervention_view(record, "texas_to_california", arrays, judge_alone(record, arrays))


@pytest.mark.parametrize(
    "draw",
    [
        lambda v: circuit_picture(v.figure.circuit),
        lambda v: bars_picture(v.figure.bars),
        lambda v: strip_picture(v.strips[0]),
        lambda v: dose_picture(v.doses.panels[0]),
    ],
)
def test_every_picture_is_an_svg_file(draw):
    text = draw(view(HOSTILE))
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert text.startswith("<svg")
    assert not [each for each in root.iter() if each.tag.endswith("script")]
    assert "href" not in text


def test_hostile_labels_are_shown_as_they_are():
    root = ET.fromstring(circuit_picture(view("<script>&{{x}}").figure.circuit))
    shown = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<script>&{{x}}" in shown
