from __future__ import annotations

import pytest

from tracer.dashboard.author import hypothesis_files
from tracer.errors import UsageError


def put(path, text="hypothesis: x\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_are_listed_by_their_path(tmp_path):
    drafts = tmp_path / "h" / "drafts"
    put(tmp_path / "h" / "b.yaml")
    put(tmp_path / "h" / "a.yml")
    put(tmp_path / "h" / "notes.txt")
    put(tmp_path / "h" / "published" / "c.yaml")
    put(drafts / "mine.yaml")
    put(tmp_path / "h" / ".hidden" / "d.yaml")
    assert list(hypothesis_files.files(tmp_path / "h", drafts)) == [
        "a.yml",
        "b.yaml",
        "published/c.yaml",
    ]


def test_links_are_not_followed(tmp_path):
    put(tmp_path / "outside" / "secret.yaml")
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "link.yaml").symlink_to(tmp_path / "outside" / "secret.yaml")
    (tmp_path / "h" / "folder").symlink_to(tmp_path / "outside")
    assert hypothesis_files.files(tmp_path / "h", tmp_path / "drafts") == {}


def test_a_missing_folder_has_no_files(tmp_path):
    assert hypothesis_files.files(tmp_path / "none", tmp_path / "drafts") == {}


@pytest.mark.parametrize("name", ["../x.yaml", "/etc/passwd", "gone.yaml", ""])
def test_only_what_is_listed_is_read(tmp_path, name):
    put(tmp_path / "x.yaml")
    put(tmp_path / "h" / "a.yaml")
    with pytest.raises(UsageError, match="no hypothesis file"):
        hypothesis_files.load(tmp_path / "h", tmp_path / "drafts", name)
    assert hypothesis_files.load(tmp_path / "h", tmp_path / "drafts", "a.yaml") == "hypothesis: x\n"
