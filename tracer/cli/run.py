"""`tracer run`: measure, judge, report, one file after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.cases import cases_of, read_shard
from tracer.cli.compare import Baseline
from tracer.cli.family import judged_together, require_family, say_family
from tracer.cli.json_output import FileResult, to_junit, verdicts
from tracer.cli.matrix import select
from tracer.cli.measuring import Measuring
from tracer.cli.output import (
    STDOUT,
    nothing_selected,
    require_writable,
    require_writable_file,
    screen_beside,
    worst,
    write_document,
)
from tracer.cli.runner import WORDS, Runner
from tracer.cli.select import FileFilters, hypothesis_paths, not_as_expected
from tracer.engine.store import Store, root
from tracer.errors import UsageError
from tracer.hypothesis.load import Replacements
from tracer.record.runs import resolve
from tracer.report.matrix import combinations


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
    jobs: Annotated[
        int,
        typer.Option(
            "-j",
            "--jobs",
            metavar="N",
            min=1,
            help="Run N at the same time on this machine, each with its own GPU or its share of "
            "the cores. Every one holds its own model.",
        ),
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Run only the I-th of N parts, counted from 1, e.g. 3/16; `slurm` inside a job "
            "array. `tracer report` gathers.",
            show_default=False,
        ),
    ] = None,
    fdr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Control the false discovery rate over the hypotheses of this command, beside "
            "each file's own correction. Exit code 1 where one that its file upholds is no "
            "discovery.",
            show_default=False,
        ),
    ] = None,
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

    tracer run hypotheses/ --jobs 4 --fdr 0.05

    A run that was interrupted is taken up by the same command. A file that says `if_absent: skip`
    is left out, with the reason, where the hub does not give its model; where all are, the exit
    code is 5.
    """
    if shard is not None and failed:
        raise UsageError(
            "--shard with --failed: which failed changes while other shards run, so that some "
            "would be in none. Select with -k or -t, or use --jobs."
        )
    require_family(fdr, shard=shard is not None, failed=failed, exitfirst=exitfirst)
    only = not_as_expected(out) if failed else None
    filters = FileFilters(expression, tuple(tags or ()), only)
    cells = combinations(model or (), features or ())
    others = Replacements(None, None, device, dtype, seed, tuple(set_ or ()))
    part = None if shard is None else read_shard(shard)
    selected = select(hypothesis_paths(files), cells, others, filters)
    cases = cases_of(selected)
    if not cases:
        return nothing_selected("no hypothesis file passes the filters.")
    locked = None if lock is None else resolve(lock, out)
    held_to = Baseline(baseline)
    held_to.check(selected)
    require_writable(out, "--out")
    require_writable_file(json_, "--json")
    require_writable_file(junitxml, "--junitxml")
    if json_ == junitxml == STDOUT:
        raise UsageError("--json - and --junitxml -: standard output takes one of them.")
    screen = screen_beside(json_, junitxml)
    if part is not None:
        n_all, cases = len(cases), part.of(cases)
        screen.say(f"shard {part}: {len(cases)} of {n_all}")
    runner = Runner(
        Measuring(out, locked, fresh, keep_going, None if no_cache else Store(root())),
        quiet=quiet,
        screen=screen,
        exitfirst=exitfirst,
        baseline=held_to,
        strict=strict,
        is_matrix=len(cells) > 1,
    )
    if jobs > 1 and len(cases) > 1:
        results = runner.beside_one_another(cases, jobs)
    else:
        results = list(runner.one_after_another(cases))
    results, family = judged_together(results, fdr, out)
    code = worst(result.code for result in results)
    if part is None:
        runner.show_together(results)
    if len(results) > 1:
        screen.say(_summary(results))
    say_family(screen, family)
    if json_ is not None:
        write_document(json_, verdicts(results, code, family).written())
    if junitxml is not None:
        write_document(junitxml, to_junit(results))
    return code


def _summary(results: Sequence[FileResult]) -> str:
    counts = Counter(result.code for result in results)
    told = [f"{counts[code]} {word}" for code, word in WORDS.items() if counts[code]]
    return f"{len(results)} hypotheses: {', '.join(told)}"
