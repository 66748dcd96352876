"""A file of a run tells whether it was edited; a verdict is never believed without the record."""

import json

from tests.run_folders import measured_run
from tracer.record.run_folder import ARRAYS, VERDICT, is_edited
from tracer.record.runs import find_runs
from tracer.record.seal import is_as_written, sealed
from tracer.report.run import Run, judge_and_save


def test_a_seal_is_that_of_the_text_and_of_what_belongs_to_it():
    data = sealed('{\n "seal": null,\n "x": "a \\"seal\\": null b"\n}', b"tensors")
    assert json.loads(data)["x"] == 'a "seal": null b'
    assert is_as_written(data, b"tensors") is True
    assert is_as_written(data, b"others") is False
    assert is_as_written(data.replace(b" b", b" c"), b"tensors") is False
    assert is_as_written(b'{"seal": null}') is None


def test_an_edited_verdict_is_told_and_not_believed(tmp_path):
    folder = measured_run(tmp_path)
    own = judge_and_save(folder).verdict.verdict
    path = folder / VERDICT
    path.write_text(path.read_text().replace(f'"{own}"', '"confirmed"'))
    [entry] = find_runs(tmp_path)
    assert entry.verdict is None and "edited after it was written" in str(entry.problem)
    assert Run.open(folder).verdict.verdict == own != "confirmed"


def test_an_edited_record_is_no_evidence(tmp_path):
    folder = measured_run(tmp_path)
    assert not is_edited(folder)
    tensors = bytearray((folder / ARRAYS).read_bytes())
    tensors[-1] ^= 1
    (folder / ARRAYS).write_bytes(tensors)
    assert is_edited(folder)
    assert any("as they were written" in each for each in Run.open(folder).verdict.missing)
