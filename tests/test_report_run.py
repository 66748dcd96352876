from __future__ import annotations

from pathlib import Path

import pytest

import tracer
from tests.command import Engine, use_engine, write_file
from tests.records import change, make_confirmable, make_record
from tracer.errors import HypothesisError, UsageError
from tracer.record import run_folder, runs
from tracer.record.verdict import RULES
from tracer.report.run import Run, judge_and_save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record, arrays = make_record()
    record = change(record, "hypothesis.claim", "<b>{{ 7*7 }}</b>\u202e & more")
    folder = runs.create(tmp_path / "reports", record)
    run_folder.write(folder, record, arrays)
    return folder


def test_settling_writes_what_opening_reads(folder: Path):
    settled = judge_and_save(folder)
    opened = Run.open(folder)
    assert opened.verdict == settled.verdict
    assert opened.record == settled.record
    assert opened.arrays.keys() == settled.arrays.keys()
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "measurements.safetensors",
        "verdict.json",
        "report.html",
    }


def test_settling_twice_writes_the_same_bytes(folder: Path):
    judge_and_save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    judge_and_save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_unjudged_run_is_judged_when_opened_and_nothing_is_written(folder: Path):
    assert Run.open(folder).verdict.run == Run.open(folder).record.id
    assert not (folder / "verdict.json").exists()


def test_a_verdict_that_was_written_is_not_believed(folder: Path):
    found = judge_and_save(folder).verdict
    mine = found.model_copy(update={"verdict": "refuted", "reason": "mine"})
    run_folder.write_verdict(folder, mine)
    assert Run.open(folder).verdict == found


def test_what_older_rules_said_stands_beside_the_verdict_of_today(folder: Path):
    found = judge_and_save(folder).verdict
    older = found.model_copy(update={"verdict": "confirmed", "rules": 1})
    run_folder.write_verdict(folder, older)
    now = Run.open(folder).verdict
    assert (now.verdict, now.formerly, now.rules) == ("consistent", "confirmed", RULES)
    assert "this run was confirmed" in now.caveats[0] and now.caveats[1:] == found.caveats
    judge_and_save(folder)
    assert Run.open(folder).verdict == now


def test_where_the_tensors_are_gone_the_written_verdict_is_all_there_is(folder: Path):
    judge_and_save(folder)
    run_folder.write(folder, run_folder.read_record(folder), {})
    written = run_folder.read_verdict(folder)
    assert written is not None and Run.open(folder).verdict.reason == written.reason
    (folder / "verdict.json").unlink()
    with pytest.raises(UsageError, match="is missing"):
        Run.open(folder)


def test_an_edited_record_is_at_best_consistent_and_says_so(tmp_path: Path):
    folder = runs.create(tmp_path / "reports", make_confirmable()[0])
    run_folder.write(folder, *make_confirmable())
    assert Run.open(folder).verdict.verdict == "confirmed"
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"threads": 2', '"threads": 3'))
    edited = Run.open(folder).verdict
    assert edited.verdict == "consistent"
    assert edited.missing == ("measurements as they were written: they were edited",)


def test_it_prints_as_a_table_and_says_what_it_is(folder: Path):
    run = judge_and_save(folder)
    assert "texas_to_california" in str(run) or "swap" in str(run)
    assert str(folder / "report.html") in str(run)
    assert "16.8 s" in str(run)
    assert repr(run).startswith(f"Run({str(folder)!r}, two_hop: ")


def test_in_a_notebook_untrusted_text_is_escaped(folder: Path):
    html = judge_and_save(folder)._repr_html_()
    assert "&lt;b&gt;{{ 7*7 }}&lt;/b&gt; &amp; more" in html
    assert "<b>{{" not in html
    assert "\u202e" not in html
    assert "report.html</a>" in html
    (folder / "report.html").unlink()
    assert "<a href" not in Run.open(folder)._repr_html_()


def test_judging_gives_another_run_and_writes_nothing(folder: Path):
    run = Run.open(folder)
    softer = change(run.record.hypothesis, "tags", ("other",))
    assert run.judge(softer).path == run.path
    assert not (folder / "verdict.json").exists()


def test_no_run_and_half_a_run(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no run is here, run\.json is missing"):
        Run.open(tmp_path)
    record = make_record()[0].model_copy(update={"status": "measuring"})
    with pytest.raises(UsageError, match="stopped before everything was measured"):
        Run.open(runs.create(tmp_path, record))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.chdir(tmp_path)
    return use_engine(monkeypatch)


def test_three_lines_of_python(engine: Engine):
    file = write_file(Path("two_hop.yaml"))
    run = tracer.run(file, device="cpu", seed=3, set=["controls.random=9"], lock="x")
    assert isinstance(run, tracer.Run)
    assert run.verdict
    assert run.path.parent == Path("reports/two_hop")
    asked = engine.asked[0]
    assert (asked["lock"], asked["fresh"]) == (Path("x"), False)
    hypothesis = asked["file"].hypothesis
    assert (hypothesis.seed, hypothesis.controls.random) == (3, 9)
    assert hypothesis.model_spec.device == "cpu"


def test_a_hypothesis_in_hand_is_run_like_a_file(engine: Engine):
    hypothesis = tracer.load(write_file(Path("two_hop.yaml")), set=["seed=5"])
    assert isinstance(hypothesis, tracer.Hypothesis)
    tracer.run(hypothesis, model="smollm2-135m", reports="elsewhere")
    asked = engine.asked[0]
    assert asked["reports"] == Path("elsewhere")
    assert asked["file"].hypothesis.seed == 5
    assert asked["file"].hypothesis.model_spec.name == "smollm2-135m"
    assert tracer.run(hypothesis).record.hypothesis == hypothesis


def test_mistakes_from_python_are_sentences(engine: Engine):
    file = write_file(Path("two_hop.yaml"))
    with pytest.raises(HypothesisError, match=r"model\.dtype"):
        tracer.run(file, dtype="int3")
    with pytest.raises(HypothesisError, match=r"<python>.*model\.dtype"):
        tracer.run(tracer.load(file), dtype="int3")
    assert engine.asked == []
