"""`tracer run`: measure, judge, report, one file after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.compare import Baseline, print_comparison
from tracer.cli.json_output import FileResult, to_json, to_junit
from tracer.cli.matrix import Selected, select, show_where_it_holds
from tracer.cli.output import (
    STDOUT,
    code_of,
    nothing_selected,
    os_exit_code,
    os_sentence,
    require_writable,
    require_writable_file,
    screen_beside,
    stderr,
    worst,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.cli.report import write_index_of_all
from tracer.cli.select import BrokenFile, FileFilters, hypothesis_paths, not_as_expected
from tracer.engine.known_run import measured_once
from tracer.engine.last_opened import LastOpened
from tracer.engine.store import Store, root
from tracer.engine.surroundings import surroundings
from tracer.errors import (
    EXIT_CONSISTENT,
    EXIT_ENGINE,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONFIRMED,
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    EXIT_USAGE,
    OutOfReach,
    TracerError,
    UsageError,
)
from tracer.evidence.regression import RunComparison
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.record.runs import resolve
from tracer.report.matrix import combinations
from tracer.report.run import Run, judge_and_save
from tracer.report.screen import Screen
from tracer.report.terminal import print_skipped, print_verdict, print_verdict_line

_WORDS = {
    EXIT_OK: "as expected",
    EXIT_NOT_CONFIRMED: "not as expected",
    EXIT_CONSISTENT: "consistent, not confirmed",
    EXIT_USAGE: "could not be used",
    EXIT_ENGINE: "broke off",
    EXIT_INTERRUPTED: "interrupted",
    EXIT_NOTHING_SELECTED: "skipped",
}
_GOING_ON = (EXIT_OK, EXIT_NOTHING_SELECTED)
"""Endings that `--exitfirst` does not stop at."""


def run(
    files: options.Files = None,
    expression: options.Expression = None,
    tags: options.Tags = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only hypotheses whose latest run was not as expected.")
    ] = False,
    exitfirst: Annotated[
        bool,
        typer.Option("-x", "--exitfirst", help="Stop after the first that is not as expected."),
    ] = False,
    set_: options.Sets = None,
    model: options.Models = None,
    features: options.FeatureBases = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    seed: options.Seed = None,
    out: options.Out = options.REPORTS,
    lock: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Use the supernodes of this run, and say what changed."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Hold each run against its blessed one: a file, a folder of them, or `auto`, "
            "which is baselines/ beside the hypothesis. Exit code 1 where something got worse.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict",
            help="Exit code 6 where a verdict is consistent and the file expected confirmed; "
            "--no-strict: 0.",
        ),
    ] = True,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not take up an unfinished run.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Measure also what cannot be tested, where the model does not answer as the file "
            "says.",
        ),
    ] = False,
    no_cache: Annotated[
        bool,
        typer.Option("--no-cache", help="Measure everything, and keep nothing for later runs."),
    ] = False,
    json_: Annotated[Path | None, options.json_file("Verdicts")] = None,
    junitxml: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Verdicts as JUnit XML, for CI.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="One line per hypothesis, no progress.")
    ] = False,
) -> int:
    """Measure hypotheses, judge them, and write a report of each.

    tracer run hypotheses/two_hop.yaml

    tracer run -k "two_hop and not language" --device cuda

    tracer run --failed --set controls.random=999 --junitxml verdicts.xml

    tracer run hypotheses/two_hop.yaml --model gemma-3-270m --model smollm2-135m-instruct

    A run that was interrupted is taken up by the same command. A file that says `if_absent: skip`
    is left out, with the reason, where the hub does not give its model; where all are, the exit
    code is 5.
    """
    only = not_as_expected(out) if failed else None
    filters = FileFilters(expression, tuple(tags or ()), only)
    cells = combinations(model or (), features or ())
    others = Replacements(None, None, device, dtype, seed, tuple(set_ or ()))
    selected = select(hypothesis_paths(files), cells, others, filters)
    if not any(each.files or each.broken for each in selected):
        return nothing_selected("no hypothesis file passes the filters.")
    locked = None if lock is None else resolve(lock, out)
    held_to = Baseline(baseline)
    held_to.check(selected)
    require_writable(out, "--out")
    require_writable_file(json_, "--json")
    require_writable_file(junitxml, "--junitxml")
    if json_ == junitxml == STDOUT:
        raise UsageError("--json - and --junitxml -: standard output takes one of them.")
    job = _Job(
        reports=out,
        lock=locked,
        fresh=fresh,
        keep_going=keep_going,
        store=None if no_cache else Store(root()),
        quiet=quiet,
        screen=screen_beside(json_, junitxml),
        exitfirst=exitfirst,
        baseline=held_to,
        strict=strict,
    )
    results = list(job.run_all(selected))
    code = worst(result.code for result in results)
    if len(cells) > 1:
        show_where_it_holds(job.screen, results, out)
    if sum(result.run is not None for result in results) > 1:
        page = write_index_of_all(out)
        if not quiet:
            job.screen.say(str(page))
    if len(results) > 1:
        job.screen.say(_summary(results))
    if json_ is not None:
        write_document(json_, to_json(results, code))
    if junitxml is not None:
        write_document(junitxml, to_junit(results))
    return code


@dataclass(frozen=True)
class _Job:
    """The options that every file of one command shares."""

    reports: Path
    lock: Path | None
    fresh: bool
    keep_going: bool
    store: Store | None
    quiet: bool
    exitfirst: bool
    screen: Screen
    baseline: Baseline
    strict: bool
    last: LastOpened[Any] = field(default_factory=LastOpened[Any])
    process: list[Any] = field(default_factory=surroundings)
    """As it is before torch is imported."""

    def run_all(self, selected: Sequence[Selected]) -> Iterator[FileResult]:
        """Run the files of every combination in turn; where one stops, all of them do."""
        for n, each in enumerate(selected):
            if n and not self.quiet:
                self.screen.say()
            for result in self._run_files(each.broken, each.files):
                yield each.place(result) if len(selected) > 1 else result
                stops = self.exitfirst and result.code not in _GOING_ON
                if result.code == EXIT_INTERRUPTED or stops:
                    return

    def _run_files(
        self, broken: Sequence[BrokenFile], files: Sequence[HypothesisFile]
    ) -> Iterator[FileResult]:
        for path, error in broken:
            yield self._failed(str(path), None, error, str(error), error.exit_code)
        for n, file in enumerate(files):
            if n and not self.quiet:
                self.screen.say()
            yield self._run_file(file)

    def _run_file(self, file: HypothesisFile) -> FileResult:
        name, path = file.hypothesis.hypothesis, str(file.path)
        try:
            run = self._measured(file)
            before = self.baseline.of(file)
            comparison = run.compare(before) if before is not None else None
        except KeyboardInterrupt as stop:
            sentence = "interrupted; what was measured is kept, and the same command resumes."
            return self._failed(path, name, stop, sentence, EXIT_INTERRUPTED)
        except TracerError as error:
            if isinstance(error, OutOfReach) and file.hypothesis.if_absent == "skip":
                print_skipped(self.screen, name, str(error))
                return FileResult(path, name, EXIT_NOTHING_SELECTED, skipped=str(error))
            return self._failed(path, name, error, str(error), error.exit_code)
        except OSError as error:
            return self._failed(path, name, error, os_sentence(error), os_exit_code(error))
        self._print(run, comparison)
        code = code_of(run.verdict, strict=self.strict)
        if comparison is not None and (not comparison or run.verdict.post_hoc):
            code = EXIT_NOT_CONFIRMED
        return FileResult(path, name, code, run.path, run.verdict, comparison=comparison)

    def _measured(self, file: HypothesisFile) -> Run:
        with progress_on(stderr(), quiet=self.quiet) as progress:

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

    def _print(self, run: Run, comparison: RunComparison | None) -> None:
        if self.quiet:
            print_verdict_line(self.screen, run.verdict)
        else:
            print_verdict(self.screen, run.verdict, run.facts)
        if comparison is not None and not self.quiet:
            self.screen.say()
            print_comparison(self.screen, comparison)
        elif comparison is None and self.baseline.path is not None:
            stderr().say(f"{run.verdict.hypothesis}: no baseline; `tracer bless` makes one.")

    def _failed(
        self, path: str, name: str | None, error: BaseException, sentence: str, code: int
    ) -> FileResult:
        stderr().say(sentence)
        return FileResult(path, name, code, error=error, sentence=sentence)


def _summary(results: Sequence[FileResult]) -> str:
    counts = Counter(result.code for result in results)
    told = [f"{counts[code]} {word}" for code, word in _WORDS.items() if counts[code]]
    return f"{len(results)} hypotheses: {', '.join(told)}"
