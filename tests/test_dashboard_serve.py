from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from streamlit.web import cli

from tests.dashboards import put_run
from tracer.dashboard import opening, serve
from tracer.record import runs


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Where the reports are, and what Streamlit's own command was called with."""
    monkeypatch.setenv("TRACER_REPORTS", str(tmp_path))
    called = []
    monkeypatch.setattr(signal, "signal", lambda *what: called.append(what))
    monkeypatch.setattr(cli, "main", lambda **how: called.append((how, set(sys.modules))))
    return tmp_path, called


def finish():
    """Wait for what lists the runs, and for no thread of another test."""
    for thread in threading.enumerate():
        if thread.name == serve.LISTING:
            thread.join(30)


def test_pages_and_tables_are_there_before_the_port_is(started):
    _, called = started
    serve.main()
    finish()
    [stopping, (how, modules)] = called
    assert stopping == (signal.SIGINT, signal.SIG_DFL)
    assert how == {"prog_name": "streamlit"}
    assert set(serve.EARLY) <= modules


def test_the_first_page_reads_no_run_again(started, monkeypatch):
    reports, _ = started
    put_run(reports)
    serve.main()
    finish()
    monkeypatch.setattr(runs, "read_model", lambda *_: pytest.fail("read again"))
    assert [each.hypothesis for each in opening.entries(reports).values()] == ["two_hop"]


def test_a_folder_that_cannot_be_listed_stops_nothing(started, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    _, called = started
    monkeypatch.setattr(serve, "find_runs", refuse)
    serve.main()
    finish()
    assert len(called) == 2


def test_nothing_is_said_of_a_server_that_starts_a_moment_later():
    program = (
        "from tracer.dashboard import serve\n"
        "from streamlit.web import cli\n"
        "cli.main = lambda **how: None\n"
        "serve.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stderr) == (0, "")
