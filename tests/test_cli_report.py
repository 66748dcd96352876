"""A run that cannot be opened: a page that says why and what to do, a sentence, and exit code 4."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command import Result, call, use_engine, write_file
from tests.test_dashboard_bad_input import cut, remove, rewrite

Command = Callable[..., Result]
AGAIN = "tracer run hypotheses/two_hop.yaml"
BENT = {
    "older": (rewrite("run.json", schema="tracer.run/0"), "written by an older tracer", AGAIN),
    "newer": (rewrite("run.json", schema="tracer.run/9"), "written by a newer tracer", AGAIN),
    "cut short": (cut("run.json"), "cut short, or not JSON", AGAIN),
    "misfit": (rewrite("run.json", colour=1), "colour", AGAIN),
    "running": (rewrite("run.json", status="measuring"), "was stopped before", "tracer report a/"),
    "no tensors": (
        remove("measurements.safetensors"),
        "not whole, measurements.safetensors is missing",
        AGAIN,
    ),
    "cut tensors": (cut("measurements.safetensors"), "no safetensors file", AGAIN),
    "verdict": (cut("verdict.json"), "cut short, or not JSON", "tracer judge a/"),
}


@pytest.fixture
def tracer_(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    command = partial(call, capfd)
    for name in "ab":
        command("run", str(write_file(Path(f"{name}.yaml"), name)), "-q")
    return command


def folder_of(name: str) -> Path:
    [folder] = (path for path in Path(f"reports/{name}").iterdir() if path.is_dir())
    return folder


def text_of(page: Path) -> str:
    body = re.sub(r"<(style|script)>.*?</\1>", "", page.read_text(), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", body)))


@pytest.mark.parametrize("name", BENT)
def test_one_unreadable_run_is_a_page_and_a_sentence(tracer_: Command, name: str):
    bend, problem, command = BENT[name]
    bend(folder_of("a"))
    result = tracer_("report", str(folder_of("a")), "--out", "x/page.html")
    assert result.code == 4
    assert problem in result.err and "Traceback" not in result.err
    assert result.out.strip() == "x/page.html"
    text = text_of(Path("x/page.html"))
    assert "This run cannot be shown" in text and problem in text and command in text
    assert "report.html" in {path.name for path in folder_of("a").iterdir()}


def test_what_is_still_readable_is_shown(tracer_: Command):
    remove("measurements.safetensors")(folder_of("a"))
    tracer_("report", "a", "--out", "page.html")
    text = text_of(Path("page.html"))
    assert "consistent: all 6 expectations held" in text
    assert "Naming the capital goes through the state" in text
    assert "hypothesis: two_hop claim: Naming" in text


def test_the_page_of_a_run_without_one_lies_in_its_folder(tracer_: Command):
    folder = folder_of("a")
    rewrite("run.json", schema="tracer.run/0")(folder)
    kept = (folder / "report.html").read_bytes()
    result = tracer_("report", "a")
    assert result.code == 4 and "an earlier page of this run, kept as it is" in result.err
    assert (folder / "report.html").read_bytes() == kept
    (folder / "report.html").unlink()
    assert tracer_("report", "a").out.strip() == str(folder / "report.html")
    assert "written by an older tracer" in text_of(folder / "report.html")


def test_the_others_are_written_and_the_page_that_links_them_too(tracer_: Command):
    cut("run.json")(folder_of("a"))
    (folder_of("b") / "report.html").unlink()
    result = tracer_("report", str(folder_of("a")), "b", "--out", "index.html")
    assert result.code == 4
    assert (folder_of("b") / "report.html").exists()
    page = Path("index.html").read_text()
    assert page.count('<tr data-kind="unread"') == 1
    assert page.count('<tr data-kind="consistent"') == 1
    assert page.count("report.html") == 2


def test_a_summary_for_a_pull_request_says_it_too(tracer_: Command):
    cut("run.json")(folder_of("a"))
    result = tracer_("report", str(folder_of("a")), "b", "--markdown")
    assert result.code == 4
    assert result.out.startswith("### – unread: a\n\nreports/a/")
    assert "### ≈ consistent: b" in result.out


def test_a_broken_verdict_is_judged_again_as_the_page_says(tracer_: Command):
    folder = folder_of("a")
    before = (folder / "verdict.json").read_bytes()
    cut("verdict.json")(folder)
    assert tracer_("judge", "a").code == 0
    assert (folder / "verdict.json").read_bytes() == before


EVIL = "<script>alert(1)</script>{{ 7*7 }}</title>\x00\u202e"


def test_text_of_a_stranger_is_text_on_that_page_too(tracer_: Command):
    told = {"file": f"{EVIL}.yaml", "yaml": EVIL, "hypothesis": {"claim": EVIL}, "schema": EVIL}
    rewrite("run.json", **told)(folder_of("a"))
    tracer_("report", "a", "--out", "page.html")
    page = Path("page.html").read_text()
    assert page.count("<script>") == 1 and page.count("</title>") == 1
    assert "{{ 7*7 }}" in page and not re.search("[\x00\u202e]", page)


def test_what_a_pattern_takes_beside_runs_is_left_out(tracer_: Command):
    runs = sorted(str(path) for path in Path("reports/a").iterdir() if path.is_dir())
    Path("reports/a/registered.json").write_text("{}")
    result = tracer_("report", "reports/a/registered.json", *runs)
    assert (result.code, result.err) == (0, "")
    assert [str(Path(line).parent) for line in result.out.splitlines()] == runs
    tracer_("report")
    for name in ("reports/a/registered.json", "reports/index.html", "reports/library.md"):
        result = tracer_("report", name)
        assert (result.code, result.err) == (
            4,
            f"{name}: this is a file beside runs; name a run's folder.\n",
        )


def test_without_a_run_all_are_gathered_as_one_command_would_have_them(tracer_: Command):
    cells = ("--model", "gemma-3-270m", "--model", "me/far")
    tracer_("run", "a.yaml", *cells, "-q")
    page, index = Path("reports/matrix-a.html"), Path("reports/index.html")
    written = page.read_text()
    tracer_("run", "b.yaml", "-q", "--set", "seed=7")
    for each in (page, index):
        each.unlink()
    result = tracer_("report")
    assert (result.code, result.out.split()) == (
        0,
        ["reports/index.html", "reports/matrix-a.html", "reports/library.md"],
    )
    assert page.read_text() == written
    assert index.read_text().count('<tr data-kind="consistent"') == 5
    lines = Path("reports/library.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line[:4] in ("| a ", "| b ")]
    newest = max(path.name for path in Path("reports/b").iterdir() if path.is_dir())
    assert [row[0] for row in rows] == ["| a", "| a", "| b"]
    assert f"[{newest}](b/{newest}/report.html)" in rows[2][6]
    assert "2 hypotheses: 0 confirmed, 2 consistent" in "\n".join(lines)
    write_file(Path("hypotheses/two_hop.yaml"))  # which these runs say they are of
    tracer_("report")
    page = Path("reports/library.md").read_text()
    assert "| [a](../hypotheses/two_hop.yaml) | Naming the capital" in page
