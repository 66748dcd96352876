from __future__ import annotations

import io
import re
import time

import pytest

from tracer.cli.progress import PlainProgress, _Step, progress_on
from tracer.report.screen import Screen


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_hears_of_long_work_again_and_again():
    file = io.StringIO()
    progress = PlainProgress(Screen(file), every=0.05)
    with progress.ticking(), progress.task("loading"), progress.task("reading [b]", 9) as advance:
        advance(4)
        time.sleep(0.3)
    lines = file.getvalue().splitlines()
    assert lines[:2] == ["loading", "reading [b]"]
    assert len(lines) >= 4
    assert all(re.fullmatch(r"reading \[b\] 4/9 \(0 s\)", line) for line in lines[2:])
    assert "\x1b" not in file.getvalue()


def test_a_step_says_how_long_it_still_takes_at_its_pace():
    step = _Step("clamping", 40)
    step.started -= 30
    assert step.line() == "clamping 0/40 (30 s)"
    step.advance(10)
    assert step.line() == "clamping 10/40 (30 s, about 90 s left)"
    step.advance(30)
    assert step.line() == "clamping 40/40 (30 s)"


def test_a_step_that_ends_gives_the_word_back_to_the_outer_one():
    file = io.StringIO()
    progress = PlainProgress(Screen(file), every=0.05)
    with progress.ticking(), progress.task("outer"):
        for _ in range(3):
            with progress.task("inner"):
                pass
        time.sleep(0.2)
    lines = file.getvalue().splitlines()
    assert lines.count("inner") == 1
    assert lines[-1] == "outer (0 s)"


def test_nothing_is_written_after_the_end_or_while_idle():
    file = io.StringIO()
    progress = PlainProgress(Screen(file), every=0.02)
    with progress.ticking():
        time.sleep(0.1)
    time.sleep(0.05)
    assert file.getvalue() == ""


def test_quiet_keeps_the_notes():
    file = io.StringIO()
    with progress_on(Screen(file), quiet=True) as progress, progress.task("loading"):
        progress.note("halved the batch")
    assert file.getvalue() == "note: halved the batch\n"


def test_a_terminal_gets_a_spinner_and_the_notes_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    file = Tty()
    label = "loading [b]gemma[/b]"
    screen = Screen(file, width=80)
    with progress_on(screen, quiet=False) as progress, progress.task(label, 3) as advance:
        advance(1)
        time.sleep(0.3)
        progress.note("halved the batch")
    assert "loading [b]gemma[/b]" in file.getvalue()
    assert "1/3" in file.getvalue()
    assert "note: halved the batch" in file.getvalue()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    file = Tty()
    with progress_on(Screen(file), quiet=False) as progress, progress.task("loading"):
        pass
    assert file.getvalue() == "loading\n"
