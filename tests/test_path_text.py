"""Names of files that are no UTF-8, wherever text must be."""

from __future__ import annotations

import io
import json
import os
import sys

from tests.records import make_record
from tracer.cli.json_output import FileResult, verdicts
from tracer.cli.output import write_stdout
from tracer.dashboard.author.hypothesis_files import files, load
from tracer.record.files import path_text
from tracer.report.library import LibraryEntry, render_library

ODD = os.fsdecode(b"\xff<b>.yaml")


def test_bytes_that_are_no_text_are_spelled():
    assert path_text(ODD) == r"\xff<b>.yaml"
    assert path_text("é 大.yaml") == "é 大.yaml"


def test_a_hypothesis_file_is_listed_and_read_by_its_spelled_name(tmp_path):
    (tmp_path / ODD).write_text("a: 1")
    assert list(files(tmp_path, tmp_path / "drafts")) == [r"\xff<b>.yaml"]
    assert load(tmp_path, tmp_path / "drafts", r"\xff<b>.yaml") == "a: 1"


def test_a_library_page_links_it():
    entry = LibraryEntry(make_record()[0].hypothesis, ODD, None, None)
    assert "](%FF%3Cb%3E.yaml)" in render_library([entry])


def test_the_json_of_a_command_names_it(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    write_stdout(verdicts([FileResult(ODD, None, 4)], 4).written())
    assert isinstance(out.buffer, io.BytesIO)
    assert json.loads(out.buffer.getvalue())["results"][0]["file"] == ODD
