from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command import Engine, Result, call, use_engine, write_file
from tests.records import make_record
from tracer.record import runs

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.chdir(tmp_path)
    return use_engine(monkeypatch)


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


def test_list_tells_of_each_hypothesis_and_its_latest_run(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    write_file(Path("hypotheses/b.yaml"), "b", expected="refuted")
    engine.refuting = {"b"}
    tracer_("run", "-k", "b", "-q")
    result = tracer_("list")
    assert result.code == 0
    first, second = result.out.split("b  hypotheses/b.yaml")
    assert "a  hypotheses/a.yaml" in first
    assert "Naming the capital goes through the state" in first
    first, second = " ".join(first.split()), " ".join(second.split())
    assert "5 prompts (3 held out) · 2 interventions · expected: consistent" in first
    assert "tags: two-hop · never run" in first
    assert "latest: refuted as expected (2026-01-02 03:04 UTC)" in second


def test_list_keeps_filters_and_tells_of_broken_files(tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    Path("hypotheses/b.yaml").write_text("")
    result = tracer_("list", "-k", "nothing")
    assert result.code == 4
    assert "hypotheses/b.yaml" in result.err
    assert result.out == ""
    assert tracer_("list", "-t", "x", "hypotheses/a.yaml").code == 5


def test_list_runs(engine: Engine, tracer_: Command):
    assert tracer_("list", "--runs").code == 5
    tracer_("run", str(write_file(Path("a.yaml"), "a")), "-q")
    folder = runs.create(Path("reports"), unfinished())
    Path("reports/a/broken").mkdir()
    Path("reports/a/broken/run.json").write_text("{")
    result = tracer_("list", "--runs")
    assert result.code == 0
    assert "consistent as expected" in result.out
    assert "unreadable" in result.out
    assert "unfinished" in result.out
    shown = tracer_("show", str(folder))
    assert shown.code == 4
    assert "`tracer run hypotheses/two_hop.yaml` takes it up again" in shown.err


def test_the_list_as_json(engine: Engine, tracer_: Command):
    file = write_file(Path("hypotheses/a.yaml"), "a")
    before = file.read_text()
    assert json.loads(tracer_("list", "--json").out)["hypotheses"][0]["latest"] is None
    tracer_("run", "-q")
    result = tracer_("list", "--json", str(file))
    assert file.read_text() == before
    [found] = json.loads(result.out)["hypotheses"]
    assert "Naming the capital" in result.err
    assert (found["hypothesis"], found["prompts"], found["held_out"]) == ("a", 5, 3)
    assert tracer_("list", "--runs", "--json", "runs.json").out
    document = json.loads(Path("runs.json").read_text())
    assert document["schema"] == "tracer.runs/1"
    assert document["runs"] == [found["latest"]]
    assert found["latest"]["started"] == "2026-01-02T03:04:05Z"
    assert found["latest"]["as_expected"] is True


def unfinished():
    return make_record()[0].model_copy(update={"status": "measuring"})


def test_show_prints_the_table_again_with_prompts(tracer_: Command):
    ran = tracer_("run", str(write_file(Path("a.yaml"), "a")))
    shown = tracer_("show", "a")
    assert (shown.code, shown.out) == (0, ran.out)
    assert "\n  dallas" not in shown.out
    assert "\n  dallas" in tracer_("show", "a", "-v").out


@pytest.mark.parametrize("command", ["show", "judge", "report"])
def test_a_run_that_is_not_there(tracer_: Command, command: str):
    result = tracer_(command, "nothing")
    assert result.code == 4
    assert "no run 'nothing'" in result.err


def test_judge_rewrites_verdict_and_report(tracer_: Command):
    tracer_("run", str(write_file(Path("a.yaml"), "a")))
    [folder] = Path("reports/a").iterdir()
    before = (folder / "verdict.json").read_text()
    for name in ("verdict.json", "report.html"):
        (folder / name).unlink()
    result = tracer_("judge", "a")
    assert result.code == 0
    assert result.out.startswith("✔ CONSISTENT as expected")
    assert (folder / "verdict.json").read_text() == before
    assert (folder / "report.html").exists()


def test_judging_by_other_expectations_is_said_to_be_post_hoc(tracer_: Command):
    file = write_file(Path("a.yaml"), "a")
    tracer_("run", str(file))
    file.write_text(file.read_text().replace("above: 1.0", "above: 0.5"))
    result = tracer_("judge", "a", "--hypothesis", str(file))
    assert result.code == 0, result.err
    assert "changed after measuring" in result.out


def test_report_renders_again_elsewhere_and_several_with_a_page(tracer_: Command):
    for name in "ab":
        tracer_("run", str(write_file(Path(f"{name}.yaml"), name)), "-q")
    [folder] = Path("reports/a").iterdir()
    before = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    assert tracer_("report", "a").out.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_text() == before
    assert tracer_("report", "a", "--out", "x/a.html").code == 0
    assert Path("x/a.html").read_text() == before
    assert tracer_("report", "a", "b", "--out", "x/index.html").code == 0
    page = Path("x/index.html").read_text()
    assert f"../{(folder / 'report.html').as_posix()}" in page


def test_every_run_is_listed_those_that_cannot_be_read_too(tracer_: Command):
    result = tracer_("run", *(str(write_file(Path(f"{name}.yaml"), name)) for name in "ab"))
    assert "reports/index.html" in result.out
    page = Path("reports/index.html").read_text()
    assert page.count("<tr data-kind=") == 2 and page.count("report.html") == 2
    runs.create(Path("reports"), unfinished())
    for name, text in {"cut": '{"schema": "tra', "old": '{"schema": "tracer.run/0"}'}.items():
        Path(f"reports/{name}/1").mkdir(parents=True)
        Path(f"reports/{name}/1/run.json").write_text(text)
    [folder] = Path("reports/a").iterdir()
    (folder / "measurements.safetensors").unlink()
    assert tracer_("report").code == 0
    page = Path("reports/index.html").read_text()
    assert page.count('<tr data-kind="unread"') == 4
    for said in ("not JSON", "written by an older tracer", "measurements.safetensors is missing"):
        assert said in page
    assert "was stopped before everything was measured" in page


def test_a_summary_for_a_pull_request(tracer_: Command):
    tracer_("run", str(write_file(Path("a.yaml"), "a")), "-q")
    printed = tracer_("report", "a", "--markdown")
    assert printed.out.startswith("### ≈ consistent: a")
    assert tracer_("report", "a", "a", "--markdown", "--out", "x.md").code == 0
    assert Path("x.md").read_text().count("### ≈") == 2
    assert tracer_("report", "--markdown").code == 4


def test_no_folder_is_made_to_list_no_runs_in(tracer_: Command):
    result = tracer_("report", "--in", "typo")
    assert result.code == 4
    assert "there is no folder typo/" in result.err
    assert not Path("typo").exists()


def test_show_tells_programs_the_verdict_that_was_written(tracer_: Command):
    tracer_("run", str(write_file(Path("a.yaml"), "a")), "-q")
    document = json.loads(tracer_("show", "a", "--json").out)
    [written] = Path("reports/a").glob("*/verdict.json")
    verdict = json.loads(written.read_text())
    assert document["run"] == verdict["run"] == f"a/{written.parent.name}"
    assert document["verdict"] == verdict | {"seal": document["verdict"]["seal"]}
    assert document["as_expected"] is True
    assert [Path(path).name for path in document["files"]] == ["report.html", "run.json"]
