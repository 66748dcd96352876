"""The commands about measurements that are kept."""

import os
import time

import pytest
from filelock import FileLock

import tracer.engine.measure.rows
from tests.command import call
from tests.tiny_file import write_tiny


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """Where models are converted to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tracer" / "models"


def left(folder, name, hours):
    """A file of 1 MiB that was last written to so long ago."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(bytes(2**20))
    at = time.time() - 3600 * hours
    os.utime(path, (at, at))
    return path


def test_what_killed_processes_left_is_counted_and_removed(models, own_measurements, capfd):
    killed = left(own_measurements / "ab", ".cd.safetensors.0123abcd.tmp", 2)
    live = left(own_measurements / "ab", ".ef.safetensors.0123abcd.tmp", 0.5)
    foreign = left(own_measurements, "notes.tmp", 2)
    stopped = left(models / ".toy-0.partial", "joined.gguf", 0)
    whole = left(models / "toy-2", "model.safetensors", 2)
    building = left(models / ".toy-1.partial", "joined.gguf", 2)
    with FileLock(models / ".toy-1.lock"):
        shown, n = call(capfd, "cache"), "2 unfinished files, 2.0 MiB, left by processes"
        assert "0 entries, 0.0 MiB" in shown.out and n in shown.out
        assert killed.exists() and stopped.exists()
        assert n in call(capfd, "cache", "clear").out
        assert not killed.exists() and not stopped.parent.exists()
        assert all(path.exists() for path in (live, foreign, building, whole))
        assert "unfinished" not in call(capfd, "cache").out
    assert "1 unfinished file, 1.0 MiB" in call(capfd, "cache").out


def test_the_cache_is_filled_shown_used_and_cleared(
    tiny, tmp_path, monkeypatch, capfd, own_measurements
):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path, tiny)
    assert "0 entries, 0.0 MiB of at most 2,048.0 MiB" in call(capfd, "cache").out
    call(capfd, "run", "tiny.yaml", "--no-cache")
    assert not own_measurements.exists()
    call(capfd, "run", "tiny.yaml")
    shown = call(capfd, "cache")
    assert shown.code == 0 and "9 entries" in shown.out and str(own_measurements) in shown.out

    def none(*_):
        pytest.fail("was measured again")

    monkeypatch.setattr(tracer.engine.measure.rows, "read_of_rows", none)
    assert "2 of 2 trials came from the cache" in call(capfd, "run", "tiny.yaml").err
    cleared = call(capfd, "cache", "clear")
    assert cleared.code == 0 and cleared.out.startswith("9 entries removed")
    assert not own_measurements.exists()
