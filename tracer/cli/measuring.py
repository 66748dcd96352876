"""One case from the model to its report: a run, or why there is none.

`tracer run` does it in its own process; with `--jobs`, each worker does it in its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tracer import engine
from tracer.cli.json_output import FileResult, mistakes_of
from tracer.cli.output import code_of, os_exit_code, os_sentence
from tracer.engine.known_run import measured_once
from tracer.engine.last_opened import LastOpened
from tracer.engine.progress import Progress
from tracer.engine.store import Store
from tracer.engine.surroundings import surroundings
from tracer.errors import EXIT_INTERRUPTED, EXIT_NOTHING_SELECTED, Mistake, OutOfReach, TracerError
from tracer.hypothesis.load import HypothesisFile
from tracer.report.run import Run, judge_and_save

EXPECTED = (KeyboardInterrupt, TracerError, OSError)
"""What ends a case with a sentence; all else is a mistake of tracer itself."""


class Failure(NamedTuple):
    """Why a case has no run."""

    code: int
    sentence: str
    mistakes: tuple[Mistake, ...] | None = None
    """Those of the file, where they are the reason."""


INTERRUPTED = Failure(
    EXIT_INTERRUPTED, "interrupted; what was measured is kept, and the same command resumes."
)


def failure_of(error: BaseException, file: HypothesisFile) -> Failure:
    """What an error of `EXPECTED` means for the case that it ended."""
    if isinstance(error, TracerError):
        is_skipped = isinstance(error, OutOfReach) and file.hypothesis.if_absent == "skip"
        code = EXIT_NOTHING_SELECTED if is_skipped else error.exit_code
        return Failure(code, str(error), mistakes_of(error))
    if isinstance(error, OSError):
        return Failure(os_exit_code(error), os_sentence(error))
    return INTERRUPTED


def failed(path: str, file: HypothesisFile | None, failure: Failure) -> FileResult:
    """The result of a case that has no run."""
    name = None if file is None else file.hypothesis.hypothesis
    result = FileResult(path, name, failure.code)
    if failure.code == EXIT_NOTHING_SELECTED:
        return result._replace(skipped=failure.sentence)
    return result._replace(sentence=failure.sentence, mistakes=failure.mistakes)


def judged(path: str, run: Run, *, strict: bool) -> FileResult:
    """The result of a case that has a run; what `strict` means says `code_of`."""
    verdict = run.verdict
    code = code_of(verdict, strict=strict)
    return FileResult(path, verdict.hypothesis, code, run.path, verdict, facts=run.facts)


@dataclass(frozen=True)
class Measuring:
    """What the cases of one command share; a process has one, which keeps its model open."""

    reports: Path
    lock: Path | None
    fresh: bool
    keep_going: bool
    store: Store | None
    last: LastOpened[Any] = field(default_factory=LastOpened[Any])
    process: list[Any] = field(default_factory=surroundings)
    """As it is before torch is imported."""

    def end_of(self, file: HypothesisFile, progress: Progress) -> Run | Failure:
        """Measure a case, judge it and write its report."""
        try:
            return self._run(file, progress)
        except EXPECTED as error:
            return failure_of(error, file)

    def _run(self, file: HypothesisFile, progress: Progress) -> Run:
        def measure() -> Path:
            with progress.task("importing PyTorch and TransformerLens"):
                measure = engine.run.measure
            return measure(
                file,
                reports=self.reports,
                lock=self.lock,
                fresh=self.fresh,
                keep_going=self.keep_going,
                store=self.store,
                last=self.last,
                progress=progress,
            )

        folder = measured_once(
            file,
            reports=self.reports,
            fresh=self.fresh,
            keep_going=self.keep_going,
            store=self.store if self.lock is None else None,
            process=self.process,
            progress=progress,
            measure=measure,
        )
        with progress.task("judging and writing the report"):
            return judge_and_save(folder)
