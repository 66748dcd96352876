"""There is one p and one "is it the answer": whatever shows them shows what was judged."""

import re

import numpy as np
import pytest

from tests.records import change, make_reading, make_record
from tracer.dashboard.runs.run import effect_rows
from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.judge import judge_run
from tracer.record import run_folder
from tracer.report.effects import compare, measures
from tracer.report.run import Run
from tracer.report.sections.prompts import prompt_views
from tracer.report.sections.registry import ReportData
from tracer.report.terminal import verdict_text
from tracer.report.text import p_value

SWAP = "texas_to_california"
DIFF = [" Sacramento", " Austin"]
PROMPTS = ["dallas", "plano", "el_paso", "lubbock"]
EXPECT = [
    {"logit_diff": DIFF, "beats_controls": 0.05},
    {"logit_diff": DIFF, "beats_controls": 0.02},
    {"logit_diff": DIFF[::-1], "undercuts_controls": 0.05},
    {"probability": " Sacramento", "beats_controls": 0.05},
    {"probability": "{answer}", "undercuts_controls": 0.05},
    {"logit_diff": DIFF, "undercuts_controls": 0.05},
    {"probability": " Sacramento", "beats_controls_across": 0.6},
    {"top": " Sacramento"},
]


def run_of(tmp_path, bend=None, n_controls=99):
    """A run with every test against controls, opened from its folder."""
    spec = {"prompts": PROMPTS, "clamp": {"texas": 0, "california": 1}, "expect": EXPECT}
    hypothesis = {"interventions": {SWAP: spec}}
    record, arrays = make_record(hypothesis=hypothesis, n_controls=n_controls)
    if bend is not None:
        bend(record, arrays)
    folder = tmp_path / "reports" / record.id
    folder.mkdir(parents=True)
    run_folder.write(folder, record, arrays)
    run_folder.write_verdict(folder, judge_run(record, arrays))
    return Run.open(folder)


def with_ties(record, arrays):
    """Five controls that differ from the clamp by less than fp32 rounding, on one prompt."""
    reading = record.interventions[SWAP].trials["plano"].reading
    logits = arrays[f"controls/{SWAP}/plano/logits"]
    own = [
        reading.tokens[t].logit for t in record.interventions[SWAP].trials["plano"].control_tokens
    ]
    logits[:5] = np.array(own)
    logits[:5, 0] += 2e-6


def with_equal_controls(record, arrays):
    """Controls that all come out the same say nothing of chance."""
    logits = arrays[f"controls/{SWAP}/plano/logits"]
    logits[:] = logits[0]
    lse = arrays[f"controls/{SWAP}/plano/logsumexp"]
    lse[:] = lse[0]


@pytest.mark.parametrize("bend", [None, with_ties, with_equal_controls])
@pytest.mark.parametrize("n_controls", [99, 12])
def test_every_p_that_is_shown_was_judged(tmp_path, bend, n_controls):
    run = run_of(tmp_path, bend, n_controls)
    judged = JudgedOutcomes(run.record.hypothesis, run.verdict.outcomes)
    [spec] = run.record.hypothesis.interventions.values()
    compared = [m for m in measures(spec) if m.tail is not None]
    assert len(compared) == 5
    for measure in compared:
        own = list(judged.of(SWAP, measure.expectation))
        assert {outcome.split for outcome in own} == {"discovery", "held out"}
        shown = {c.prompt: c.p for c in compare(run.record, SWAP, measure, run.arrays, judged)}
        assert shown == {each.prompt: each.p for outcome in own for each in outcome.prompts}


def test_each_expectation_finds_its_own_outcomes(tmp_path):
    run = run_of(tmp_path, with_ties)
    judged = JudgedOutcomes(run.record.hypothesis, run.verdict.outcomes)
    [spec] = run.record.hypothesis.interventions.values()
    found = [outcome for each in spec.expect for outcome in judged.of(SWAP, each)]
    assert found == list(run.verdict.outcomes)


def test_ties_count_in_the_report_the_terminal_and_the_dashboard(tmp_path):
    run = run_of(tmp_path, with_ties)
    plano = next(p for p in run.verdict.outcomes[1].prompts if p.prompt == "plano")
    assert plano.p == 6 / 100  # (1 + 5 ties) / (99 + 1): a tie counts against the claim
    [view] = ReportData(run.record, run.verdict, run.arrays).interventions.kept
    row = next(row for row in view.rows if row.prompt == "plano")
    assert row.effects[-1] == p_value(plano.p) == "0.060"
    assert f"largest p {p_value(plano.p)}" in view.held_out.controls
    [strip] = [s for s in view.strips if s.title.startswith("logit(' Sac")][:1]
    assert "p 0.060" in [each.note for each in strip.rows]
    assert "p 0.06" in verdict_text(run.verdict)
    rows = effect_rows(run)
    assert any(f"largest p {p_value(plano.p)}" in row["controls"] for row in rows)


def test_what_was_not_tested_has_no_p_anywhere(tmp_path):
    run = run_of(tmp_path, n_controls=12)  # p can reach 1/13 at best
    judged = {p.prompt: p for o in run.verdict.outcomes[:2] for p in o.prompts}
    assert {each.outcome for each in judged.values()} == {"untested"}
    [view] = ReportData(run.record, run.verdict, run.arrays).interventions.kept
    assert {row.effects[-1] for row in view.rows} == {"–"}
    assert "p 0" not in view.held_out.controls
    notes = {row.note for strip in view.strips for row in strip.rows}
    assert notes == {""}
    assert all(not re.search(r"\bp 0", row["controls"]) for row in effect_rows(run))


def test_the_answer_is_known_by_its_id_not_by_its_text():
    """Two ids may decode to the same text; only one of them is the answer."""
    record, arrays = make_record()
    clean = make_reading(Austin=0.5, Sacramento=0.1)
    other = clean.top[0].model_copy(update={"id": 7})
    twin = clean.model_copy(update={"top": (other, *clean.top[1:])})
    record = change(record, "prompts.plano.baseline", twin)
    [plano] = [
        p
        for o in judge_run(record, arrays).outcomes
        for p in o.prompts
        if p.prompt == "plano" and o.intervention == SWAP
    ][:1]
    assert plano.outcome == "untested" and "baseline" in plano.reason
    assert [p.holds for p in prompt_views(record).kept if p.prompt.name == "plano"] == [False]
    views = ReportData(record, judge_run(record, arrays), arrays).interventions.kept
    rows = [row for view in views for row in view.rows if row.prompt == "plano"]
    assert {row.baseline_holds for row in rows} == {False}
