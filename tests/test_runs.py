import json
import math
import os
import shutil
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from records import change, make_record

from tracer import runs
from tracer.atomic import write_bytes
from tracer.errors import UsageError
from tracer.evidence.verdict import Verdict
from tracer.registering import register


def make_verdict(record, verdict="confirmed", expected="confirmed"):
    return Verdict(
        run=record.id,
        hypothesis=record.hypothesis.hypothesis,
        claim=record.hypothesis.claim,
        verdict=verdict,
        expected=expected,
        reason="so it is",
        outcomes=(),
        caveats=(),
    )


def put(root, run_id="two_hop/20260102T030405.000Z-0123ab", **changes):
    record, arrays = make_record()
    record = change(record, "id", run_id)
    for path, value in changes.items():
        record = change(record, path, value)
    folder = runs.create(root, record)
    runs.write(folder, record, arrays)
    return folder


def test_a_run_comes_back_as_it_was_written(tmp_path):
    record, arrays = make_record()
    folder = runs.create(tmp_path, record)
    assert runs.read_record(folder) == record
    assert runs.read_arrays(folder) == {}
    runs.write(folder, record, arrays)
    back = runs.read_arrays(folder)
    assert sorted(back) == sorted(arrays)
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
    assert runs.read_verdict(folder) is None
    runs.write_verdict(folder, make_verdict(record))
    assert runs.read_verdict(folder) == make_verdict(record)
    assert sorted(os.listdir(folder)) == ["measurements.safetensors", "run.json", "verdict.json"]


def test_the_same_run_is_the_same_bytes(tmp_path):
    first, second = put(tmp_path / "a"), put(tmp_path / "b")
    for name in (runs.RECORD, runs.ARRAYS):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_not_a_number_is_valid_json_and_comes_back(tmp_path):
    where = "interventions.ablate_texas.trials.plano.supernodes.texas.of_clean"
    folder = put(tmp_path, **{where: math.nan})

    def refuse(word):
        raise AssertionError(word)

    json.loads((folder / runs.RECORD).read_text(), parse_constant=refuse)
    trial = runs.read_record(folder).interventions["ablate_texas"].trials["plano"]
    assert math.isnan(trial.supernodes["texas"].of_clean)


def test_arrays_that_are_no_longer_contiguous_are_written_right(tmp_path):
    record, _ = make_record()
    folder = runs.create(tmp_path, record)
    turned = np.arange(6.0).reshape(2, 3).T
    runs.write(folder, record, {"turned": turned})
    assert np.array_equal(runs.read_arrays(folder)["turned"], turned)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_bytes(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    pipe, stream, link = tmp_path / "pipe", tmp_path / "stdout", tmp_path / "link"
    os.mkfifo(pipe)
    stream.symlink_to("/proc/self/fd/1")
    link.symlink_to(pipe)
    for path in (pipe, stream, link):
        with pytest.raises(UsageError, match="this is not a regular file, so it is not replaced"):
            write_bytes(path, b"new")
    assert pipe.is_fifo() and stream.is_symlink() and link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "stdout"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def stop(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "run.json", b"new")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match="No such file") as caught:
        write_bytes(tmp_path / "none" / "run.json", b"new")
    assert caught.value.filename == str(tmp_path / "none" / "run.json")


def replace(key, value):
    def bend(text):
        return json.dumps({**json.loads(text), key: value})

    return bend


