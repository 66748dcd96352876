"""`tracer compare` and `tracer bless`: whether a circuit is still what it was.

`Baseline` is the option of `tracer run` that holds each run against the blessed one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tracer.cli import options
from tracer.cli.compare_consensus import (
    compared_graphs,
    is_graph_file,
    print_consensus_comparison,
)
from tracer.cli.documents.comparison import Comparison
from tracer.cli.matrix import Selected
from tracer.cli.output import require_writable_file, screen_beside, stdout, write_document
from tracer.errors import EXIT_NOT_CONFIRMED, EXIT_OK, UsageError
from tracer.evidence.baseline_run import Essentials, Tolerances, home, in_folder, read_baseline
from tracer.evidence.baseline_run import bless as keep
from tracer.evidence.regression import Finding, RunComparison
from tracer.evidence.regression import compare as compared
from tracer.hypothesis.load import HypothesisFile
from tracer.record.files import as_json
from tracer.record.run_folder import is_run
from tracer.record.runs import resolve
from tracer.report.run import Run
from tracer.report.screen import Screen

AUTO = Path("auto")
MOST_FINDINGS = 200
"""Printed, the worse first."""
_KEPT = Tolerances()
_SIDE = (
    "A run folder, a run's id, a hypothesis (its latest run), `latest`, or a baseline file; or the "
    "file of a consensus graph (`tracer graph FILE --consensus`), beside another one."
)
Overlap = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Least share of a supernode's members both have, of all that either has. "
        f"Default: {_KEPT.overlap:g}, or what was blessed.",
        show_default=False,
    ),
]
Effect = Annotated[
    float | None,
    typer.Option(
        "--effect",
        metavar="NATS",
        min=0,
        help="Most that an effect on a token's log-probability may move. "
        f"Default: {_KEPT.effect:g} or {_KEPT.share:.0%} of it, or what was blessed.",
        show_default=False,
    ),
]


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The later one.", show_default=False)],
    overlap: Overlap = None,
    effect: Effect = None,
    json_: Annotated[Path | None, options.json_file("The same")] = None,
    in_: options.In = options.REPORTS,
) -> int:
    """Say what came out otherwise in B than in A, and what was changed between them.

    Exit code 0: the same came out; 1: something did not.

    tracer compare two_hop/20260102T030405.678Z-0123ab two_hop

    tracer compare hypotheses/baselines/two_hop.json latest

    Of two consensus graphs it says what both have, what one has and what their weights have in
    common; exit code 0.

    tracer compare graphs/two_hop-consensus-0123abcd.json graphs/other-consensus-4567cdef.json
    """
    require_writable_file(json_, "--json")
    if is_graph_file(a) or is_graph_file(b):
        if overlap is not None or effect is not None:
            raise UsageError("--overlap and --effect are for two runs, and not for graphs.")
        shown = compared_graphs(a, b)
        print_consensus_comparison(screen_beside(json_), shown)
        if json_ is not None:
            write_document(json_, as_json(shown))
        return EXIT_OK
    old, new = compared_run(a, in_), compared_run(b, in_)
    comparison = compared(old, new, tolerances_of(old.tolerances, overlap, effect))
    print_comparison(screen_beside(json_), comparison)
    if json_ is not None:
        write_document(json_, Comparison.of(comparison).written())
    return EXIT_OK if comparison.is_same else EXIT_NOT_CONFIRMED


def bless(
    run: options.RunArgument,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A .json file, or a folder that gets HYPOTHESIS.json. "
            "Default: baselines/ beside the hypothesis file.",
            show_default=False,
        ),
    ] = None,
    overlap: Overlap = None,
    effect: Effect = None,
    in_: options.In = options.REPORTS,
) -> int:
    """Keep what a run came to as the baseline that `tracer run --baseline` holds later ones to.

    tracer bless two_hop

    tracer bless two_hop --effect 0.5 --to hypotheses/baselines
    """
    opened = Run.open(resolve(run, in_))
    kept = opened.essentials(tolerances_of(_KEPT, overlap, effect))
    folder = to or home(opened.record.file)
    path = folder if folder.suffix == ".json" else in_folder(folder, kept.hypothesis)
    before = read_baseline(path) if os.path.isfile(path) else None
    stdout().say(f"{keep(kept, path)}")
    if before is not None:
        print_comparison(stdout(), compared(before, kept))
    return EXIT_OK


def compared_run(argument: str, reports: Path) -> Essentials:
    """What is compared of a run, or of a baseline file.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    path = Path(argument)
    if os.path.isfile(path) and not is_run(path.parent):
        return read_baseline(path)
    return Run.open(resolve(argument, reports)).essentials()


def tolerances_of(given: Tolerances, overlap: float | None, effect: float | None) -> Tolerances:
    """What was blessed, or what was asked for; an effect that is asked for counts alone."""
    asked: dict[str, float] = {} if overlap is None else {"overlap": overlap}
    if effect is not None:
        asked |= {"effect": effect, "share": 0.0}
    return Tolerances.model_validate(given.model_dump() | asked)


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


@dataclass(frozen=True)
class Baseline:
    """A baseline file, a folder of them, `auto` for the one beside each hypothesis, or none."""

    path: Path | None

    def check(self, selected: Sequence[Selected]) -> None:
        """Find out before anything is measured whether every baseline can be read.

        Raises:
            UsageError: One cannot, or one is meant for several hypotheses, models or bases.
        """
        if self.path is not None and len(selected) > 1:
            raise UsageError(
                "--baseline: a baseline is of one model and one feature basis; hold each "
                "combination to its own, in a folder of its own."
            )
        files = [file for each in selected for file in each.files]
        if self.path is not None and self._is_file and len(files) > 1:
            raise UsageError(
                f"--baseline {self.path}: one file for {len(files)} hypotheses; name a folder."
            )
        for file in files:
            self.of(file)

    def of(self, file: HypothesisFile) -> Essentials | None:
        """The blessed run of a hypothesis; None where a folder has none of it.

        Raises:
            UsageError: It cannot be read.
        """
        if self.path is None:
            return None
        if self._is_file:
            return read_baseline(self.path)
        folder = home(file.path) if self.path == AUTO else self.path
        path = in_folder(folder, file.hypothesis.hypothesis)
        return read_baseline(path) if os.path.isfile(path) else None

    @property
    def _is_file(self) -> bool:
        return self.path is not None and self.path != AUTO and not os.path.isdir(self.path)
