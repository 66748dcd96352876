"""How the files of a command ended: told to programs as JSON, and to CI as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracer.cli.documents.results import CaseEnding, FileEnding, FileMistake, Validation, Verdicts
from tracer.errors import HypothesisError, Mistake, TracerError
from tracer.evidence.regression import RunComparison
from tracer.record.family import HypothesisFamily
from tracer.record.verdict import Verdict
from tracer.report.junit import Skipped, junit_xml
from tracer.report.matrix import CombinationResult
from tracer.report.terminal import RunFacts


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


def refused(path: str, name: str | None, error: TracerError) -> FileResult:
    """A file that ends with this error before anything is measured."""
    return FileResult(path, name, error.exit_code, sentence=str(error), mistakes=mistakes_of(error))


def verdicts(
    results: Sequence[FileResult], code: int, family: HypothesisFamily | None = None
) -> Verdicts:
    """The results of `tracer run`, for programs."""
    found = tuple(map(case_ending, results))
    return Verdicts(exit_code=code, results=found, family=family)


def validation(results: Sequence[FileResult], code: int) -> Validation:
    """The results of `tracer validate`, for programs."""
    return Validation(exit_code=code, results=tuple(map(ending, results)))


def ending(result: FileResult) -> FileEnding:
    """One of the results, for programs."""
    return FileEnding(**_of_file(result))


def case_ending(result: FileResult) -> CaseEnding:
    """One of the results of a run, for programs."""
    case, verdict, before = result.case, result.verdict, result.comparison
    return CaseEnding(
        **_of_file(result),
        case=case.id if case else None,
        model=case.model if case else None,
        features=case.features if case else None,
        run=result.run.as_posix() if result.run else None,
        verdict=verdict,
        as_expected=None if verdict is None else verdict.as_expected,
        skipped=result.skipped,
        baseline=before,
        regressed=None if before is None else not before,
    )


def _of_file(result: FileResult) -> dict[str, Any]:
    mistakes = None if result.mistakes is None else map(FileMistake.model_validate, result.mistakes)
    return {
        "file": result.file,
        "hypothesis": result.hypothesis,
        "exit_code": result.code,
        "notes": result.notes or None,
        "error": result.sentence,
        "mistakes": None if mistakes is None else tuple(mistakes),
    }


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
