from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

from tests.verdicts import make_outcome, make_verdict
from tracer.report.characters import LONGEST_TOKEN
from tracer.report.screen import Screen, clean
from tracer.report.terminal import RunFacts, print_verdict, print_verdict_line, verdict_text


def test_a_terminal_is_only_shown_text():
    assert clean("a\x1b[31mb\u202ec\x07\x9b\nd\u2028e") == "a[31mbc d e"
    assert clean("שלום 日本 é 👩‍🔬") == "שלום 日本 é 👩‍🔬"


def test_the_verdict_comes_first_and_failures_before_the_rest():
    verdict = make_verdict(
        make_outcome("calm"),
        make_outcome("swap", "held"),
        make_outcome("swap", "failed", expectation="logit( Sacramento) − logit( Austin)"),
        make_outcome("swap", "untested", "held out", reason="the baseline does not hold"),
        verdict="refuted",
        reason="1 of 4 expectations failed.",
        caveats=("one prompt only",),
    )
    text = verdict_text(verdict, RunFacts(("reports/two_hop/x/report.html",), 12.34))
    lines = text.splitlines()
    assert lines[0] == "✘ REFUTED  two_hop  1 of 4 expectations failed."
    assert text.index("\nswap") < text.index("\ncalm")
    assert text.index("✘ failed") < text.index("✔ held")
    assert text.index("discovery") < text.index("held out") < text.index("? untested")
    assert "2 of 2; the baseline" in text
    assert "caveat: one prompt only" in text
    assert "reports/two_hop/x/report.html" in text
    assert "12.3 s" in text
    assert max(map(len, lines)) <= 80


def test_an_expected_refutation_is_as_expected():
    verdict = make_verdict(verdict="refuted", expected="refuted", reason="r")
    assert verdict_text(verdict).startswith("✔ REFUTED as expected  two_hop  r")
    surprise = make_verdict(expected="refuted", reason="r")
    assert verdict_text(surprise).startswith("✘ CONFIRMED (expected: refuted)  two_hop  r")
    assert verdict_text(make_verdict(verdict="inconclusive")).startswith("? INCONCLUSIVE")


def test_text_is_never_markup_and_long_words_fold():
    hostile = "[red]{{ x }}[/red] [link=http://e]" + "x" * 200
    text = verdict_text(make_verdict(make_outcome(observed=hostile), claim=hostile))
    assert "[red]{{ x }}[/red]" in text
    assert text.replace("\n", "").replace(" ", "").count("x" * 3) > 50
    assert max(map(len, text.splitlines())) <= 80 + LONGEST_TOKEN


def test_prompts_are_shown_when_asked_for():
    file = io.StringIO()
    print_verdict(Screen(file, width=80), make_verdict(), per_prompt=True)
    assert "dallas" in file.getvalue()
    assert "dallas" not in verdict_text(make_verdict())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_icons_gets_stand_ins(encoding: str):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    screen = Screen(file, width=80)
    print_verdict(screen, make_verdict(make_outcome(observed="−1.27 日"), claim="a → b"))
    file.flush()
    text = raw.getvalue().decode("ascii")
    assert text.startswith("+ CONFIRMED  two_hop")
    assert "-1.27 \\u65e5" in text
    assert "a -> b" in text


def test_a_pipe_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    file = io.StringIO()
    print_verdict(Screen(file), make_verdict())
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_columns_gets_its_output(columns: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", columns)
    file = io.StringIO()
    screen = Screen(file)
    screen.say("a sentence")
    screen.table([("heading", 1)], [[screen.text("cell")]])
    assert "a sentence" in file.getvalue()
    assert "cell" in file.getvalue().replace("\n", "")


@pytest.mark.parametrize(
    "writing", ["stdout().say('x\\n' * 99_999)", "write_stdout('x' * 999_999)"]
)
def test_a_reader_that_is_gone_changes_no_exit_code(writing: str):
    begin = "import sys\nfrom tracer.cli.output import stdout, write_stdout"
    code = f"{begin}\n{writing}\n{writing}\nsys.exit(6)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 6


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch):
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Tty(), Tty()
    print_verdict_line(Screen(coloured), make_verdict())
    monkeypatch.setenv("NO_COLOR", "1")
    print_verdict_line(Screen(plain), make_verdict())
    assert "32m" in coloured.getvalue()
    assert "32m" not in plain.getvalue()


def test_of_very_many_expectations_the_worst_are_printed_unless_all_are_asked_for():
    calm = [make_outcome("calm", expectation=f"top token {n}") for n in range(400)]
    verdict = make_verdict(*calm, make_outcome("swap", "failed"), verdict="refuted")
    text = verdict_text(verdict)
    assert text.count("✔ held") == 299 and text.count("✘ failed") == 1
    assert "… and 101 more, none of them worse: tracer show two_hop/2026" in text
    file = io.StringIO()
    print_verdict(Screen(file, width=80), verdict, per_prompt=True)
    assert file.getvalue().count("top token") == 401
    assert "more, none of them" not in file.getvalue()


TOKENS = "logit(' New York') − logit(' San José') where the prompts' own 'a b' stand, 50 %"


def shown(width: int, *, terminal: bool = False) -> list[str]:
    file = Terminal() if terminal else io.StringIO()
    screen = Screen(file, width=width)
    cells = [screen.text(TOKENS), screen.text("2026-01-02"), screen.text("✔ held")]
    screen.table([("what", 1), ("date", 0), ("outcome", 0)], [[cells[0]], cells])
    screen.paragraph(TOKENS)
    return [re.sub("\x1b\\[[0-9;]*m", "", line) for line in file.getvalue().splitlines()]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", range(30, 110))
def test_no_line_ends_inside_of_a_quoted_token(width: int):
    for terminal in (False, True):
        lines = shown(width, terminal=terminal)
        whole = " ".join(" ".join(lines).split())
        assert whole.count("' New York'") == whole.count("' San José'") == 3
        for token in ("' New York'", "' San José'", "'a b'", "50 %"):
            assert sum(line.count(token) for line in lines) == 3, (width, token, lines)


def test_cells_stand_one_below_the_other_where_columns_have_no_room():
    assert shown(59)[1:4] == shown(59, terminal=True)[1:4]
    assert "  date      2026-01-02" in shown(59)
    assert any(line.split() == ["what", "date", "outcome"] for line in shown(60))


def test_what_is_piped_is_not_cut():
    row = [f"{n}" * 30 for n in range(4)]
    for terminal, is_whole_line in ((False, True), (True, False)):
        file = Terminal() if terminal else io.StringIO()
        screen = Screen(file, width=80)
        screen.table([(f"c{n}", 0) for n in range(4)], [[screen.text(cell) for cell in row]])
        assert all(cell in file.getvalue() for cell in row)
        assert ("   ".join(row) in file.getvalue()) == is_whole_line
