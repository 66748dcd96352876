from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tracer.dashboard.author import drafts
from tracer.errors import HypothesisError, UsageError


def test_a_draft_comes_back_and_nothing_lies_beside_it(tmp_path):
    path = drafts.create(tmp_path / "drafts", "a-b_1", "text: é")
    assert path.name == "a-b_1.yaml"
    assert drafts.load(tmp_path / "drafts", "a-b_1") == "text: é"
    assert drafts.names(tmp_path / "drafts") == ["a-b_1"]
    assert os.listdir(tmp_path / "drafts") == ["a-b_1.yaml"]


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "A", "a.yaml", "a b", "a\n", "\x00", "x" * 65, "é", "/etc/x"]
)
def test_only_plain_names_are_names(tmp_path, name):
    for act in (
        lambda: drafts.create(tmp_path, name, "x"),
        lambda: drafts.load(tmp_path, name),
        lambda: drafts.replace(tmp_path, name, "x", "y"),
    ):
        with pytest.raises(UsageError, match="is no name of a draft: 1 to 64 of a to z"):
            act()
    assert os.listdir(tmp_path) == []


def test_nothing_is_overwritten_unseen(tmp_path):
    drafts.create(tmp_path, "x", "first")
    with pytest.raises(UsageError, match="there is a draft 'x' already"):
        drafts.create(tmp_path, "x", "second")
    drafts.replace(tmp_path, "x", "second", read="first")
    with pytest.raises(UsageError, match="changed by someone else since it was opened"):
        drafts.replace(tmp_path, "x", "third", read="first")
    assert drafts.load(tmp_path, "x") == "second"
    assert os.listdir(tmp_path) == ["x.yaml"]


def test_links_are_no_drafts(tmp_path):
    secret = tmp_path / "secret.yaml"
    secret.write_text("secret")
    folder = tmp_path / "drafts"
    folder.mkdir()
    (folder / "linked.yaml").symlink_to(secret)
    (folder / "inside.yaml").mkdir()
    (folder / "Upper.yaml").write_text("x")
    assert drafts.names(folder) == []
    with pytest.raises(UsageError, match="there is no draft 'linked'"):
        drafts.load(folder, "linked")
    with pytest.raises(UsageError, match="already"):
        drafts.create(folder, "linked", "x")
    assert secret.read_text() == "secret"


def test_what_is_too_large_is_neither_saved_nor_read(tmp_path):
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        drafts.create(tmp_path, "x", "é" * (1 << 19) + "é")
    (tmp_path / "y.yaml").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(HypothesisError, match="larger than 1 MiB"):
        drafts.load(tmp_path, "y")
    assert drafts.names(tmp_path / "none") == []


def test_who_saves_at_the_same_time_loses_nothing(tmp_path):
    drafts.create(tmp_path, "x", "")

    def add(name: int) -> None:
        for line in range(6):
            while True:
                seen = drafts.load(tmp_path, "x")
                try:
                    drafts.replace(tmp_path, "x", f"{seen}{name} {line}\n", seen)
                    break
                except UsageError as error:
                    assert "changed by someone else" in str(error)

    with ThreadPoolExecutor() as pool:
        list(pool.map(add, range(4)))
    lines = drafts.load(tmp_path, "x").splitlines()
    assert sorted(lines) == [f"{name} {line}" for name in range(4) for line in range(6)]
    assert os.listdir(tmp_path) == ["x.yaml"]
