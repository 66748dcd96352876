"""The cache of conversions: built once, whole or absent, verified, replaced where damaged."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from heard import Heard

from tracer.engine.model import converted
from tracer.engine.model.converted import CachedModel, ensure, is_present
from tracer.errors import ModelUnavailable

ENTRY = CachedModel("toy", "0" * 64)
OTHER_PROCESS = """
import sys, time
from pathlib import Path
from tracer.engine.model.converted import CachedModel, ensure
from heard import Heard

def build(into):
    (into / "half").write_text("written")
    Path(sys.argv[1]).touch()
    time.sleep(float(sys.argv[2]))
    (into / "weights").write_text("w")
    with open(sys.argv[1] + ".builds", "a") as log:
        log.write("built\\n")

heard = Heard()
ensure(CachedModel("toy", "0" * 64), build, 1, heard)
print("; ".join(heard.labels))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tracer" / "models"


def build(into: Path) -> None:
    (into / "config.json").write_text("{}")
    (into / "model.safetensors").write_bytes(b"weights")


def refuse(into: Path) -> None:
    raise AssertionError("built again")


def other_process(signal_file: Path, seconds: float) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, str(signal_file), str(seconds)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


def test_it_is_built_once_and_then_found(home: Path):
    assert not is_present(ENTRY)
    folder = ensure(ENTRY, build, 1, Heard())
    assert folder.parent == home
    assert is_present(ENTRY)
    assert ensure(ENTRY, refuse, 1, Heard()) == folder
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert files["model.safetensors"]["size"] == 7


def test_another_source_or_conversion_has_another_folder(monkeypatch: pytest.MonkeyPatch):
    before = ENTRY.key
    assert CachedModel("toy", "1" * 64).key != before
    monkeypatch.setattr(converted, "CONVERSION", 2)
    assert ENTRY.key != before


@pytest.mark.parametrize(
    ("name", "contents", "sentence"),
    [
        ("model.safetensors", b"w3ights", "the contents of model.safetensors have changed"),
        ("model.safetensors", b"wei", "model.safetensors has 3 bytes instead of 7"),
        ("config.json", None, "config.json is missing"),
        ("manifest.json", None, "no manifest.json"),
        ("manifest.json", b"{", "unreadable manifest.json"),
        ("manifest.json", b'{"source_sha256":"x","conversion":1,"files":{}}', "another source"),
    ],
)
def test_damage_is_told_and_repaired(name: str, contents: bytes | None, sentence: str):
    folder = ensure(ENTRY, build, 1, Heard())
    if contents is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(contents)
    heard = Heard()
    ensure(ENTRY, build, 1, heard)
    [note] = heard.notes
    assert sentence in note
    assert "built again" in note
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_contents_that_are_not_asked_for_are_not_read():
    folder = ensure(ENTRY, build, 1, Heard())
    (folder / "model.safetensors").write_bytes(b"w3ights")
    ensure(ENTRY, refuse, 1, Heard(), hashed=lambda name: name.endswith(".json"))


def test_a_second_process_waits_and_says_so(tmp_path: Path):
    started = tmp_path / "started"
    first = other_process(started, 3)
    wait_for(started)
    second = other_process(started, 0)
    said = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "waiting" not in said[0]
    assert "waiting for another process that is converting toy" in said[1]
    assert Path(f"{started}.builds").read_text() == "built\n"


def test_a_killed_build_leaves_nothing_that_counts(home: Path, tmp_path: Path):
    started = tmp_path / "started"
    process = other_process(started, 60)
    wait_for(started)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not is_present(ENTRY)
    partial = home / f".{ENTRY.key}.partial"
    assert partial.is_dir()
    folder = ensure(ENTRY, build, 1, Heard())
    assert not partial.exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
    ]


def test_a_failed_build_leaves_nothing(home: Path):
    def fail(into: Path) -> None:
        build(into)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(ENTRY, fail, 1, Heard())
    assert [path.name for path in home.iterdir() if path.is_dir()] == []


def test_a_disk_too_small_is_told_before_the_build():
    with pytest.raises(ModelUnavailable, match=r"\d+ MB are needed, \d+ free.*XDG_CACHE_HOME"):
        ensure(ENTRY, refuse, 10**12, Heard())


def test_a_disk_that_fills_up_is_told(home: Path):
    def fill(into: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ModelUnavailable, match="Not enough disk space.*No space left") as caught:
        ensure(ENTRY, fill, 1, Heard())
    assert str(home) in str(caught.value)
    assert not is_present(ENTRY)


def test_a_full_disk_is_known_from_any_writers_error(monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "free")
    free = iter([2**40, 1000])
    monkeypatch.setattr(converted.shutil, "disk_usage", lambda path: usage(next(free)))

    def fill(into: Path) -> None:
        raise ValueError("a Rust writer's own error")

    with pytest.raises(ModelUnavailable, match="Not enough disk space"):
        ensure(ENTRY, fill, 1, Heard())


def test_an_unwritable_cache_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelUnavailable, match="Cannot write the model cache .*file.*writ"):
        ensure(ENTRY, build, 1, Heard())
