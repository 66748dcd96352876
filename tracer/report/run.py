"""A run as Python and notebooks hold it: what was observed, what was judged, and its folder.

Nothing here needs torch: an earlier run opens, shows itself and is judged again from its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tracer.errors import UsageError
from tracer.evidence.baseline_run import Essentials, Tolerances, essentials
from tracer.evidence.judge import judge_run
from tracer.evidence.regression import RunComparison, compare
from tracer.hypothesis.spec import Hypothesis
from tracer.record import files, run_folder
from tracer.record.arrays import Arrays, check_forms
from tracer.record.claim import is_claimed
from tracer.record.cross_basis import read_cross_basis
from tracer.record.record import Record
from tracer.record.verdict import Outcome, Verdict
from tracer.report.readings import COLUMNS, reading_rows
from tracer.report.render import render
from tracer.report.run_graphs import read_graphs
from tracer.report.screen import clean
from tracer.report.terminal import RunFacts, verdict_text, worst

REPORT = "report.html"

_HEADINGS = ("intervention", "split", "expectation", "expected", "observed", "outcome")
_COLOURS = {
    "held": "#1a7f37",
    "failed": "#cf222e",
    "untested": "#9a6700",
    "vacuous": "#9a6700",
}


@dataclass(frozen=True)
class Run:
    """One run folder, opened; printing it shows the verdict table, a notebook shows it as HTML."""

    path: Path
    record: Record
    verdict: Verdict
    """Truthy exactly when it came out as the file expected."""
    arrays: Arrays

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder and judge it; the verdict that was written is not believed.

        Where its tensors are gone, it is all there is.

        Raises:
            UsageError: There is no complete run, or its files contradict each other.

        Example:
            >>> made = tracer.run("tiny.yaml")
            >>> run = tracer.Run.open(made.path)
            >>> run.verdict.verdict, sorted(run.record.interventions)
            ('consistent', ['swap'])
        """
        folder = Path(path)
        record, arrays = _complete(folder), run_folder.read_arrays(folder)
        check_forms(record, arrays)
        written = run_folder.read_verdict(folder)
        try:
            return _judge(folder, record, arrays)
        except UsageError:
            if written is None:
                raise
            return cls(folder, record, written, arrays)

    def judge(self, hypothesis: Hypothesis | None = None) -> Run:
        """The same measurements judged again, nothing written.

        Args:
            hypothesis: with other expectations; the verdict says what was changed after measuring.

        Example:
            >>> run = tracer.run("tiny.yaml")
            >>> stricter = tracer.load("tiny.yaml", set=["interventions.swap.expect[0].rises_by=5"])
            >>> verdict = run.judge(stricter).verdict
            >>> verdict.verdict, bool(verdict)
            ('refuted', False)
            >>> print(verdict.post_hoc[0])
            interventions.swap.expect[0].rises_by: registered with 0.01, judged with 5.0
        """
        return _judge(self.path, self.record, self.arrays, hypothesis)

    def save(self) -> Run:
        """Write `report.html`, then `verdict.json`, into the run folder; gives the run back.

        A kill in between leaves a run that is not judged yet, which the next `run` does.
        """
        self.report(self.path / REPORT)
        run_folder.write_verdict(self.path, self.verdict)
        return self

    def essentials(self, tolerances: Tolerances | None = None) -> Essentials:
        """What of it is compared with other runs, and kept where it is blessed."""
        return essentials(self.record, self.verdict, tolerances)

    def compare(self, earlier: Run | Essentials) -> RunComparison:
        """What came out otherwise than in an earlier run, or in the blessed one.

        Example:
            >>> run = tracer.run("tiny.yaml")
            >>> stricter = tracer.load("tiny.yaml", set=["interventions.swap.expect[0].rises_by=5"])
            >>> verdict, *outcomes = run.judge(stricter).compare(run).findings
            >>> verdict.before, verdict.after, verdict.is_regression
            ('consistent', 'refuted', True)
            >>> [(finding.before, finding.after) for finding in outcomes]
            [('held', 'failed'), ('held', 'failed')]
        """
        before = earlier if isinstance(earlier, Essentials) else earlier.essentials()
        return compare(before, self.essentials())

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, by default into the run folder, and say where it is.

        Example:
            >>> page = tracer.run("tiny.yaml").report("tiny.html")
            >>> page.name, page.read_text(encoding="utf-8")[:15]
            ('tiny.html', '<!DOCTYPE html>')
        """
        target = self.path / REPORT if path is None else Path(path)
        graphs = read_graphs(self.path, self.record)
        bases = read_cross_basis(self.path, self.record.id)
        page = render(self.record, self.verdict, self.arrays, graphs, bases)
        files.write_text(target, page)
        return target

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: a row for each token that was read of each trial and dose.

        Columns: `intervention`, `prompt`, `held_out`, `dose` (its factor; none for the clamps as
        declared), `token`, `token_id`, then `logit`, `probability` (softmax over the whole
        vocabulary) and `rank` (from 1) under the clamps, and the same without them as `clean_…`,
        empty for a token that was not read there.

        Example:
            >>> frame = tracer.run("tiny.yaml").to_pandas()
            >>> swap = frame[(frame.prompt == "plano") & (frame.token == " Sacramento")]
            >>> bool((swap.logit - swap.clean_logit).item() > 0.01)
            True
        """
        import pandas

        return pandas.DataFrame(reading_rows(self.record), columns=[*COLUMNS])

    @property
    def facts(self) -> RunFacts:
        """Where its files are and how long it took."""
        names = (REPORT, "run.json")
        paths = tuple(str(self.path / name) for name in names if (self.path / name).exists())
        return RunFacts(paths, sum(self.record.seconds.values()) or None)

    def __str__(self) -> str:
        return verdict_text(self.verdict, self.facts)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.verdict.hypothesis}: {self.verdict.verdict})"

    def _repr_html_(self) -> str:
        verdict = self.verdict
        shown = worst(verdict.outcomes)
        rows = "".join(map(_html_row, shown))
        n_more = len(verdict.outcomes) - len(shown)
        more = f"<p>… and {n_more:,} more, none of them worse.</p>" if n_more else ""
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in _HEADINGS)
        link = ""
        if (self.path / REPORT).exists():
            href = escape((self.path / REPORT).as_posix(), quote=True)
            link = f"<p><a href='{href}'>{_html(REPORT)}</a></p>"
        return (
            f"<div><p><b>{_html(verdict.verdict)}</b> {_html(verdict.hypothesis)}: "
            f"{_html(verdict.reason)}</p><p><i>{_html(verdict.claim)}</i></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}{link}</div>"
        )


