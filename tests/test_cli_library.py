"""The page that lists hypotheses with their verdicts."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.command import Engine, Result, call, use_engine, write_file
from tests.records import make_record
from tracer.report.library import LibraryEntry, render_library

Command = Callable[..., Result]
ROOT = Path(__file__).parent.parent


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.chdir(tmp_path)
    return use_engine(monkeypatch)


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


def _lines(page: Path) -> list[str]:
    return [line for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "| ["]


def _rows(page: Path) -> dict[str, str]:
    return {line[3 : line.index("]")].replace("\\_", "_"): line for line in _lines(page)}


def test_each_file_is_a_row_with_the_verdict_of_its_own_run(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    write_file(Path("hypotheses/b.yaml"), "b", expected="refuted")
    write_file(Path("hypotheses/c.yaml"), "c")
    engine.refuting = {"b"}
    tracer_("run", "-k", "a or b", "-q")
    Path("docs").mkdir()
    assert tracer_("library", "--out", "docs/page.md").code == 0
    rows = _rows(Path("docs/page.md"))
    assert list(rows) == ["a", "b", "c"]
    assert "[a](../hypotheses/a.yaml)" in rows["a"]
    assert "| consistent, as stated |" in rows["a"]
    assert "2026-01-02" in rows["a"]
    assert "](../reports/a/20260102T030405Z-000001/report.html)" in rows["a"]
    assert tracer_("library", "--no-links", "--out", "docs/bare.md").code == 0
    assert "](../reports" not in Path("docs/bare.md").read_text(encoding="utf-8")
    assert "| 20260102T030405Z-000001 |" in _rows(Path("docs/bare.md"))["a"]
    assert "| refuted, as stated |" in rows["b"]
    assert "| not run |" in rows["c"]
    assert (
        "3 hypotheses: 0 confirmed, 1 consistent, 1 refuted, 0 inconclusive, 1 without a run."
        in Path("docs/page.md").read_text(encoding="utf-8")
    )


def test_a_run_of_what_the_file_said_before_does_not_count(engine: Engine, tracer_: Command):
    path = write_file(Path("hypotheses/a.yaml"), "a")
    tracer_("run", "-q")
    reworded = path.read_text().replace("goes through", "goes by way of")
    path.write_text(reworded.replace("expected: consistent", "expected: confirmed"))
    tracer_("library")
    assert "| consistent, **not** as stated |" in _rows(Path("library.md"))["a"]
    path.write_text(path.read_text() + "seed: 7\n")
    tracer_("library")
    assert "| not run |" in _rows(Path("library.md"))["a"]


def test_another_model_is_a_row_of_its_own_and_is_not_counted(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    tracer_("run", "-q", "--model", "smollm2-135m")
    [path] = Path("reports/a").glob("*/run.json")
    written = json.loads(path.read_text())
    written["model"]["name"] = "other"  # the stand-in engine calls every model the same
    path.write_text(json.dumps(written))
    tracer_("library")
    [alone] = _lines(Path("library.md"))
    assert "| other |" in alone
    tracer_("run", "-q")
    tracer_("library")
    own, other = _lines(Path("library.md"))
    assert "| gemma-3-270m |" in own and "| other |" in other
    assert "1 hypotheses: 0 confirmed, 1 consistent" in Path("library.md").read_text()


def test_text_of_a_file_is_no_markup():
    declared = make_record()[0].hypothesis
    claim = "<b>x</b> | [y](javascript:z)\nw"
    page = render_library(
        [LibraryEntry(declared.model_copy(update={"claim": claim}), "a b.yaml", None, None)]
    )
    assert r"| &lt;b&gt;x&lt;/b&gt; \| \[y\](javascript:z) w |" in page
    assert "(a%20b.yaml)" in page


def test_only_a_web_address_is_a_link():
    declared = make_record()[0].hypothesis
    sources = ("javascript:alert(1)", "Nanda et al. 2023", "https://a.b/c")
    made = (declared.model_copy(update={"source": source}) for source in sources)
    page = render_library([LibraryEntry(each, "a.yaml", None, None) for each in made])
    assert "](javascript" not in page
    assert "| javascript:alert(1) |" in page
    assert "| Nanda et al. 2023 |" in page
    assert "| [a.b](https://a.b/c) |" in page


def test_the_page_of_this_library_lists_every_file():
    rows = _rows(ROOT / "docs" / "library.md")
    files = (ROOT / "hypotheses").rglob("*.yaml")
    assert sorted(rows) == sorted(path.stem for path in files)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=str
)
def test_every_link_of_a_page_leads_to_what_a_clone_has(page: Path):
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    if not kept:
        pytest.skip("not in a clone")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    targets = {os.path.relpath(page.parent / unquote(link), ROOT) for link in links}
    files = set(kept.splitlines())
    folders = {str(parent) for file in files for parent in Path(file).parents}
    assert targets - files - folders == set()
