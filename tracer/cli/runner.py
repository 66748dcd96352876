"""The cases of one `tracer run`, one after the other or several at once, and what each came to.

Either way the results are the same, in the same order, and so are what is printed and written of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracer.cli.cases import RunCase
from tracer.cli.compare import Baseline, print_comparison
from tracer.cli.json_output import FileResult
from tracer.cli.matrix import show_where_it_holds
from tracer.cli.measuring import (
    EXPECTED,
    INTERRUPTED,
    Failure,
    Measuring,
    failed,
    failure_of,
    judged,
)
from tracer.cli.output import stderr
from tracer.cli.pages import write_index_of_all
from tracer.cli.progress import progress_of_several, progress_on
from tracer.cli.shares import shares
from tracer.cli.worker_pool import GivenCase, WorkerPool
from tracer.errors import (
    EXIT_CONSISTENT,
    EXIT_ENGINE,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONFIRMED,
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    EXIT_USAGE,
)
from tracer.report.run import Run
from tracer.report.screen import Screen
from tracer.report.terminal import print_skipped, print_verdict, print_verdict_line

WORDS = {
    EXIT_OK: "as expected",
    EXIT_NOT_CONFIRMED: "not as expected",
    EXIT_CONSISTENT: "consistent, not confirmed",
    EXIT_USAGE: "could not be used",
    EXIT_ENGINE: "broke off",
    EXIT_INTERRUPTED: "interrupted",
    EXIT_NOTHING_SELECTED: "skipped",
}
"""What each exit code says of a case."""
_GOING_ON = (EXIT_OK, EXIT_NOTHING_SELECTED)
"""Endings that `--exitfirst` does not stop at."""


@dataclass(frozen=True)
class Runner:
    """What one command asks of all its cases."""

    measuring: Measuring
    quiet: bool
    exitfirst: bool
    screen: Screen
    baseline: Baseline
    strict: bool
    is_matrix: bool
    """Whether there are several combinations of model and features."""

    def one_after_another(self, cases: Sequence[RunCase]) -> Iterator[FileResult]:
        """Run each and print it; where one stops, all of them do."""
        for n, case in enumerate(cases):
            if n and case.file is not None and not self.quiet:
                self.screen.say()
            result = self._result(case, self._end(case))
            self._tell(result)
            self._print(result)
            yield result
            if self._stops(result):
                return

    def _end(self, case: RunCase) -> Run | Failure:
        if case.file is None:
            return case.failure
        with progress_on(stderr(), quiet=self.quiet) as progress:
            return self.measuring.end_of(case.file, progress)

    def beside_one_another(self, cases: Sequence[RunCase], n: int) -> list[FileResult]:
        """Run up to n at a time, and print all in their order once the last has ended."""
        results: dict[int, FileResult] = {}
        for number, case in enumerate(cases):
            if case.file is None:
                results[number] = self._result(case, case.failure)
                self._tell(results[number])
                if self._stops(results[number]):
                    return [results[number]]
        if len(results) < len(cases):
            self._run_jobs(cases, n, results)
        if any(result.code == EXIT_INTERRUPTED for result in results.values()):
            stderr().say(INTERRUPTED.sentence)
        ordered = [results[number] for number in sorted(results)]
        for number, result in enumerate(ordered):
            if number and not self.quiet:
                self.screen.say()
            self._print(result)
        return ordered

    def _run_jobs(self, cases: Sequence[RunCase], n: int, results: dict[int, FileResult]) -> None:
        """Add the results of the cases that can be measured."""
        numbers = [number for number in range(len(cases)) if number not in results]
        given = [GivenCase(case.label, case.file) for case in cases if case.file is not None]
        n, screen = min(n, len(given)), stderr()
        devices = {each.file.hypothesis.model_spec.device for each in given}
        with (
            progress_of_several(screen, n + 1, quiet=self.quiet) as (whole, *own),
            whole.task(f"{len(given)} cases, {n} at a time"),
        ):

            def ended(job: int, end: Run | Failure) -> bool:
                case = cases[numbers[job]]
                result = self._result(case, end)
                results[numbers[job]] = result
                if not self.quiet:
                    word = result.verdict.verdict if result.verdict else WORDS[result.code]
                    screen.say(f"{case.label}: {word} ({len(results)} of {len(cases)})")
                if result.sentence and result.code != EXIT_INTERRUPTED:  # that is said once
                    screen.say(result.sentence)
                return not self._stops(result)

            WorkerPool(given, self.measuring, own, shares(n, devices), screen).run(ended)

    def show_together(self, results: Sequence[FileResult]) -> None:
        """The tables and pages of several runs."""
        reports = self.measuring.reports
        if self.is_matrix:
            show_where_it_holds(self.screen, results, reports)
        if sum(result.run is not None for result in results) > 1:
            page = write_index_of_all(reports)
            if not self.quiet:
                self.screen.say(str(page))

    def _stops(self, result: FileResult) -> bool:
        is_first = self.exitfirst and result.code not in _GOING_ON
        return result.code == EXIT_INTERRUPTED or is_first

    def _result(self, case: RunCase, end: Run | Failure) -> FileResult:
        if isinstance(end, Failure):
            result = failed(case.path, case.file, end)
        else:
            result = self._judged(case, end)
        run = end if isinstance(end, Run) and result.run is not None else None
        return case.selected.place(result, run) if self.is_matrix else result

    def _judged(self, case: RunCase, run: Run) -> FileResult:
        assert case.file is not None
        try:
            before = self.baseline.of(case.file)
            comparison = run.compare(before) if before is not None else None
        except EXPECTED as error:
            return failed(case.path, case.file, failure_of(error, case.file))
        result = judged(case.path, run, strict=self.strict)._replace(comparison=comparison)
        if comparison is not None and (not comparison or run.verdict.post_hoc):
            return result._replace(code=EXIT_NOT_CONFIRMED)
        return result

    def _tell(self, result: FileResult) -> None:
        if result.sentence is not None:
            stderr().say(result.sentence)

    def _print(self, result: FileResult) -> None:
        if result.skipped is not None:
            print_skipped(self.screen, result.hypothesis or result.file, result.skipped)
        if result.verdict is None:
            return
        if self.quiet:
            print_verdict_line(self.screen, result.verdict)
        else:
            print_verdict(self.screen, result.verdict, result.facts)
        if result.comparison is not None and not self.quiet:
            self.screen.say()
            print_comparison(self.screen, result.comparison)
        elif result.comparison is None and self.baseline.path is not None:
            stderr().say(f"{result.verdict.hypothesis}: no baseline; `tracer bless` makes one.")
