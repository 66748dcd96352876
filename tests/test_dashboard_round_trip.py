"""A draft is the run's own file, with its comments, and what was added."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.records import YAML, change, make_record
from tracer.dashboard.intervene.attempt import Attempt, Clamping
from tracer.dashboard.intervene.draft import draft_text, expecting, keeping, kept_text
from tracer.dashboard.intervene.round_trip import amended
from tracer.dashboard.intervene.suggested_expectation import SuggestedExpectation
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.expectations.top import TopIs
from tracer.hypothesis.load import check
from tracer.hypothesis.yaml_text import MAX_BYTES, parse

LIBRARY = sorted((Path(__file__).parents[1] / "hypotheses").rglob("*.yaml"))
COMMENTED = YAML.replace("supernodes:\n", "# Chosen on Dallas alone.\nsupernodes:\n").replace(
    "interventions:\n", "\n# What must be seen.\ninterventions:  # on every prompt\n"
)
GROUPS = {"mine": ("3_17_2", "4_9_1")}


def _record(text: str = COMMENTED, *overrides: str):
    record, _ = make_record()
    record = change(record, "yaml", text)
    record = change(record, "overrides", overrides)
    return change(record, "hypothesis", check("run.yaml", text, overrides).hypothesis)


def test_comments_order_and_quotes_of_the_file_survive():
    record = _record()
    hypothesis = keeping(record, "dallas", GROUPS)
    text = kept_text(hypothesis, record, "dallas", GROUPS)
    lines = text.splitlines()
    assert [line for line in COMMENTED.splitlines() if line not in lines] == []
    below = lines.index("# What must be seen.")
    assert lines.index("  mine:") < below < lines.index("interventions:  # on every prompt")
    assert lines.index("# Chosen on Dallas alone.") + 1 == lines.index("supernodes:")
    assert check("draft.yaml", text).hypothesis == hypothesis


def test_an_attempt_is_added_with_its_controls():
    record = _record(COMMENTED.replace("{random: 99}", "{random: 9}  # few"))
    attempt = Attempt("dallas", (Clamping("texas", "ablate"),), (" Austin",), n_controls=39)
    seen = [SuggestedExpectation("", TopIs(top=" Austin"))]
    hypothesis = expecting(record, {}, attempt, "by_hand", seen)
    text = draft_text(hypothesis, record, "dallas", "by_hand")
    assert "controls: {random: 39} # few\n" in text
    assert "# Chosen on Dallas alone.\n" in text
    assert check("draft.yaml", text).hypothesis == hypothesis


def test_a_draft_means_what_was_run_with_overrides():
    record = _record(COMMENTED, "seed=7", "supernodes.texas.select.top=3", "tags=[a, b]")
    hypothesis = keeping(record, "dallas", GROUPS)
    text = kept_text(hypothesis, record, "dallas", GROUPS)
    found = check("draft.yaml", text).hypothesis
    assert found == hypothesis
    assert (found.seed, found.tags) == (7, ("a", "b"))
    assert "# Chosen on Dallas alone.\n" in text


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_every_file_of_the_library_keeps_its_comments(path):
    before = path.read_text(encoding="utf-8")

    def amend(data):
        data["supernodes"] = {**(data.get("supernodes") or {}), "mine": {"features": ["3_17_2"]}}

    after = amended(path.name, before, amend)
    expected = parse(before).data
    amend(expected)
    assert parse(after).data == expected
    comments = [line.strip() for line in before.splitlines() if line.strip().startswith("#")]
    assert comments == [line.strip() for line in after.splitlines() if line.strip()[:1] == "#"]


def _set_b(data):
    data["a"]["b"] = 2


def test_scalars_stay_as_they_were_written():
    text = "a: {b: 1}\nids: [20_15589, 1_2_3]\nwords: [on, 0x10, 2001-01-01, 1e-3, ~, 'no']\n"
    assert amended("run.yaml", text, _set_b) == text.replace("b: 1", "b: 2")


def test_only_one_of_two_aliases_is_changed():
    text = amended("run.yaml", "a: &x {b: 1}\nc: *x\n", _set_b)
    assert parse(text).data == {"a": {"b": 2}, "c": {"b": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [id]\n",
        "a: {b: 1}\nb: !evil x\n",
        "a: {<<: {b: 1}}\n",
        "a: {b: 1}\nc: " + "[" * 50 + "]" * 50 + "\n",
        "a: {b: 1}\n---\nc: 1\n",
        "a: {b: 1} # " + "x" * MAX_BYTES + "\n",
        "a: {b: 1} # \x1b[2J\n",
        "",
    ],
)
def test_text_that_the_strict_reader_refuses_never_reaches_the_other_one(text):
    with pytest.raises(HypothesisError):
        amended("run.yaml", text, _set_b)


def test_hostile_text_stays_text():
    record = _record()
    hostile = "x\n!!python/object/apply:os.system [id]"
    record = change(record, "id", hostile)
    text = kept_text(keeping(record, "dallas", GROUPS), record, "dallas", GROUPS)
    assert text.splitlines()[0].startswith("# mine: grouped by hand")
    assert "\n!!python" not in text
    data = parse(amended("run.yaml", "a: {b: 1}\n", lambda data: data.update(c=hostile))).data
    assert data["c"] == hostile


def test_what_cannot_be_written_back_is_told(monkeypatch):
    monkeypatch.setattr("tracer.dashboard.intervene.round_trip._merge", lambda *_: None)
    with pytest.raises(UsageError, match="cannot be written back"):
        amended("run.yaml", "a: {b: 1}\n", _set_b)
