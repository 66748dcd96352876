from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest

from tests.command import use_engine, write_file
from tracer.dashboard import job, worker
from tracer.dashboard.job import Job, Jobs, Snapshot, Step, after
from tracer.errors import EngineError, ModelUnavailable, UsageError


def ended(run: Job) -> Snapshot:
    until = time.monotonic() + 30
    while not run.now.ended and time.monotonic() < until:
        time.sleep(0.02)
    return run.now


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_events_become_a_snapshot():
    now = Snapshot("x.yaml")
    for event in (
        {"event": "start", "task": 0, "label": "clamping", "total": 4},
        {"event": "advance", "task": 0, "n": 3},
        {"event": "start", "task": 1, "label": "reading", "total": None},
        {"event": "note", "text": "halved"},
        {"event": "end", "task": 0},
        {"event": "done", "run": "x/1", "verdict": "confirmed"},
    ):
        now = after(now, event)
    assert now.steps == (Step("clamping", 4, 3, ended=True), Step("reading", None))
    assert (now.notes, now.run, now.verdict) == (("halved",), "x/1", "confirmed")


@pytest.mark.parametrize(
    "event",
    [{}, {"event": "start"}, {"event": "advance", "task": 9, "n": 1}, {"event": "end", "task": -1}],
)
def test_an_event_that_is_none_changes_nothing(event):
    assert after(Snapshot("x"), event) == Snapshot("x")


def test_a_process_is_followed_to_its_end():
    program = """print('chatter'); print('[1]'); print('{"event": "note", "text": "hello"}')
print('{"event": "done", "run": "x/1", "verdict": "refuted"}')"""
    now = ended(Job(python(program), "x.yaml"))
    assert (now.notes, now.run, now.problem) == (("hello",), "x/1", None)


def test_a_process_that_dies_is_a_sentence():
    now = ended(Job(python("import os; os._exit(9)"), "x.yaml"))
    assert now.run is None
    assert "stopped by itself (exit code 9)" in now.problem


def test_a_process_can_be_stopped():
    run = Job(python("import time; print('{}', flush=True); time.sleep(60)"), "x.yaml")
    time.sleep(0.5)
    run.stop()
    assert "What was measured is kept" in ended(run).problem


def test_one_run_at_a_time(monkeypatch):
    program = "import sys; sys.stdin.read(); import time; time.sleep(60)"
    monkeypatch.setattr(job, "command", lambda file, reports: python(program))
    jobs = Jobs()
    jobs.start(Path("x.yaml"), Path("reports"))
    with pytest.raises(UsageError, match="a run is under way"):
        jobs.start(Path("y.yaml"), Path("reports"))
    jobs.current.stop()
    ended(jobs.current)
    jobs.start(Path("y.yaml"), Path("reports"))
    assert jobs.current.now.file == "y.yaml"
    jobs.current.stop()
    ended(jobs.current)


def work(file: Path, reports: Path) -> tuple[int, list[dict]]:
    stream = io.StringIO()
    code = worker.work(str(file), reports, worker.Lines(stream))
    return code, [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_worker_says_its_steps_and_its_run(tmp_path, monkeypatch):
    use_engine(monkeypatch)
    code, events = work(write_file(tmp_path / "x.yaml"), tmp_path / "reports")
    assert code == 0
    assert [each["event"] for each in events] == ["start", "start", "end", "end", "done"]
    assert (events[-1]["run"], events[-1]["verdict"]) == (
        "two_hop/20260102T030405Z-000001",
        "consistent",
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [(ModelUnavailable("no such model"), 4), (EngineError("out of memory"), 3)],
)
def test_what_cannot_be_run_is_a_sentence(tmp_path, monkeypatch, error, code):
    use_engine(monkeypatch).raises["two_hop"] = error
    got, events = work(write_file(tmp_path / "x.yaml"), tmp_path / "reports")
    assert got == code
    assert events[-1] == {"event": "problem", "text": str(error)}


def test_a_file_with_mistakes_and_a_full_disk_are_sentences(tmp_path, monkeypatch):
    engine = use_engine(monkeypatch)
    engine.raises["two_hop"] = OSError(28, "No space left on device", "reports/x")
    _, events = work(write_file(tmp_path / "x.yaml"), tmp_path / "reports")
    assert events[-1]["text"] == "reports/x: No space left on device."
    (tmp_path / "bad.yaml").write_text("hypothesis: x\n")
    code, events = work(tmp_path / "bad.yaml", tmp_path / "reports")
    assert code == 4
    assert "bad.yaml" in events[-1]["text"]


def test_a_model_that_is_not_there_is_a_sentence_from_a_real_process(tmp_path):
    text = write_file(tmp_path / "x.yaml").read_text()
    (tmp_path / "x.yaml").write_text(f"model: {tmp_path / 'no-such-folder'}\n{text}")
    now = ended(Job(job.command(tmp_path / "x.yaml", tmp_path / "reports"), "x.yaml"))
    assert now.run is None
    assert "no-such-folder" in now.problem
