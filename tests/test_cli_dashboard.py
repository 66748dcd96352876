from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.command import call
from tracer.cli import dashboard


def test_only_this_machine_reaches_it(capfd, monkeypatch):
    started = []

    def note(command, variables):
        started.append((command, variables))
        return 0

    monkeypatch.setattr(dashboard, "_ended", note)
    assert call(capfd, "dashboard", "--reports", "elsewhere").code == 0
    ((command, variables),) = started
    assert "--server.address=127.0.0.1" in command
    assert "--server.allowedHosts=localhost" in command
    assert "--server.allowedHosts=127.0.0.1" in command
    assert "--browser.gatherUsageStats=false" in command
    assert variables["TRACER_REPORTS"] == "elsewhere"
    assert dashboard.SCRIPT.is_file()


def test_a_port_that_is_taken_is_a_sentence(capfd):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = call(capfd, "dashboard", "--port", str(port))
    assert result.code == 4
    assert "another program listens there" in result.err


def test_without_streamlit_a_sentence_says_what_to_install(capfd, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = call(capfd, "dashboard")
    assert result.code == 4
    assert "pip install 'tracer-circuits[dashboard]'" in result.err


def test_a_server_that_stops_by_itself_is_told(capfd):
    assert dashboard._ended([sys.executable, "-c", "raise SystemExit(7)"], {}) == 3
    assert "exit code 7" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("is_stubborn", [False, True])
def test_a_signal_to_the_command_alone_leaves_no_server_behind(tmp_path, number, is_stubborn):
    mark = tmp_path / "server"
    ignored = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if is_stubborn else ""
    server = (
        f"import os, signal, time; {ignored}"
        f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # as after &
        "from tracer.cli import dashboard; dashboard.PATIENCE = 1; "
        f"sys.exit(dashboard._ended([sys.executable, '-c', {server!r}], {{}}))"
    )
    launcher = subprocess.Popen([sys.executable, "-c", program])
    until = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    launcher.send_signal(number)
    assert launcher.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_the_settings_of_the_repository_are_those_of_the_command():
    told: dict[str, list[str]] = {}
    for name, value in dashboard.SETTINGS:
        told.setdefault(name, []).append(value)
    path = Path(__file__).parent.parent / ".streamlit" / "config.toml"
    assert dict(flat(tomllib.loads(path.read_text()))) == told


def flat(table, above=()):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, (*above, key))
        else:
            values = value if isinstance(value, list) else [value]
            words = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
            yield ".".join((*above, key)), words
