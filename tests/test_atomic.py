"""A file is written whole or not at all."""

import os

import pytest

from tracer.errors import UsageError
from tracer.record.files import left_behind, remove_left_behind, write_bytes


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


def test_what_is_left_behind_is_told_by_its_name_and_age(tmp_path):
    (tmp_path / "inner").mkdir()
    old = [tmp_path / "inner" / ".run.json.0123abcd.tmp", tmp_path / ".a.0123abcd.tmp"]
    others = [".env.tmp", "a.0123abcd.tmp", ".a.0123abcd.tmp.txt", ".a.0123ABCD.tmp", ".b.x.tmp"]
    for path in (*old, *(tmp_path / name for name in others)):
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    fresh = tmp_path / ".run.json.89abcdef.tmp"
    fresh.write_bytes(b"half")
    assert sorted(left_behind(tmp_path)) == sorted(old)
    assert sorted(left_behind(tmp_path, seconds=0)) == sorted([*old, fresh])
    assert list(left_behind(tmp_path / "none")) == []
    remove_left_behind(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, fresh.name, "inner"])
    assert os.listdir(tmp_path / "inner") == []
