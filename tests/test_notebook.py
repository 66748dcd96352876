"""The notebook of the documentation runs, and shows what it is kept with."""

import re
from pathlib import Path

import pytest

from tests.notebook import MOST_HTML, code_cells, read, shown

NUMBER = re.compile(r"\d[\w.,:-]*")


def words(text: str) -> str:
    """Without the numbers, which another processor may round otherwise."""
    return " ".join(NUMBER.sub("#", text).split())


@pytest.mark.model
def test_every_cell_runs_and_shows_what_it_is_kept_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    cells = code_cells(read())
    for cell, value in zip(cells, shown(cells), strict=True):
        kept = ["".join(each["data"]["text/plain"]) for each in cell["outputs"]]
        assert [words(repr(value))] == [words(text) for text in kept], "".join(cell["source"])


def test_its_outputs_are_there_and_small():
    cells = code_cells(read())
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell["outputs"]
        assert all(len("".join(x)) < MOST_HTML for x in cell["outputs"][0]["data"].values())
