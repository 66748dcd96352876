"""What `--json` and `--junitxml` write: the endings of a command, for programs.

The JSON has a versioned shape:

    {"schema": "tracer.verdicts/1", "tracer": "0.1.0", "exit_code": 1, "results": [
      {"file": "…", "hypothesis": "…", "exit_code": 0, "run": "reports/…", "verdict": {…}},
      {"file": "…", "hypothesis": "…", "exit_code": 5, "skipped": "…"},
      {"file": "…", "hypothesis": null, "exit_code": 4, "error": "…", "mistakes": [
        {"line": 3, "column": 1, "where": "prompts.dallas", "message": "…"}]}]}

`verdict` has the shape of a run's `verdict.json`; with `--baseline` there is `baseline`, too, a
`tracer.comparison/1`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracer import __version__
from tracer.errors import HypothesisError
from tracer.evidence.verdict import Verdict
from tracer.junit import Skipped, junit_xml
from tracer.matrix import Case
from tracer.regression.compare import Comparison

SCHEMA = "tracer.verdicts/1"
STDOUT = Path("-")


class Ending(NamedTuple):
    """How one file of a command ended."""

    file: str
    hypothesis: str | None
    code: int
    run: Path | None = None
    verdict: Verdict | None = None
    error: BaseException | None = None
    sentence: str | None = None
    """The error, as the user read it."""
    skipped: str | None = None
    """Why the file was left out, where it asked for that."""
    case: Case | None = None
    """Which combination of a matrix it is, where several were run."""
    comparison: Comparison | None = None
    """With the blessed run, where that was asked for and there is one."""


def to_json(endings: Sequence[Ending], code: int, schema: str = SCHEMA) -> str:
    """The endings as one JSON document."""
    document = {
        "schema": schema,
        "tracer": __version__,
        "exit_code": code,
        "results": [_result(ending) for ending in endings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def _result(ending: Ending) -> dict[str, Any]:
    result: dict[str, Any] = {
        "file": ending.file,
        "hypothesis": ending.hypothesis,
        "exit_code": ending.code,
    }
    if ending.case is not None:
        result |= {
            "case": ending.case.id,
            "model": ending.case.model,
            "features": ending.case.features,
        }
    if ending.run is not None:
        result["run"] = ending.run.as_posix()
    if ending.verdict is not None:
        result["verdict"] = ending.verdict.model_dump(mode="json", by_alias=True)
        result["as_expected"] = ending.verdict.as_expected
    if ending.skipped is not None:
        result["skipped"] = ending.skipped
    if ending.comparison is not None:
        result["baseline"] = ending.comparison.model_dump(mode="json", by_alias=True)
        result["regressed"] = not ending.comparison
    if ending.sentence is not None:
        result["error"] = ending.sentence
    if isinstance(ending.error, HypothesisError):
        result["mistakes"] = [mistake._asdict() for mistake in ending.error.mistakes]
    return result


def to_junit(endings: Sequence[Ending]) -> str:
    """The endings as JUnit XML; a file that came to no verdict is a suite with one error."""
    return junit_xml(
        [_suite(ending) for ending in endings], [ending.comparison for ending in endings]
    )


def _suite(ending: Ending) -> Verdict | Skipped:
    name = ending.case.id if ending.case else ending.hypothesis or ending.file
    if ending.verdict is not None:
        return ending.verdict.model_copy(update={"hypothesis": name})
    if ending.skipped is not None:
        return Skipped(name, ending.skipped)
    return Verdict(
        run="",
        hypothesis=name,
        claim="",
        verdict="error",
        expected="confirmed",
        reason=ending.sentence or "",
        outcomes=(),
        caveats=(),
    )


def write_stdout(text: str) -> None:
    """Write a document to standard output as UTF-8, whatever the terminal's encoding.

    Half of a surrogate pair, as a file's name may hold, becomes its escape, as JSON has it too.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()