@pytest.mark.parametrize(
    ("bend", "sentence"),
    [
        (lambda text: text[: len(text) // 2], r"run\.json: cut short, or not JSON"),
        (lambda text: "", r"run\.json: cut short, or not JSON"),
        (lambda text: "[" * 100_000, r"run\.json: cut short, or not JSON"),
        (lambda text: "[1, 2]", r"not written by tracer: its schema is None"),
        (lambda text: '{"schema": 7}', r"not written by tracer: its schema is None"),
        (lambda text: '{"schema": "other/1"}', r"not written by tracer: its schema is 'other/1'"),
        (replace("schema", "tracer.verdict/1"), r"not written by tracer"),
        (replace("schema", "tracer.run/2"), r"written by a newer tracer \(tracer\.run/2; this one"),
        (replace("schema", "tracer.run/0"), r"written by an older tracer"),
        (replace("status", "done"), r"not what tracer\.run/1 says: status: input should be"),
        (replace("colour", "red"), r"colour: extra inputs are not permitted"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_sentence(tmp_path, bend, sentence):
    folder = put(tmp_path)
    path = folder / runs.RECORD
    path.write_text(bend(path.read_text()))
    with pytest.raises(UsageError, match=sentence):
        runs.read_record(folder)
    (entry,) = runs.find_runs(tmp_path)
    if "extra" not in sentence:
        assert entry.problem is not None
        assert entry.status is None
        assert entry.hypothesis == "two_hop"


def test_bytes_that_are_no_text_are_a_sentence(tmp_path):
    folder = put(tmp_path)
    (folder / runs.RECORD).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cut short, or not JSON"):
        runs.read_record(folder)


def test_a_missing_run_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"none: no run is here, run\.json is missing"):
        runs.read_record(tmp_path / "none")
    (tmp_path / "odd" / "run.json").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"run\.json: cannot be read \(Is a directory\)"):
        runs.read_record(tmp_path / "odd")


HEADER = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
BF16 = struct.pack("<Q", len(HEADER)) + HEADER + b"\x00\x00"
"""A sound file of a kind that numpy lacks and no run holds."""


@pytest.mark.parametrize("data", [b"", b"no tensors", struct.pack("<Q", 1 << 60), BF16, None])
def test_arrays_that_cannot_be_read_are_a_sentence(tmp_path, data):
    folder = put(tmp_path)
    path = folder / runs.ARRAYS
    path.write_bytes(path.read_bytes()[:-9] if data is None else data)
    with pytest.raises(UsageError, match=r"measurements\.safetensors: cut short, or no safe"):
        runs.read_arrays(folder)
    path.unlink()
    with pytest.raises(UsageError, match=r"measurements\.safetensors is missing"):
        runs.read_arrays(folder)


@pytest.mark.parametrize("name", [runs.ARRAYS, runs.VERDICT])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    folder = put(tmp_path)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UsageError, match="this is not a regular file"):
        runs.read_arrays(folder)
        runs.read_verdict(folder)
    (entry,) = runs.find_runs(tmp_path)
    assert entry.status == "complete"


def test_a_name_that_is_no_text_is_spelled(tmp_path):
    folder = put(tmp_path)
    raw = os.fsencode(tmp_path) + b"/\xff<b>"
    os.mkdir(raw)
    os.rename(folder, raw + b"/\xed\xa0\x80")
    (entry,) = runs.find_runs(tmp_path)
    assert entry.id == r"\xff<b>/\xed\xa0\x80"
    assert runs.read_record(entry.folder).status == "complete"
    assert runs.resolve(entry.id, tmp_path) == entry.folder


def test_ids_sort_by_time_and_name_the_fingerprint():
    early = runs.new_id("x", datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC), "abcdef99")
    late = runs.new_id("x", datetime(2026, 1, 2, 3, 4, 6, 0, UTC), "abcdef99")
    assert early == "x/20260102T030405.999Z-abcdef"
    assert early < late


def test_a_run_is_made_once(tmp_path):
    put(tmp_path)
    with pytest.raises(UsageError, match="there is such a run already"):
        put(tmp_path)


def test_runs_are_found_oldest_first_with_what_a_list_shows(tmp_path):
    put(tmp_path, "two_hop/c", started="2026-01-03")
    newest = put(tmp_path, "two_hop/a", started="2026-01-04", status="measuring")
    put(tmp_path, "other/b", started="2026-01-01")
    record, _ = make_record()
    runs.write_verdict(newest, make_verdict(record, "confirmed", "refuted"))
    found = runs.find_runs(tmp_path)
    assert [entry.id for entry in found] == ["other/b", "two_hop/c", "two_hop/a"]
    last = found[-1]
    assert (last.verdict, last.as_expected, last.status) == ("confirmed", False, "measuring")
    assert last.model == "gemma-3-270m"
    assert found[0].verdict is None
    assert runs.find_runs(tmp_path / "none") == []


def test_a_list_reads_again_only_what_was_written_since(tmp_path, monkeypatch):
    folder, other = put(tmp_path, "two_hop/1"), put(tmp_path, "two_hop/2")
    first = runs.find_runs(tmp_path)
    asked, read_model = [], runs.read_model
    monkeypatch.setattr(runs, "read_model", lambda p, *a: asked.append(p) or read_model(p, *a))
    assert runs.find_runs(tmp_path) == first
    assert asked == []
    runs.write_verdict(other, make_verdict(runs.read_record(other)))
    assert [each.verdict for each in runs.find_runs(tmp_path)] == [None, "confirmed"]
    assert asked == [other / runs.RECORD, other / runs.VERDICT]
    text = (folder / runs.RECORD).read_text()
    runs.write_text(folder / runs.RECORD, text.replace("the capital.", "the capitol."))
    claims = [each.claim or "" for each in runs.find_runs(tmp_path)]
    assert ["capitol" in claim for claim in claims] == [True, False]
    (folder / runs.RECORD).unlink()
    assert [each.folder for each in runs.find_runs(tmp_path)] == [other]


def test_a_verdict_that_cannot_be_read_hides_nothing_else(tmp_path):
    folder = put(tmp_path)
    (folder / runs.VERDICT).write_text("{")
    (entry,) = runs.find_runs(tmp_path)
    assert entry.status == "complete"
    assert entry.verdict is None
    assert "verdict.json: cut short" in entry.problem
    with pytest.raises(UsageError, match=r"verdict\.json: cut short"):
        runs.read_verdict(folder)


def test_what_is_no_run_is_not_listed(tmp_path):
    put(tmp_path)
    (tmp_path / "two_hop" / "notes").mkdir()
    (tmp_path / "two_hop" / "readme.txt").write_text("x")
    (tmp_path / ".hidden" / "x").mkdir(parents=True)
    (tmp_path / ".hidden" / "x" / "run.json").write_text("{}")
    assert len(runs.find_runs(tmp_path)) == 1


def test_links_out_of_the_root_are_not_followed(tmp_path):
    root, outside = tmp_path / "reports", tmp_path / "secret"
    inside = put(root)
    elsewhere = put(outside, "other/x")
    (root / "linked").symlink_to(outside / "other")
    (root / "two_hop" / "linked").symlink_to(elsewhere)
    (root / "two_hop" / "file").mkdir()
    (root / "two_hop" / "file" / "run.json").symlink_to(elsewhere / "run.json")
    (root / "two_hop" / "loop").symlink_to(root)
    (inside / runs.VERDICT).symlink_to(elsewhere / "run.json")
    (entry,) = runs.find_runs(root)
    assert entry.folder == inside
    assert entry.problem is None


def test_a_root_that_is_itself_a_link_is_followed(tmp_path):
    put(tmp_path / "real")
    (tmp_path / "reports").symlink_to(tmp_path / "real")
    assert len(runs.find_runs(tmp_path / "reports")) == 1


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "reports"
    put(root, "two_hop/20260101T000000Z-aaaaaa", started="2026-01-01")
    put(root, "two_hop/20260102T000000Z-bbbbbb", started="2026-01-02")
    put(
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
    sound = put(tmp_path, "two_hop/a", started="2026-01-01")
    broken = put(tmp_path, "two_hop/b", started="2026-01-02")
    (broken / runs.RECORD).write_text(replace("prompts", {})((broken / runs.RECORD).read_text()))
    assert runs.latest(tmp_path, "two_hop") == runs.read_record(sound)
    begun = put(tmp_path, "two_hop/c", status="measuring", started="2026-01-03")
    cut = put(tmp_path, "two_hop/d", status="measuring", started="2026-01-04")
    (cut / runs.ARRAYS).write_bytes(b"cut")
    assert runs.unfinished(tmp_path, record) == begun
    shutil.rmtree(begun)
    assert runs.unfinished(tmp_path, record) is None


def test_what_was_registered_first_is_asked_of_a_run_that_can_be_read(tmp_path):
    first = put(tmp_path, "two_hop/a", started="2026-01-01T00:00:00Z")
    (first / runs.RECORD).write_text(replace("colour", 1)((first / runs.RECORD).read_text()))
    put(tmp_path, "two_hop/b", started="2026-01-02T00:00:00Z")
    made = register(tmp_path, make_record()[0].hypothesis, datetime(2026, 1, 3, tzinfo=UTC))
    assert made.registered == "2026-01-02T00:00:00Z"


def test_an_unfinished_run_is_found_by_what_it_measures(tmp_path):
    record, _ = make_record()
    put(tmp_path, "two_hop/a")
    assert runs.unfinished(tmp_path, record) is None
    put(tmp_path, "two_hop/b", status="measuring", fingerprint="9" * 64)
    assert runs.unfinished(tmp_path, record) is None
    older = put(tmp_path, "two_hop/c", status="measuring", started="2026-01-01")
    newer = put(tmp_path, "two_hop/d", status="measuring", started="2026-01-02")
    put(
        tmp_path,
        "other/e",
        status="measuring",
        started="2026-01-03",
        **{"hypothesis.hypothesis": "other"},
    )
    assert older != newer == runs.unfinished(tmp_path, record)