def judge_and_save(folder: Path) -> Run:
    """Judge a measured run and write verdict and report beside its record.

    Raises:
        UsageError: The folder holds no complete run.
        OSError: A file cannot be written.
    """
    return judge_folder(folder).save()


def judge_folder(folder: Path, hypothesis: Hypothesis | None = None) -> Run:
    """A measured run, judged now, whatever was judged earlier. Nothing is written.

    Args:
        folder: of the run.
        hypothesis: with other expectations than it was made with.

    Raises:
        UsageError: The folder holds no complete run.
    """
    return _judge(folder, _complete(folder), run_folder.read_arrays(folder), hypothesis)


def _judge(
    folder: Path, record: Record, arrays: Arrays, hypothesis: Hypothesis | None = None
) -> Run:
    variants = run_folder.read_variants(folder, record)
    verdict = judge_run(
        record,
        arrays,
        hypothesis=hypothesis,
        variants=variants,
        is_edited=run_folder.is_edited(folder),
    )
    if hypothesis is None:
        verdict = _beside_older(verdict, folder)
    return Run(folder, record, verdict, arrays)


def _beside_older(verdict: Verdict, folder: Path) -> Verdict:
    """The verdict with what older rules said of the run, where that is another."""
    try:
        written = run_folder.read_verdict(folder)
    except UsageError:
        return verdict
    if written is None:
        return verdict
    older = written.formerly if written.rules == verdict.rules else written.verdict
    if older is None or older == verdict.verdict:
        return verdict
    told = f"by the rules it was first judged by, this run was {older}; see docs/evidence.md"
    return verdict.model_copy(update={"formerly": older, "caveats": (told, *verdict.caveats)})


def _complete(folder: Path) -> Record:
    record = run_folder.read_record(folder)
    if record.status != "complete" and is_claimed(folder):
        raise UsageError(f"{folder}: this run is being measured. Open it once it has ended.")
    if record.status != "complete":
        raise UsageError(
            f"{folder}: this run was stopped before everything was measured. "
            f"`tracer run {record.file}` takes it up again."
        )
    return record


def _html(text: str) -> str:
    return escape(clean(text), quote=True)


def _html_row(outcome: Outcome) -> str:
    texts = (
        outcome.intervention,
        outcome.split,
        outcome.expectation,
        outcome.expected,
        "; ".join(part for part in (outcome.observed, outcome.reason or "") if part),
    )
    cells = "".join(f"<td style='text-align:left'>{_html(text)}</td>" for text in texts)
    colour = _COLOURS[outcome.outcome]
    return f"<tr>{cells}<td style='text-align:left;color:{colour}'>{outcome.outcome}</td></tr>"
