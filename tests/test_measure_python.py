"""Expectations written in Python: declared by their text, asked when measured, judged anywhere."""

from __future__ import annotations

import linecache
from hashlib import sha256
from pathlib import Path

import pytest

import tracer
from tests.command import call
from tests.tiny_file import write_tiny
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.expectations import python

DIFF = [" Sacramento", " Austin"]


@pytest.fixture(autouse=True)
def own_functions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(python, "_DEFINED", {})


def defined(text: str, name: str = "judge", number: int = 0):
    """A function as a notebook's cell defines it."""
    file = f"<cell {number} of {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"tracer": tracer}
    exec(compile(text, file, "exec"), space)
    return space[name]


def cell(body: str, number: int = 0) -> str:
    text = f"@tracer.expectation\ndef judge(trial):\n    {body}\n"
    defined(text, number=number)
    return text


def run_of(tiny: Path, folder: Path, *expect, prompts=("dallas", "plano")):
    swap = {
        "prompts": list(prompts),
        "clamp": {"texas": 0, "california": 1.5},
        "expect": [{"python": "judge", "reads": DIFF}, *expect],
    }
    path = write_tiny(folder, tiny, interventions={"swap": swap})
    return tracer.run(path, reports=folder / "reports")


RISES = """return (
        trial.clamped.tokens[" Sacramento"].logit - trial.clamped.tokens[" Austin"].logit
        > trial.clean.tokens[" Sacramento"].logit - trial.clean.tokens[" Austin"].logit
    )"""


def outcomes(run):
    return [each.outcome for each in run.verdict.outcomes]


def test_it_says_what_the_same_test_of_a_file_says(tiny, tmp_path):
    cell(RISES)
    run = run_of(tiny, tmp_path, {"logit_diff": DIFF, "rises_by": 0})
    mine, theirs = run.verdict.outcomes[:2], run.verdict.outcomes[2:]
    assert [(e.split, e.outcome) for e in mine] == [(e.split, e.outcome) for e in theirs]
    assert {each.outcome for each in mine} == {"held"}


def test_its_text_and_hash_are_declared_recorded_and_shown(tiny, tmp_path):
    text = cell(RISES)
    run = run_of(tiny, tmp_path)
    [expected] = run.record.hypothesis.interventions["swap"].expect
    assert expected.source == text
    assert expected.sha256 == sha256(text.encode()).hexdigest()
    page = run.report().read_text(encoding="utf-8")
    assert expected.sha256 in page and "Python code that judges" in page
    assert "trial.clamped.tokens[&#34; Sacramento&#34;].logit" in page
    told = f"judged by Python code, judge (SHA-256 {expected.sha256[:12]})"
    assert any(each.startswith(told) for each in run.verdict.caveats)
    assert "judged by Python code" in str(run)


def test_a_verdict_that_rests_on_it_is_consistent_at_best(tiny, tmp_path):
    cell(RISES)
    run = run_of(tiny, tmp_path)
    assert run.verdict.verdict == "consistent"
    assert "matched controls: what the Python function judge says has none" in run.verdict.missing


def test_it_is_judged_again_where_it_is_not_defined(tiny, tmp_path, monkeypatch, capfd):
    cell(RISES)
    run = run_of(tiny, tmp_path)
    monkeypatch.setattr(python, "_DEFINED", {})
    assert tracer.Run.open(run.path).verdict == run.verdict
    assert "CONSISTENT" in call(capfd, "show", str(run.path)).out


def test_what_is_registered_reads_back_where_it_is_not_defined(tiny, tmp_path, monkeypatch):
    text = cell(RISES)
    run = run_of(tiny, tmp_path)
    monkeypatch.setattr(python, "_DEFINED", {})
    declared = tmp_path / "declared.yaml"
    declared.write_text(run.record.registration.declared, encoding="utf-8")
    [expected] = tracer.load(declared).interventions["swap"].expect
    assert (expected.source, expected.function) == (text, None)


def test_another_text_is_another_claim(tiny, tmp_path):
    cell(RISES)
    run = run_of(tiny, tmp_path)
    cell("return True", number=1)
    changed = tracer.load(tmp_path / "tiny.yaml")
    with pytest.raises(UsageError, match="was not asked"):
        run.judge(changed)


def test_what_holds_unclamped_as_well_is_vacuous(tiny, tmp_path):
    cell("return bool(trial.clamped.top)")
    run = run_of(tiny, tmp_path)
    assert outcomes(run) == ["vacuous", "vacuous"]
    assert "it holds unclamped as well" in run.verdict.outcomes[0].reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return trial.clamped.tokens[' Paris']", "the Python function judge raised KeyError"),
        ("return 1.5", "the Python function judge gave 1.5; True or False is expected"),
    ],
)
def test_what_says_nothing_is_untested(tiny, tmp_path, body, reason):
    cell(body)
    run = run_of(tiny, tmp_path)
    assert outcomes(run) == ["untested", "untested"]
    assert reason in run.verdict.outcomes[0].reason
    assert run.verdict.verdict == "inconclusive"


def test_a_file_runs_no_code(tiny, tmp_path, capfd):
    with pytest.raises(HypothesisError) as found:
        run_of(tiny, tmp_path)
    assert "no function 'judge' is defined" in str(found.value)
    assert "interventions.swap.expect[0].python" in str(found.value)
    done = call(capfd, "validate", str(tmp_path / "tiny.yaml"))
    assert done.code == 4 and "tiny.yaml:" in done.err


def test_a_declared_text_that_is_not_its_hash_is_refused(tiny, tmp_path):
    swap = {
        "prompts": ["dallas"],
        "clamp": {"texas": 0},
        "expect": [{"python": "judge", "source": "def judge(t): return True", "sha256": "0" * 64}],
    }
    with pytest.raises(HypothesisError, match="`sha256` is not that of `source`"):
        tracer.load(write_tiny(tmp_path, tiny, interventions={"swap": swap}))


def test_a_function_without_a_text_or_a_name_is_refused():
    with pytest.raises(UsageError, match="define it with `def`"):
        tracer.expectation(lambda trial: True)
    space: dict = {}
    exec(compile("def judge(trial): return True", "<nowhere>", "exec"), space)
    with pytest.raises(UsageError, match="the source of judge cannot be read"):
        tracer.expectation(space["judge"])
