"""The commands about measurements that are kept."""

import pytest

import tracer.engine.measure.prompts
from tests.command import call
from tests.tiny_file import write_tiny


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
    assert shown.code == 0 and "2 entries" in shown.out and str(own_measurements) in shown.out

    def none(*_):
        pytest.fail("was measured again")

    monkeypatch.setattr(tracer.engine.measure.prompts, "run_rows", none)
    assert "2 of 2 trials came from the cache" in call(capfd, "run", "tiny.yaml").err
    cleared = call(capfd, "cache", "clear")
    assert cleared.code == 0 and cleared.out.startswith("2 entries removed")
    assert not own_measurements.exists()
