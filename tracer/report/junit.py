"""Verdicts as JUnit XML, for the test view of a CI system.

A suite is a hypothesis, a case one expectation on one split: failed is a failure, untested is
skipped with its reason. Where a file expects to be refuted, what failed is what it asked for, so
its failed cases pass, and one more case says whether the verdict came out as expected. A file that
was left out is a suite with one skipped case. Held against a blessed run, everything that got worse
is one more failed case, which says what changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tracer.evidence.regression import RunComparison
from tracer.record.verdict import Outcome, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, however escaped (section 2.2)."""


class Skipped(NamedTuple):
    """A hypothesis that was not run, and why."""

    hypothesis: str
    reason: str


def junit_xml(
    endings: Sequence[Verdict | Skipped], comparisons: Sequence[RunComparison | None] = ()
) -> str:
    """One document, suites in the order given.

    Args:
        endings: verdicts of one run each, or why there is none.
        comparisons: of the same runs with their baselines, where they have one.
    """
    root = ET.Element("testsuites", name="tracer")
    for ending, comparison in zip_longest(endings, comparisons):
        skipped = isinstance(ending, Skipped)
        root.append(_left_out(ending) if skipped else _suite(ending, comparison))
    _count(root)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(verdict: Verdict, comparison: RunComparison | None) -> ET.Element:
    suite = ET.Element("testsuite", name=_text(verdict.hypothesis))
    properties = ET.SubElement(suite, "properties")
    for name in ("run", "claim", "verdict", "reason"):
        ET.SubElement(properties, "property", name=name, value=_text(getattr(verdict, name)))
    for outcome in verdict.outcomes:
        suite.append(_case(verdict, outcome))
    if not _cases_tell(verdict):
        suite.append(_verdict_case(verdict))
    suite.extend(_baseline_cases(comparison) if comparison is not None else ())
    _count(suite)
    return suite


def _left_out(skipped: Skipped) -> ET.Element:
    suite = ET.Element("testsuite", name=_text(skipped.hypothesis))
    case = _named(skipped.hypothesis, "run")
    ET.SubElement(case, "skipped", message=_text(skipped.reason))
    suite.append(case)
    _count(suite)
    return suite


def _case(verdict: Verdict, outcome: Outcome) -> ET.Element:
    name = f"{outcome.expectation}: {outcome.expected} [{outcome.split}]"
    case = _named(f"{verdict.hypothesis}.{outcome.intervention}", name)
    prompts = (f"{p.prompt}: {p.outcome}: {p.reason or p.observed}" for p in outcome.prompts)
    observed = "\n".join((outcome.observed, "\n".join(prompts)))
    if outcome.outcome in ("untested", "vacuous"):
        message = f"{outcome.outcome}: {outcome.reason}" if outcome.reason else outcome.outcome
        ET.SubElement(case, "skipped", message=_text(message))
    elif outcome.outcome == "failed" and verdict.expected != "refuted":
        message = f"expected {outcome.expected}; observed {outcome.observed}"
        ET.SubElement(case, "failure", message=_text(message)).text = _text(observed)
        return case
    elif outcome.outcome == "failed":
        observed = f"failed, as the file expects to be refuted: {observed}"
    ET.SubElement(case, "system-out").text = _text(observed)
    return case


def _cases_tell(verdict: Verdict) -> bool:
    """Whether the suite passes exactly when the verdict is as expected."""
    if verdict.expected == "refuted" or verdict.verdict in ("error", "consistent"):
        return False
    return verdict.as_expected == all(outcome.outcome == "held" for outcome in verdict.outcomes)


def _verdict_case(verdict: Verdict) -> ET.Element:
    case = _named(verdict.hypothesis, f"verdict: {verdict.expected}")
    message = _text(f"{verdict.verdict}: {verdict.reason}")
    if verdict.verdict == "error":
        ET.SubElement(case, "error", message=message)
    elif verdict.verdict == "inconclusive" or _is_weaker(verdict):
        ET.SubElement(case, "skipped", message=message)
    elif not verdict.as_expected:
        ET.SubElement(case, "failure", message=message)
    return case


def _is_weaker(verdict: Verdict) -> bool:
    """Whether all that was expected held, on less evidence than the file expects."""
    return verdict.verdict == "consistent" and verdict.expected == "confirmed"


def _baseline_cases(comparison: RunComparison) -> Iterator[ET.Element]:
    """A case for each thing that got worse; one that passes where nothing did."""
    classname = f"{comparison.hypothesis}.baseline"
    for finding in comparison.regressions:
        case = _named(classname, finding.what)
        failure = ET.SubElement(case, "failure", message=_text(str(finding)))
        failure.text = _text("\n".join(f"changed: {cause}" for cause in comparison.changed))
        yield case
    if comparison:
        case = _named(classname, f"as in {comparison.before}")
        ET.SubElement(case, "system-out").text = _text(comparison.summary)
        yield case


def _named(classname: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=_text(classname), name=_text(name))


def _count(element: ET.Element) -> None:
    """Sum up what stands in it."""
    for attribute, tag in (
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        element.set(attribute, str(len(list(element.iter(tag)))))


def _text(text: str) -> str:
    return _NOT_XML.sub(lambda found: repr(found.group())[1:-1], text)
