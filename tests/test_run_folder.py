"""A run's folder: it comes back as it was written, or a sentence says why not."""

import codecs
import json
import math
import os
import struct

import numpy as np
import pytest

from tests.records import make_record
from tests.run_folders import measured_run, replaced
from tests.verdicts import make_verdict
from tracer.errors import UsageError
from tracer.record import files, run_folder, runs


def test_a_run_comes_back_as_it_was_written(tmp_path):
    record, arrays = make_record()
    folder = runs.create(tmp_path, record)
    assert run_folder.read_record(folder) == record
    assert run_folder.read_arrays(folder) == {}
    run_folder.write(folder, record, arrays)
    back = run_folder.read_arrays(folder)
    assert sorted(back) == sorted(arrays)
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
    assert run_folder.read_verdict(folder) is None
    run_folder.write_verdict(folder, make_verdict(run=record.id))
    assert run_folder.read_verdict(folder) == make_verdict(run=record.id)
    assert sorted(os.listdir(folder)) == ["measurements.safetensors", "run.json", "verdict.json"]


def test_the_same_run_is_the_same_bytes(tmp_path):
    first, second = measured_run(tmp_path / "a"), measured_run(tmp_path / "b")
    for name in (files.RECORD, run_folder.ARRAYS):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_not_a_number_is_valid_json_and_comes_back(tmp_path):
    where = "interventions.ablate_texas.trials.plano.supernodes.texas.of_clean"
    folder = measured_run(tmp_path, **{where: math.nan})

    def refuse(word):
        raise AssertionError(word)

    json.loads((folder / files.RECORD).read_text(), parse_constant=refuse)
    trial = run_folder.read_record(folder).interventions["ablate_texas"].trials["plano"]
    assert math.isnan(trial.supernodes["texas"].of_clean)


def test_arrays_that_are_no_longer_contiguous_are_written_right(tmp_path):
    record, _ = make_record()
    folder = runs.create(tmp_path, record)
    turned = np.arange(6.0).reshape(2, 3).T
    run_folder.write(folder, record, {"turned": turned})
    assert np.array_equal(run_folder.read_arrays(folder)["turned"], turned)


def replace(key, value):
    return lambda text: replaced(text, key, value)


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
    folder = measured_run(tmp_path)
    path = folder / files.RECORD
    path.write_text(bend(path.read_text()))
    with pytest.raises(UsageError, match=sentence):
        run_folder.read_record(folder)
    (entry,) = runs.find_runs(tmp_path)
    if "extra" not in sentence:
        assert entry.problem is not None
        assert entry.status is None
        assert entry.hypothesis == "two_hop"


def test_bytes_that_are_no_text_are_a_sentence(tmp_path):
    folder = measured_run(tmp_path)
    (folder / files.RECORD).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cut short, or not JSON"):
        run_folder.read_record(folder)


def test_a_byte_order_mark_that_an_editor_put_there_is_passed_over(tmp_path):
    folder = measured_run(tmp_path)
    record, path = run_folder.read_record(folder), folder / files.RECORD
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert run_folder.read_record(folder) == record
    assert run_folder.is_edited(folder)
    path.write_bytes(path.read_bytes()[:-9])
    assert run_folder.read_unreadable(folder).claim == record.hypothesis.claim


def test_a_missing_run_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"none: no run is here, run\.json is missing"):
        run_folder.read_record(tmp_path / "none")
    (tmp_path / "odd" / "run.json").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"run\.json: cannot be read \(Is a directory\)"):
        run_folder.read_record(tmp_path / "odd")


HEADER = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
BF16 = struct.pack("<Q", len(HEADER)) + HEADER + b"\x00\x00"
"""A sound file of a kind that numpy lacks and no run holds."""


@pytest.mark.parametrize("data", [b"", b"no tensors", struct.pack("<Q", 1 << 60), BF16, None])
def test_arrays_that_cannot_be_read_are_a_sentence(tmp_path, data):
    folder = measured_run(tmp_path)
    path = folder / run_folder.ARRAYS
    path.write_bytes(path.read_bytes()[:-9] if data is None else data)
    with pytest.raises(UsageError, match=r"measurements\.safetensors: cut short, or no safe"):
        run_folder.read_arrays(folder)
    path.unlink()
    with pytest.raises(UsageError, match=r"measurements\.safetensors is missing"):
        run_folder.read_arrays(folder)


@pytest.mark.parametrize("name", [run_folder.ARRAYS, run_folder.VERDICT])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    folder = measured_run(tmp_path)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UsageError, match="this is not a regular file"):
        run_folder.read_arrays(folder)
        run_folder.read_verdict(folder)
    (entry,) = runs.find_runs(tmp_path)
    assert entry.status == "complete"
