from xml.etree import ElementTree as ET

import pytest
from records import AWAY, make_confirmable, make_reading, make_record
from verdicts import make_outcome, make_verdict

from tracer.evidence.judge import judge_run
from tracer.record.verdict import PromptOutcome
from tracer.report.junit import Skipped, junit_xml


def suites(*verdicts):
    # The text is bytes on disk: an encoding declaration is refused in a str.
    return ET.fromstring(junit_xml(verdicts).encode())


def counts(element):
    return {name: int(element.get(name)) for name in ("tests", "failures", "errors", "skipped")}


def test_a_suite_is_a_hypothesis_and_a_case_an_expectation_on_a_split():
    verdict = judge_run(*make_confirmable())
    root = suites(verdict, verdict)
    first, second = root
    assert (first.tag, first.get("name")) == ("testsuite", "two_hop")
    assert ET.tostring(first).strip() == ET.tostring(second).strip()
    cases = first.findall("testcase")
    assert len(cases) == len(verdict.outcomes) == 16
    assert cases[0].get("classname") == "two_hop.ablate_texas"
    assert cases[1].get("name") == "top token: not ' Austin' on 5 of 5 prompts [held out]"
    assert counts(first) == {"tests": 16, "failures": 0, "errors": 0, "skipped": 0}
    assert counts(root) == {"tests": 32, "failures": 0, "errors": 0, "skipped": 0}


def test_names_tell_cases_apart():
    cases = list(suites(judge_run(*make_record())).iter("testcase"))
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)


def test_failed_is_a_failure_with_every_prompt():
    clamped = {("texas_to_california", "plano"): make_reading(Austin=0.5, Sacramento=0.1)}
    verdict = judge_run(*make_record(clamped=clamped))
    failed = [o for o in verdict.outcomes if o.outcome == "failed"]
    found = [case.find("failure") for case in suites(verdict).iter("testcase")]
    found = [failure for failure in found if failure is not None]
    assert len(found) == len(failed) > 0
    assert found[0].get("message").startswith("expected ' Sacramento' on 3 of 3 prompts; observed")
    assert "plano: failed: ' Austin' 0.50" in found[0].text
    assert "lubbock: held: ' Sacramento' 0.44" in found[0].text


def test_untested_is_skipped_with_its_reason():
    verdict = judge_run(*make_record(baselines={"dallas": AWAY}))
    (suite,) = suites(verdict)
    assert counts(suite) == {"tests": 12, "failures": 0, "errors": 0, "skipped": 12}
    reason = suite.find("testcase/skipped").get("message")
    assert reason == f"untested: {verdict.outcomes[0].reason}"
    assert "not ' Austin'" in reason


@pytest.mark.parametrize(
    ("verdict", "outcome", "expected", "result"),
    [
        ("refuted", "failed", "refuted", {"failures": 0, "errors": 0, "skipped": 0, "tests": 2}),
        ("confirmed", "held", "refuted", {"failures": 1, "errors": 0, "skipped": 0, "tests": 2}),
        ("inconclusive", "untested", "refuted", {"failures": 0, "skipped": 2, "tests": 2}),
        ("error", "held", "confirmed", {"failures": 0, "errors": 1, "skipped": 0, "tests": 2}),
        ("inconclusive", "held", "confirmed", {"failures": 0, "skipped": 1, "tests": 2}),
        ("confirmed", "held", "confirmed", {"failures": 0, "skipped": 0, "tests": 1}),
        ("confirmed", "held", "consistent", {"failures": 0, "skipped": 0, "tests": 1}),
        ("consistent", "held", "consistent", {"failures": 0, "skipped": 0, "tests": 2}),
        ("consistent", "held", "confirmed", {"failures": 0, "skipped": 1, "tests": 2}),
        ("consistent", "vacuous", "confirmed", {"failures": 0, "skipped": 2, "tests": 2}),
        ("consistent", "held", "refuted", {"failures": 1, "errors": 0, "skipped": 0, "tests": 2}),
        ("refuted", "failed", "confirmed", {"failures": 1, "skipped": 0, "tests": 1}),
    ],
)
def test_a_suite_passes_when_the_verdict_is_as_expected(verdict, outcome, expected, result):
    made = make_verdict(make_outcome(outcome=outcome), verdict=verdict, expected=expected)
    (suite,) = suites(made)
    assert {name: counts(suite)[name] for name in result} == result
    passes = not any(counts(suite)[name] for name in ("failures", "errors", "skipped"))
    assert passes == made.as_expected


def test_an_expected_failure_is_said_to_be_one():
    made = make_verdict(make_outcome(outcome="failed"), verdict="refuted", expected="refuted")
    (suite,) = suites(made)
    assert suite.find("testcase/system-out").text.startswith(
        "failed, as the file expects to be refuted: 2 of 2"
    )


def test_a_verdict_without_outcomes_is_one_case():
    made = make_verdict(verdict="inconclusive", reason="nothing was expected")
    made = made.model_copy(update={"outcomes": ()})
    (suite,) = suites(made)
    assert counts(suite) == {"tests": 1, "failures": 0, "errors": 0, "skipped": 1}


HOSTILE = "<b>&\"'\x00\x1b[31m\ud800\ufffe]]> {{ 7 }} 大 \u202e\U0001f600"


def test_any_text_is_safe_in_xml():
    prompt = PromptOutcome(prompt=HOSTILE, outcome="failed", observed=HOSTILE)
    outcome = make_outcome(HOSTILE, "failed", expectation=HOSTILE, prompts=(prompt,))
    made = make_verdict(outcome, hypothesis=HOSTILE, claim=HOSTILE, reason=HOSTILE)
    text = junit_xml([made])
    (suite,) = ET.fromstring(text.encode("utf-8"))
    shown = "<b>&\"'\\x00\\x1b[31m\\ud800\\ufffe]]> {{ 7 }} 大 \u202e\U0001f600"
    assert suite.get("name") == shown
    assert shown in suite.find("testcase/failure").text
    assert suite.find("properties/property[@name='claim']").get("value") == shown


def test_no_verdicts_are_an_empty_document():
    root = suites()
    assert counts(root) == {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}


def test_a_file_that_was_left_out_is_one_skipped_case():
    (suite,) = suites(Skipped("two_hop_gemma2", "not in the hub's cache"))
    assert suite.get("name") == "two_hop_gemma2"
    assert counts(suite) == {"tests": 1, "failures": 0, "errors": 0, "skipped": 1}
    assert suite.find("testcase/skipped").get("message") == "not in the hub's cache"
