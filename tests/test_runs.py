"""Runs are listed, named in many ways, and found again."""

import os
import shutil
from datetime import UTC, datetime

import pytest

from tests.records import make_record
from tests.run_folders import measured_run, replaced
from tests.verdicts import make_verdict
from tracer.errors import UsageError
from tracer.record import files, run_folder, runs
from tracer.record.registration import register


def test_a_name_that_is_no_text_is_spelled(tmp_path):
    folder = measured_run(tmp_path)
    raw = os.fsencode(tmp_path) + b"/\xff<b>"
    os.mkdir(raw)
    os.rename(folder, raw + b"/\xed\xa0\x80")
    (entry,) = runs.find_runs(tmp_path)
    assert entry.id == r"\xff<b>/\xed\xa0\x80"
    assert run_folder.read_record(entry.folder).status == "complete"
    assert runs.resolve(entry.id, tmp_path) == entry.folder


def test_ids_sort_by_time_and_name_the_fingerprint():
    early = runs.new_id("x", datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC), "abcdef99")
    late = runs.new_id("x", datetime(2026, 1, 2, 3, 4, 6, 0, UTC), "abcdef99")
    assert early == "x/20260102T030405.999Z-abcdef"
    assert early < late


def test_a_run_is_made_once(tmp_path):
    measured_run(tmp_path)
    with pytest.raises(UsageError, match="there is such a run already"):
        measured_run(tmp_path)


def test_runs_are_found_oldest_first_with_what_a_list_shows(tmp_path):
    measured_run(tmp_path, "two_hop/c", started="2026-01-03")
    newest = measured_run(tmp_path, "two_hop/a", started="2026-01-04", status="measuring")
    measured_run(tmp_path, "other/b", started="2026-01-01")
    run_folder.write_verdict(newest, make_verdict(verdict="confirmed", expected="refuted"))
    found = runs.find_runs(tmp_path)
    assert [entry.id for entry in found] == ["other/b", "two_hop/c", "two_hop/a"]
    last = found[-1]
    assert (last.verdict, last.as_expected, last.status) == ("confirmed", False, "measuring")
    assert last.model == "gemma-3-270m"
    assert found[0].verdict is None
    assert runs.find_runs(tmp_path / "none") == []


def test_a_list_reads_again_only_what_was_written_since(tmp_path, monkeypatch):
    folder, other = measured_run(tmp_path, "two_hop/1"), measured_run(tmp_path, "two_hop/2")
    first = runs.find_runs(tmp_path)
    asked, read_model = [], files.read_model
    monkeypatch.setattr(runs, "read_model", lambda p, *a: asked.append(p) or read_model(p, *a))
    assert runs.find_runs(tmp_path) == first
    assert asked == []
    run_folder.write_verdict(other, make_verdict(run="two_hop/2"))
    assert [each.verdict for each in runs.find_runs(tmp_path)] == [None, "confirmed"]
    assert asked == [other / files.RECORD, other / run_folder.VERDICT]
    text = (folder / files.RECORD).read_text()
    files.write_text(folder / files.RECORD, text.replace("the capital.", "the capitol."))
    claims = [each.claim or "" for each in runs.find_runs(tmp_path)]
    assert ["capitol" in claim for claim in claims] == [True, False]
    (folder / files.RECORD).unlink()
    assert [each.folder for each in runs.find_runs(tmp_path)] == [other]


def test_a_verdict_that_cannot_be_read_hides_nothing_else(tmp_path):
    folder = measured_run(tmp_path)
    (folder / run_folder.VERDICT).write_text("{")
    (entry,) = runs.find_runs(tmp_path)
    assert entry.status == "complete"
    assert entry.verdict is None
    assert "verdict.json: cut short" in entry.problem
    with pytest.raises(UsageError, match=r"verdict\.json: cut short"):
        run_folder.read_verdict(folder)


def test_what_is_no_run_is_not_listed(tmp_path):
    measured_run(tmp_path)
    (tmp_path / "two_hop" / "notes").mkdir()
    (tmp_path / "two_hop" / "readme.txt").write_text("x")
    (tmp_path / ".hidden" / "x").mkdir(parents=True)
    (tmp_path / ".hidden" / "x" / "run.json").write_text("{}")
    assert len(runs.find_runs(tmp_path)) == 1


def test_links_out_of_the_root_are_not_followed(tmp_path):
    root, outside = tmp_path / "reports", tmp_path / "secret"
    inside = measured_run(root)
    elsewhere = measured_run(outside, "other/x")
    (root / "linked").symlink_to(outside / "other")
    (root / "two_hop" / "linked").symlink_to(elsewhere)
    (root / "two_hop" / "file").mkdir()
    (root / "two_hop" / "file" / "run.json").symlink_to(elsewhere / "run.json")
    (root / "two_hop" / "loop").symlink_to(root)
    (inside / run_folder.VERDICT).symlink_to(elsewhere / "run.json")
    (entry,) = runs.find_runs(root)
    assert entry.folder == inside
    assert entry.problem is None


