from __future__ import annotations

from pathlib import Path

import pytest

from tests.records import YAML
from tracer.cli.select import FileFilters, hypothesis_paths, read_all
from tracer.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    hypotheses = tmp_path / "hypotheses"
    hypotheses.mkdir()
    (hypotheses / "b.yaml").write_text(YAML)
    (hypotheses / "a.yml").write_text(YAML.replace("two_hop\nclaim", "other\nclaim"))
    (hypotheses / "notes.txt").write_text("no hypothesis")
    return hypotheses


def test_a_folder_means_its_yaml_files_and_each_file_counts_once(folder: Path):
    expected = [Path("hypotheses/a.yml"), Path("hypotheses/b.yaml")]
    assert hypothesis_paths([]) == expected
    assert hypothesis_paths([Path("hypotheses/b.yaml"), Path("hypotheses")]) == expected[::-1]


@pytest.mark.parametrize("name", ["._b.yaml", ".#b.yaml", ".b.yml", "~$b.yaml"])
def test_what_other_programs_put_beside_a_file_is_none(folder: Path, name: str):
    (folder / name).write_bytes(b"\x00\x05\x16\x07")
    assert hypothesis_paths([]) == [Path("hypotheses/a.yml"), Path("hypotheses/b.yaml")]


def test_every_missing_path_is_told(folder: Path):
    with pytest.raises(UsageError, match=r"x\.yaml: no such file or folder\.\ny: no such"):
        hypothesis_paths([Path("x.yaml"), Path("hypotheses"), Path("y")])


def test_no_folder_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no folder hypotheses/ here.*tracer init"):
        hypothesis_paths([])


def test_a_broken_file_does_not_hide_the_others(folder: Path):
    (folder / "c.yaml").write_text("")
    found = read_all(hypothesis_paths([]), ["controls.random=19"])
    assert [file.hypothesis.hypothesis for file in found.files] == ["other", "two_hop"]
    assert {file.hypothesis.controls.random for file in found.files} == {19}
    assert [broken.path.name for broken in found.broken] == ["c.yaml"]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (FileFilters(), ["other", "two_hop"]),
        (FileFilters("not other"), ["two_hop"]),
        (FileFilters(tags=("two-hop", "x")), ["other", "two_hop"]),
        (FileFilters(tags=("x",)), []),
        (FileFilters(only=frozenset({"other"})), ["other"]),
        (FileFilters("two_hop", only=frozenset({"other"})), []),
    ],
)
def test_filters(folder: Path, filters: FileFilters, kept: list[str]):
    chosen = filters.choose(read_all(hypothesis_paths([]), ()).files)
    assert [file.hypothesis.hypothesis for file in chosen] == kept
