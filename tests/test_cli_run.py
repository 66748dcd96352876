from __future__ import annotations

import errno
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command import Engine, Result, call, use_engine, write_file
from tracer.errors import EngineError, ModelUnavailable, OutOfReach

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    return use_engine(monkeypatch)


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


def test_a_run_prints_its_verdict_and_writes_its_files(engine: Engine, tracer_: Command):
    file = write_file(Path("two_hop.yaml"))
    result = tracer_("run", str(file))
    assert result.code == 0
    assert result.out.startswith("✔ CONSISTENT as expected  two_hop")
    assert "\x1b" not in result.out + result.err
    assert "importing PyTorch and TransformerLens\nmeasuring\n" in result.err
    [path] = Path("reports").glob("two_hop/*/report.html")
    assert str(path) in result.out
    assert path.with_name("verdict.json").exists()


def test_not_as_expected_is_1(engine: Engine, tracer_: Command):
    engine.refuting = {"two_hop", "negative"}
    write_file(Path("hypotheses/a.yaml"))
    write_file(Path("hypotheses/b.yaml"), "negative", expected="refuted")
    assert tracer_("run").code == 1
    result = tracer_("run", "-k", "negative")
    assert result.code == 0
    assert "✔ REFUTED as expected  negative" in result.out


def test_a_rate_over_all_hypotheses(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"))
    write_file(Path("hypotheses/b.yaml"), "other")
    result = tracer_("run", "--fdr", "0.05", "--json", "verdicts.json")
    assert "false discovery rate 0.05 (Benjamini and Yekutieli): " in result.out
    family = json.loads(Path("reports/family.json").read_text())
    assert json.loads(Path("verdicts.json").read_text())["family"] == family
    assert [member["hypothesis"] for member in family["members"]] == ["two_hop", "other"]
    taken_back = any(
        not member["discovery"] and not member["reason"] for member in family["members"]
    )
    assert result.code == (1 if taken_back else 0)
    refused = tracer_("run", "--fdr", "0.05", "--failed")
    assert refused.code == 4 and "--fdr with '--failed'" in refused.err


def test_held_without_the_evidence_is_6_where_the_file_says_confirmed(
    engine: Engine, tracer_: Command
):
    file = str(write_file(Path("a.yaml"), "a", expected="confirmed"))
    result = tracer_("run", file, "--json", "verdicts.json")
    assert result.code == 6
    assert result.out.startswith("≈ CONSISTENT  a  ")
    assert "missing: circular: texas was chosen toward an output" in " ".join(result.out.split())
    assert json.loads(Path("verdicts.json").read_text())["results"][0]["exit_code"] == 6
    assert tracer_("run", file, "--no-strict").code == 0
    assert tracer_("judge", "a").code == 6
    assert tracer_("run", file, str(write_file(Path("b.yaml"), "b"))).code == 6
    engine.refuting = {"b"}
    assert tracer_("run", file, "b.yaml").code == 1
    assert tracer_("run", "b.yaml", "--no-strict").code == 1


def test_the_worst_ending_wins_and_the_others_still_run(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    write_file(Path("hypotheses/b.yaml"), "b")
    Path("hypotheses/c.yaml").write_text("hypothesis: 3\n")
    engine.raises = {"a": EngineError("prompt 'dallas': the logits are not finite.")}
    result = tracer_("run")
    assert result.code == 3
    assert "✔ CONSISTENT as expected  b" in result.out
    assert "prompt 'dallas': the logits are not finite." in result.err
    assert "hypotheses/c.yaml:1" in result.err
    engine.raises = {"a": ModelUnavailable("no such model.")}
    assert tracer_("run").code == 4
    engine.raises, engine.refuting = {}, {"b"}
    assert tracer_("run", "hypotheses/a.yaml", "hypotheses/b.yaml").code == 1


def asking_to_be_skipped(path: str, name: str) -> None:
    file = write_file(Path(path), name)
    file.write_text(file.read_text().replace("claim:", "if_absent: skip\nclaim:"))


def test_what_is_absent_is_skipped_where_the_file_says_so(engine: Engine, tracer_: Command):
    asking_to_be_skipped("hypotheses/a.yaml", "a")
    write_file(Path("hypotheses/b.yaml"), "b")
    engine.raises = {"a": OutOfReach("org/name is gated.")}
    result = tracer_("run", "-x", "--json", "verdicts.json", "--junitxml", "verdicts.xml")
    assert result.code == 0
    assert "− SKIPPED  a  org/name is gated.\n" in result.out
    assert "2 hypotheses: 1 as expected, 1 skipped" in result.out
    told = json.loads(Path("verdicts.json").read_text(encoding="utf-8"))["results"][0]
    assert (told["exit_code"], told["skipped"]) == (5, "org/name is gated.")
    assert "error" not in told
    assert ET.parse("verdicts.xml").getroot().get("skipped") == "1"
    assert tracer_("run", "-k", "a").code == 5
    engine.refuting = {"b"}
    assert tracer_("run").code == 1


def test_absence_is_an_error_where_the_file_does_not_say(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    asking_to_be_skipped("hypotheses/b.yaml", "b")
    gated, misspelt = OutOfReach("org/name is gated."), ModelUnavailable("no such folder.")
    engine.raises = {"a": gated, "b": misspelt}
    assert tracer_("run", "-k", "a").code == 4
    result = tracer_("run", "-k", "b")
    assert result.code == 4
    assert "no such folder." in result.err


def test_exitfirst_stops_at_the_first_that_is_not_as_expected(engine: Engine, tracer_: Command):
    for name in "abc":
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    engine.refuting = {"b"}
    assert tracer_("run", "-x").code == 1
    assert [asked["file"].hypothesis.hypothesis for asked in engine.asked] == ["a", "b"]


def test_an_interruption_stops_everything_and_says_how_to_go_on(engine: Engine, tracer_: Command):
    for name in "abc":
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    engine.raises = {"b": KeyboardInterrupt()}
    result = tracer_("run", "--json", "out.json")
    assert result.code == 2
    assert "the same command resumes" in result.err
    assert len(engine.asked) == 2
    codes = [r["exit_code"] for r in json.loads(Path("out.json").read_text())["results"]]
    assert codes == [0, 2]


def test_failed_selects_what_came_out_otherwise_the_last_time(engine: Engine, tracer_: Command):
    for name in ("good", "bad", "never"):
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    engine.refuting = {"bad"}
    tracer_("run", "-k", "good or bad")
    engine.asked.clear()
    tracer_("run", "--failed")
    assert [asked["file"].hypothesis.hypothesis for asked in engine.asked] == ["bad"]
    engine.refuting = set()
    assert tracer_("run", "--failed").code == 0
    assert tracer_("run", "--failed").code == 5


def test_a_lock_is_found_before_the_engine_is_asked(engine: Engine, tracer_: Command):
    file = str(write_file(Path("two_hop.yaml")))
    result = tracer_("run", file, "--lock", "two_hop")
    assert (result.code, engine.asked) == (4, [])
    assert "no run 'two_hop'" in result.err
    tracer_("run", file)
    tracer_("run", file, "--lock", "two_hop")
    [first, _] = sorted(Path("reports/two_hop").iterdir())
    assert [asked["lock"] for asked in engine.asked] == [None, first]


def test_several_files_are_summed_up(engine: Engine, tracer_: Command):
    for name in "ab":
        write_file(Path(f"{name}.yaml"), name)
    engine.refuting = {"b"}
    result = tracer_("run", "a.yaml", "b.yaml", "-q")
    assert [line[:12] for line in result.out.splitlines()] == [
        "✔ CONSISTENT",
        "✘ REFUTED (e",
        "2 hypotheses",
    ]
    assert result.out.endswith("2 hypotheses: 1 as expected, 1 not as expected\n")


def test_nothing_selected_is_5(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"))
    result = tracer_("run", "-k", "nonsense")
    assert (result.code, engine.asked) == (5, [])
    assert "nothing selected" in result.err
    assert not Path("reports").exists()
    assert tracer_("run", "-t", "two-hop").code == 0


def test_overrides_reach_the_hypothesis(engine: Engine, tracer_: Command):
    file = str(write_file(Path("two_hop.yaml")))
    arguments = ["--model", "smollm2-135m", "--device", "cpu", "--dtype", "bfloat16"]
    result = tracer_(
        "run", file, *arguments, "--seed", "7", "--set", "controls.random=9", "--fresh", "-q"
    )
    assert result.code in (0, 1), result.err
    hypothesis = engine.asked[0]["file"].hypothesis
    assert hypothesis.model_spec.model_dump() == {
        "name": "smollm2-135m",
        "revision": None,
        "dtype": "bfloat16",
        "device": "cpu",
    }
    assert (hypothesis.seed, hypothesis.controls.random) == (7, 9)
    assert engine.asked[0]["fresh"]
    assert len(result.out.splitlines()) == 1
    assert result.err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--dtype", "int3"], "model.dtype"),
        (["--set", "controls.rando=9"], "controls"),
        (["--features", "clt"], "features"),
        (["--seed", "many"], "--seed"),
        (["--nonsense"], "--nonsense"),
        (["-k", "a and"], "did not expect the end"),
        (["absent.yaml"], "absent.yaml: no such file or folder."),
    ],
)
def test_bad_usage_is_4_and_a_sentence(
    engine: Engine, tracer_: Command, arguments: list[str], sentence: str
):
    file = str(write_file(Path("two_hop.yaml")))
    result = tracer_("run", file, *arguments)
    assert result.code == 4
    assert sentence in result.err
    assert "Traceback" not in result.err
    assert engine.asked == []


def test_a_folder_that_cannot_be_written_is_found_out_first(engine: Engine, tracer_: Command):
    file = str(write_file(Path("two_hop.yaml")))
    Path("taken").write_text("a file")
    for out in ("taken", "taken/below"):
        result = tracer_("run", file, "--out", out)
        assert result.code == 4
        assert f"--out {out}: cannot write there" in result.err
    result = tracer_("run", file, "--json", "taken/below/x.json")
    assert result.code == 4
    assert engine.asked == []


def test_a_full_disk_is_a_sentence(engine: Engine, tracer_: Command):
    file = str(write_file(Path("two_hop.yaml")))
    engine.raises = {"two_hop": OSError(errno.ENOSPC, "No space left on device", "run.json")}
    result = tracer_("run", file)
    assert result.code == 3
    assert "run.json: No space left on device." in result.err
    engine.raises = {"two_hop": PermissionError(errno.EACCES, "Permission denied", "run.json")}
    assert tracer_("run", file).code == 4


def test_json_on_stdout_stands_alone(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    Path("hypotheses/b.yaml").write_text("claim: x\n")
    result = tracer_("run", "--json", "-")
    document = json.loads(result.out)
    assert document["schema"] == "tracer.verdicts/1"
    assert document["exit_code"] == result.code == 4
    by_file = {each["file"]: each for each in document["results"]}
    assert by_file["hypotheses/a.yaml"]["verdict"]["schema"] == "tracer.verdict/1"
    assert by_file["hypotheses/a.yaml"]["as_expected"] is True
    assert by_file["hypotheses/b.yaml"]["mistakes"][0]["message"]
    assert "✔ CONSISTENT as expected  a" in result.err


def test_junit_tells_of_failures_and_of_files_without_a_verdict(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    write_file(Path("hypotheses/b.yaml"), "b")
    Path("hypotheses/c.yaml").write_text("")
    engine.refuting = {"b"}
    assert tracer_("run", "--junitxml", "out/verdicts.xml").code == 4
    suites = {suite.get("name"): suite for suite in ET.parse("out/verdicts.xml").getroot()}
    assert suites.keys() == {"a", "b", "hypotheses/c.yaml"}
    assert suites["a"].get("failures") == suites["a"].get("errors") == "0"
    assert suites["b"].get("failures") != "0"
    assert suites["hypotheses/c.yaml"].get("errors") == "1"


@pytest.mark.parametrize("option", ["--json", "--junitxml"])
def test_what_is_no_file_is_refused_before_anything_is_measured(
    engine: Engine, tracer_: Command, option: str
):
    write_file(Path("hypotheses/a.yaml"), "a")
    for path, sentence in {
        "/dev/null": "/dev/null: this is not a regular file, so it is not replaced by one.",
        "hypotheses": f"{option} hypotheses: this is a folder, not a file.",
    }.items():
        result = tracer_("run", f"{option}={path}")
        assert (result.code, result.err.strip(), engine.asked) == (4, sentence, [])


def test_junit_takes_standard_output_alone(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    result = tracer_("run", "--junitxml", "-")
    assert ET.fromstring(result.out).find("testsuite").get("name") == "a"
    assert "✔ CONSISTENT as expected  a" in result.err
    both = tracer_("run", "--junitxml", "-", "--json", "-")
    assert both.code == 4 and "standard output takes one of them" in both.err
    assert not Path("-").exists()
