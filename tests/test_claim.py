"""A run is one process's while it is measured, and anybody's once that process is gone."""

import signal
import subprocess
import sys
from pathlib import Path

from tracer.record.claim import claimed, is_claimed

OTHER_PROCESS = """
import sys, time
from pathlib import Path
from tracer.record.claim import claimed

with claimed(Path(sys.argv[1])) as is_mine:
    print(is_mine, flush=True)
    time.sleep(60)
"""


def test_one_has_it_at_a_time(tmp_path):
    run, other = tmp_path / "two_hop" / "a", tmp_path / "two_hop" / "b"
    with claimed(run) as first, claimed(run) as second, claimed(other) as third:
        assert (first, second, third) == (True, False, True)
    with claimed(run) as again:
        assert again
    assert list(run.parent.iterdir()) == []


def test_a_killed_process_has_nothing(tmp_path):
    run = tmp_path / "two_hop" / "a"
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, str(run)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with claimed(run) as is_mine:
        assert not is_mine
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with claimed(run) as is_mine:
        assert is_mine
    assert list(run.parent.iterdir()) == []


def test_looking_leaves_no_lock_behind(tmp_path):
    run = tmp_path / "two_hop" / "a"
    assert not is_claimed(run)
    assert not run.parent.exists()
    with claimed(run):
        assert is_claimed(run)
        assert is_claimed(run)
    assert not is_claimed(run)
    run.with_name(".a.lock").touch()  # as a killed process leaves it
    assert not is_claimed(run)
