"""The Guide names what the code does: outcomes, verdicts, thresholds, signs of the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import get_args

from tests.dashboards import start, texts
from tracer.dashboard.guide import TEXT, example
from tracer.record.verdict import OutcomeName, VerdictName
from tracer.report.circuit_diagram import GHOST
from tracer.report.headline import OUTCOMES, VERDICTS


def test_every_outcome_and_verdict_has_its_row():
    told = TEXT.read_text()
    for name in get_args(OutcomeName):
        assert f"| {OUTCOMES[name]} | {name} |" in told
    for name in get_args(VerdictName):
        assert f"| {VERDICTS[name]} | {name} |" in told
    assert f"{100 * GHOST:g} % or less" in told


def test_the_example_is_a_picture_of_every_sign():
    root = ET.fromstring(example())
    kinds = {part for each in root.iter() for part in each.get("class", "").split()}
    assert {"ghost", "injected", "unknown", "pill", "reference", "clamped"} <= kinds


def test_the_page_is_drawn_with_its_picture(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path, "guide")
    assert not app.exception
    assert "## A graph" in texts(app)
    assert [each for each in app.main if each.type == "image"]
