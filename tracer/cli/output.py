"""What `--json` and `--junitxml` write: the endings of a command, for programs.

The JSON has a versioned shape:

    {"schema": "tracer.verdicts/1", "tracer": "0.1.0", "exit_code": 1, "results": [
      {"file": "…", "hypothesis": "…", "exit_code": 0, "run": "reports/…", "verdict": {…}},
      {"file": "…", "hypothesis": "…", "exit_code": 5, "skipped": "…"},
      {"file": "…", "hypothesis": null, "exit_code": 4, "error": "…", "mistakes": [
        {"line": 3, "column": 1, "where": "prompts.dallas", "message": "…"}]}]}

`verdict` has the shape of a run's `verdict.json`; with `--baseline` there is `baseline`, too, a
`tracer.comparison/1`.

How a command ends: streams to write to, sentences for what failed, one exit code of many.

Shares as people read them.

How a comparison of two runs reads in a terminal.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from tracer import __version__
from tracer.errors import (
    EXIT_ENGINE,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONFIRMED,
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    EXIT_USAGE,
    HypothesisError,
    UsageError,
)
from tracer.evidence.regression import Finding, RunComparison
from tracer.record.verdict import Verdict
from tracer.report.junit import Skipped, junit_xml
from tracer.report.matrix import CombinationResult
from tracer.report.terminal import Screen

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
    case: CombinationResult | None = None
    """Which combination of a matrix it is, where several were run."""
    comparison: RunComparison | None = None
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


WORST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_ENGINE,
    EXIT_USAGE,
    EXIT_NOT_CONFIRMED,
    EXIT_OK,
    EXIT_NOTHING_SELECTED,
)
"""The worst ending of several is the command's: what was not judged outweighs what was.

Files that were skipped weigh nothing beside others, but where all were, nothing came out as
expected either.
"""
_OUT_OF_OUR_HANDS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def stdout() -> Screen:
    """Where results go."""
    return Screen(sys.stdout)


def stderr() -> Screen:
    """Where progress and mistakes go."""
    return Screen(sys.stderr)


def worst(codes: Iterable[int]) -> int:
    """The exit code of a command that ended so several times; 0 for none."""
    return min(codes, key=WORST_FIRST.index, default=EXIT_OK)


def os_sentence(error: OSError) -> str:
    """What the operating system refused, and on which file."""
    what = os.strerror(error.errno) if error.errno else str(error)
    return f"{error.filename}: {what}." if error.filename else f"{what}."


def os_exit_code(error: OSError) -> int:
    """3 where the disk is at fault, 4 where another path or permission helps."""
    return EXIT_ENGINE if error.errno in _OUT_OF_OUR_HANDS else EXIT_USAGE


def require_writable(folder: Path, option: str) -> None:
    """Make the folder, and find out now, not after minutes of work, whether it can be written to.

    Raises:
        UsageError: It cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"{option} {folder}: cannot write there ({what}).") from error


def percent(share: float) -> str:
    """`21 %`; below one percent with two digits, so that little does not read as nothing."""
    value = 100 * share
    return f"{value:.2g} %" if 0 < value < 1 else f"{value:.0f} %"


MOST_FINDINGS = 200
"""Printed, the worse first."""


def print_comparison(screen: Screen, comparison: RunComparison) -> None:
    """What was changed, then a table of what came out otherwise, worse first."""
    screen.console.print(_headline(screen, comparison))
    screen.say(f"  {comparison.before}  →  {comparison.after}", "dim")
    for cause in comparison.changed:
        screen.paragraph(f"changed: {cause}", "yellow")
    if comparison.findings:
        screen.say()
        screen.table(
            [("what came out otherwise", 6), ("before", 2), ("after", 2), ("where", 4)],
            [_row(screen, finding) for finding in comparison.findings[:MOST_FINDINGS]],
        )
    n_more = len(comparison.findings) - MOST_FINDINGS
    if n_more > 0:
        screen.paragraph(f"… and {n_more:,} more, none of them worse; --json has all.", "yellow")


def _headline(screen: Screen, comparison: RunComparison) -> Text:
    n = len(comparison.regressions)
    if comparison.is_same:
        mark, word, colour = "✔", "SAME", "green"
    elif n == 0:
        mark, word, colour = "?", "DIFFERS, nothing worse", "yellow"
    else:
        mark, word, colour = "✘", f"REGRESSED in {n}", "red"
    return screen.text(f"{mark} {word}  {comparison.hypothesis}", f"bold {colour}")


def _row(screen: Screen, finding: Finding) -> list[Text]:
    colour = "red" if finding.is_regression else ""
    texts = (finding.what, finding.before, finding.after, finding.where)
    return [screen.text(text, colour) for text in texts]