def test_a_root_that_is_itself_a_link_is_followed(tmp_path):
    measured_run(tmp_path / "real")
    (tmp_path / "reports").symlink_to(tmp_path / "real")
    assert len(runs.find_runs(tmp_path / "reports")) == 1


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "reports"
    measured_run(root, "two_hop/20260101T000000Z-aaaaaa", started="2026-01-01")
    measured_run(root, "two_hop/20260102T000000Z-bbbbbb", started="2026-01-02")
    measured_run(
        root,
        "two_hop_language/20260103T000000Z-cccccc",
        started="2026-01-03",
        **{"hypothesis.hypothesis": "two_hop_language"},
    )
    return root


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("reports/two_hop/20260101T000000Z-aaaaaa", "aaaaaa"),
        ("reports/two_hop/20260101T000000Z-aaaaaa/", "aaaaaa"),
        ("reports/two_hop/20260101T000000Z-aaaaaa/run.json", "aaaaaa"),
        ("reports/two_hop/20260101T000000Z-aaaaaa/measurements.safetensors", "aaaaaa"),
        ("two_hop/20260101T000000Z-aaaaaa", "aaaaaa"),
        ("two_hop/20260101", "aaaaaa"),
        ("20260102", "bbbbbb"),
        ("two_hop", "bbbbbb"),
        ("two_hop/", "bbbbbb"),
        ("two_hop_l", "cccccc"),
        ("two_hop_language", "cccccc"),
    ],
)
def test_a_run_is_named_in_many_ways(shelf, argument, found):
    assert runs.resolve(argument, shelf).name.endswith(found)


def test_the_folder_of_a_hypothesis_is_its_latest_run(shelf):
    assert runs.resolve(str(shelf / "two_hop") + "/", shelf).name.endswith("bbbbbb")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("2026", r"'2026' may mean any of 3 runs: two_hop/20260101T000000Z-aaaaaa, "),
        ("two_hob", r"no run 'two_hob'\. Did you mean 'two_hop'\? Known: 'two_hop', "),
        ("", r"no run ''"),
        ("x\0y", r"no run 'x\\x00y'"),
        ("y" * 5000, r"no run 'yyy"),
        ("reports", r"no run 'reports'"),
    ],
)
def test_a_run_that_is_not_there_is_a_sentence(shelf, argument, sentence):
    with pytest.raises(UsageError, match=sentence):
        runs.resolve(argument, shelf)


def test_no_runs_at_all_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="there is none in .* yet"):
        runs.resolve("two_hop", tmp_path)


def test_the_latest_run_of_a_hypothesis_is_readable_rather_than_newer(shelf):
    broken = shelf / "two_hop" / "20270101T000000Z-dddddd"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert runs.resolve("two_hop", shelf).name.endswith("bbbbbb")
    assert runs.latest(shelf, "two_hop").id.endswith("bbbbbb")
    assert runs.latest(shelf, "none") is None


def test_a_run_that_cannot_be_read_keeps_nobody_from_measuring(tmp_path):
    record, _ = make_record()
    sound = measured_run(tmp_path, "two_hop/a", started="2026-01-01")
    broken = measured_run(tmp_path, "two_hop/b", started="2026-01-02") / files.RECORD
    broken.write_text(replaced(broken.read_text(), "prompts", {}))
    assert runs.latest(tmp_path, "two_hop") == run_folder.read_record(sound)
    begun = measured_run(tmp_path, "two_hop/c", status="measuring", started="2026-01-03")
    cut = measured_run(tmp_path, "two_hop/d", status="measuring", started="2026-01-04")
    (cut / run_folder.ARRAYS).write_bytes(b"cut")
    assert runs.unfinished(tmp_path, record) == [begun]
    shutil.rmtree(begun)
    assert runs.unfinished(tmp_path, record) == []


def test_what_was_registered_first_is_asked_of_a_run_that_can_be_read(tmp_path):
    first = measured_run(tmp_path, "two_hop/a", started="2026-01-01T00:00:00Z") / files.RECORD
    first.write_text(replaced(first.read_text(), "colour", 1))
    measured_run(tmp_path, "two_hop/b", started="2026-01-02T00:00:00Z")
    made = register(tmp_path, make_record()[0].hypothesis, datetime(2026, 1, 3, tzinfo=UTC))
    assert made.registered == "2026-01-02T00:00:00Z"


def test_an_unfinished_run_is_found_by_what_it_measures(tmp_path):
    record, _ = make_record()
    measured_run(tmp_path, "two_hop/a")
    assert runs.unfinished(tmp_path, record) == []
    measured_run(tmp_path, "two_hop/b", status="measuring", fingerprint="9" * 64)
    assert runs.unfinished(tmp_path, record) == []
    older = measured_run(tmp_path, "two_hop/c", status="measuring", started="2026-01-01")
    newer = measured_run(tmp_path, "two_hop/d", status="measuring", started="2026-01-02")
    measured_run(
        tmp_path,
        "other/e",
        status="measuring",
        started="2026-01-03",
        **{"hypothesis.hypothesis": "other"},
    )
    assert runs.unfinished(tmp_path, record) == [newer, older]


def test_a_complete_run_that_nobody_judged_or_edited_is_found(tmp_path):
    record, _ = make_record()
    assert runs.unjudged(tmp_path, record) is None
    folder = measured_run(tmp_path, "two_hop/a")
    measured_run(tmp_path, "two_hop/b", fingerprint="9" * 64)
    measured_run(tmp_path, "two_hop/c", status="measuring")
    assert runs.unjudged(tmp_path, record) == folder
    path = folder / files.RECORD
    sealed = path.read_text()
    path.write_text(sealed.replace("the capital.", "the capitol."))
    assert runs.unjudged(tmp_path, record) is None
    path.write_text(sealed)
    run_folder.write_verdict(folder, make_verdict(run="two_hop/a"))
    assert runs.unjudged(tmp_path, record) is None
