"""What `--json` and `--junitxml` write about the files of a command.

    {"schema": "tracer.verdicts/1", "tracer": "0.1.0", "exit_code": 1, "results": [
      {"file": "…", "hypothesis": "…", "exit_code": 0, "run": "reports/…", "verdict": {…}},
      {"file": "…", "hypothesis": "…", "exit_code": 5, "skipped": "…"},
      {"file": "…", "hypothesis": null, "exit_code": 4, "error": "…", "mistakes": [
        {"line": 3, "column": 1, "where": "prompts.dallas", "message": "…"}]}]}

`verdict` has the shape of a run's `verdict.json`. With `--baseline` there is also `baseline`, a
`tracer.comparison/1`; with `--fdr` the document has `family`, a `tracer.family/1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracer.cli.output import json_text
from tracer.errors import HypothesisError, Mistake
from tracer.evidence.regression import RunComparison
from tracer.record.family import HypothesisFamily
from tracer.record.verdict import Verdict
from tracer.report.junit import Skipped, junit_xml
from tracer.report.matrix import CombinationResult
from tracer.report.terminal import RunFacts

SCHEMA = "tracer.verdicts/1"


class FileResult(NamedTuple):
    """How one file of a command ended."""

    file: str
    hypothesis: str | None
    code: int
    run: Path | None = None
    verdict: Verdict | None = None
    sentence: str | None = None
    """The error, as the user read it."""
    mistakes: tuple[Mistake, ...] | None = None
    """Those of the file, where they are the error."""
    skipped: str | None = None
    """Why the file was left out, where it asked for that."""
    case: CombinationResult | None = None
    """Its combination of model and features, where several were run."""
    comparison: RunComparison | None = None
    """With the blessed run, where that was asked for and there is one."""
    notes: tuple[str, ...] = ()
    """What a reader should know, though it is no mistake."""
    facts: RunFacts | None = None
    """What is printed of the run beside its verdict."""


def mistakes_of(error: BaseException) -> tuple[Mistake, ...] | None:
    """Those of a hypothesis file, where they are the error."""
    return tuple(error.mistakes) if isinstance(error, HypothesisError) else None


def to_json(
    results: Sequence[FileResult],
    code: int,
    schema: str = SCHEMA,
    family: HypothesisFamily | None = None,
) -> str:
    """The results as one JSON document."""
    data: dict[str, Any] = {"exit_code": code, "results": [_data(each) for each in results]}
    if family is not None:
        data["family"] = family.model_dump(mode="json", by_alias=True)
    return json_text(schema, data)


def _data(result: FileResult) -> dict[str, Any]:
    data: dict[str, Any] = {
        "file": result.file,
        "hypothesis": result.hypothesis,
        "exit_code": result.code,
    }
    if result.case is not None:
        case = result.case
        data |= {"case": case.id, "model": case.model, "features": case.features}
    if result.run is not None:
        data["run"] = result.run.as_posix()
    if result.verdict is not None:
        data["verdict"] = result.verdict.model_dump(mode="json", by_alias=True)
        data["as_expected"] = result.verdict.as_expected
    if result.skipped is not None:
        data["skipped"] = result.skipped
    if result.comparison is not None:
        data["baseline"] = result.comparison.model_dump(mode="json", by_alias=True)
        data["regressed"] = not result.comparison
    if result.notes:
        data["notes"] = list(result.notes)
    if result.sentence is not None:
        data["error"] = result.sentence
    if result.mistakes is not None:
        data["mistakes"] = [mistake._asdict() for mistake in result.mistakes]
    return data


def to_junit(results: Sequence[FileResult]) -> str:
    """The results as JUnit XML; a file that came to no verdict is a suite with one error."""
    return junit_xml([_suite(each) for each in results], [each.comparison for each in results])


def _suite(result: FileResult) -> Verdict | Skipped:
    name = result.case.id if result.case else result.hypothesis or result.file
    if result.verdict is not None:
        return result.verdict.model_copy(update={"hypothesis": name})
    if result.skipped is not None:
        return Skipped(name, result.skipped)
    return Verdict(
        run="",
        hypothesis=name,
        claim="",
        verdict="error",
        expected="confirmed",
        reason=result.sentence or "",
        outcomes=(),
        caveats=(),
    )
