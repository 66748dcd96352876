"""`compare`, `bless` and `run --baseline` from the shell."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command import call, use_engine, write_file


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_file(Path("hypotheses/two_hop.yaml"))
    return use_engine(monkeypatch)


def ran(capfd, *arguments):
    return call(capfd, "run", "-q", "hypotheses/two_hop.yaml", *arguments)


def test_what_is_the_same_ends_in_0_and_what_is_not_in_1(engine, capfd):
    for refuting in (set(), set(), {"two_hop"}):
        engine.refuting = refuting
        ran(capfd)
    ids = [f"two_hop/20260102T030405Z-00000{n}" for n in (1, 2, 3)]
    same = call(capfd, "compare", ids[0], ids[1])
    assert (same.code, "SAME  two_hop" in same.out) == (0, True)
    other = call(capfd, "compare", ids[0], "latest")
    assert other.code == 1
    assert "REGRESSED in" in other.out
    assert max(map(len, other.out.splitlines())) <= 80
    document = json.loads(call(capfd, "compare", ids[0], "two_hop", "--json", "-").out)
    assert document["schema"] == "tracer.comparison/1"
    assert document["findings"][0]["what"] == "verdict"
    assert document["same"] is False


def test_a_blessed_run_is_what_later_ones_are_held_to(engine, capfd):
    ran(capfd)
    blessed = call(capfd, "bless", "two_hop")
    assert blessed.out.splitlines()[0] == "hypotheses/baselines/two_hop.json"
    before = Path("hypotheses/baselines/two_hop.json").read_bytes()
    assert ran(capfd, "--baseline", "auto").code == 0
    engine.refuting = {"two_hop"}
    bad = ran(
        capfd, "--baseline", "hypotheses/baselines", "--junitxml", "j.xml", "--json", "v.json"
    )
    assert bad.code == 1
    failures = [
        case.get("name")
        for case in ET.parse("j.xml").iter("testcase")
        if case.get("classname") == "two_hop.baseline" and case.find("failure") is not None
    ]
    assert "verdict" in failures
    [result] = json.loads(Path("v.json").read_text())["results"]
    assert result["regressed"] is True
    assert Path("hypotheses/baselines/two_hop.json").read_bytes() == before
    again = call(capfd, "bless", "two_hop")
    assert "REGRESSED" in again.out
    assert ran(capfd, "--baseline", "hypotheses/baselines/two_hop.json", "--junitxml", "j.xml")
    assert 'name="as in two_hop/' in Path("j.xml").read_text()


def test_without_a_baseline_it_says_so_and_with_a_bad_one_nothing_is_measured(engine, capfd):
    lacking = ran(capfd, "--baseline", "auto")
    assert lacking.code == 0
    assert "no baseline; `tracer bless` makes one" in lacking.err
    asked = len(engine.asked)
    bad = ran(capfd, "--baseline", "nowhere.json")
    assert (bad.code, len(engine.asked)) == (4, asked)
    assert "there is no baseline here" in bad.err


def test_tolerances_are_blessed_with_the_run(engine, capfd):
    ran(capfd)
    call(capfd, "bless", "two_hop", "--effect", "100", "--overlap", "0")
    kept = json.loads(Path("hypotheses/baselines/two_hop.json").read_text())
    assert kept["tolerances"] == {"overlap": 0.0, "effect": 100.0, "share": 0.0}
    engine.refuting = {"two_hop"}
    ran(capfd)
    told = call(capfd, "compare", "hypotheses/baselines/two_hop.json", "two_hop", "--json", "-").out
    assert {f["kind"] for f in json.loads(told)["findings"]} == {"verdict", "outcome"}
    bad = call(capfd, "compare", "two_hop", "two_hop", "--overlap", "2")
    assert bad.code == 4
    assert "--overlap" in bad.err
