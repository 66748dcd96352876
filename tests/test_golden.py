"""A run kept from before is measured, judged and drawn as it was; renewed only on purpose."""

import json

import pytest

from tests.golden_run import REPORT, RUN, comparable, measured, without_own
from tracer.evidence.judge import judge_run
from tracer.record import run_folder
from tracer.report.render import render
from tracer.report.run import Run
from tracer.report.run_graphs import read_graphs


def test_a_kept_run_is_judged_as_it_was():
    kept = Run.open(RUN)
    variants = run_folder.read_variants(RUN, kept.record)
    assert judge_run(kept.record, kept.arrays, variants=variants) == kept.verdict


def test_a_kept_run_is_drawn_as_it_was():
    kept = Run.open(RUN)
    page = render(kept.record, kept.verdict, kept.arrays, read_graphs(RUN, kept.record))
    assert without_own(page).splitlines() == REPORT.read_text(encoding="utf-8").splitlines()


def test_a_run_is_measured_as_it_was(tiny, tmp_path):
    found = comparable(json.loads((measured(tmp_path, tiny) / "run.json").read_text()))
    kept = comparable(json.loads((RUN / "run.json").read_text()))
    assert_close(found, kept, "run.json")


def assert_close(found, kept, place):
    """Equal to the last key; numbers as fp32 on another processor would give them."""
    if isinstance(kept, dict):
        assert found.keys() == kept.keys(), place
        for key, value in kept.items():
            assert_close(found[key], value, f"{place}.{key}")
    elif isinstance(kept, list):
        assert len(found) == len(kept), place
        for number, value in enumerate(kept):
            assert_close(found[number], value, f"{place}[{number}]")
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=1e-3, abs=1e-4), place
    elif not place.endswith(".yaml"):
        assert found == kept, place
