"""What a person reads in a terminal: the verdict as a table, and what a run was."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple

from rich.text import Text

from tracer.record.verdict import SPLITS, Outcome, PromptOutcome, Verdict, by_intervention, rank
from tracer.report.screen import Screen

_MARKS = {"held": "✔", "failed": "✘", "untested": "?", "vacuous": "∅"}
_COLOURS = {"held": "green", "failed": "red", "untested": "yellow", "vacuous": "yellow"}
_OPEN = {"inconclusive": "?", "consistent": "≈"}
"""Verdicts that are neither a yes nor a no."""
MOST_ROWS = 300
"""Expectations that are printed unless every prompt is asked for."""
MOST_NOTES = 60
"""Caveats, and parts that were changed afterwards."""


class RunFacts(NamedTuple):
    """What stands under a verdict table beside the caveats."""

    paths: tuple[str, ...] = ()
    seconds: float | None = None


def print_verdict(
    screen: Screen, verdict: Verdict, facts: RunFacts | None = None, *, per_prompt: bool = False
) -> None:
    """The verdict line, one table per intervention, caveats, then where the files are.

    Args:
        screen: where to.
        verdict: of one run.
        facts: files that were written and how long it took.
        per_prompt: show under each expectation every prompt it was tested on.
    """
    screen.lines(_headline(screen, verdict))
    screen.paragraph(verdict.claim, "italic")
    shown = verdict.outcomes if per_prompt else worst(verdict.outcomes)
    for name, own in _by_severity(shown):
        screen.say()
        screen.say(name, "bold")
        screen.table(
            [("expectation", 3), ("expected", 3), ("observed", 5), ("outcome", 0)],
            _rows(screen, own, per_prompt=per_prompt),
        )
    screen.say()
    n_more = len(verdict.outcomes) - len(shown)
    if n_more:
        more = f"{n_more:,} more, none of them worse: tracer show {verdict.run} -v"
        screen.say(f"  … and {more}", "yellow")
    fixed = "measuring" if verdict.registered is None else "registering"
    _notes(screen, "missing", verdict.missing)
    _notes(screen, "not as the file says", verdict.unforeseen)
    _notes(screen, f"changed after {fixed}", verdict.post_hoc)
    _notes(screen, "caveat", verdict.caveats)
    for path in facts.paths if facts else ():
        screen.say(f"  {path}")
    if facts and facts.seconds is not None:
        screen.say(f"  {facts.seconds:.1f} s", "dim")


def _notes(screen: Screen, what: str, notes: Sequence[str]) -> None:
    for note in notes[:MOST_NOTES]:
        screen.paragraph(f"{what}: {note}", "yellow")
    n_more = len(notes) - MOST_NOTES
    if n_more > 0:
        screen.paragraph(f"{what}: and {n_more:,} more, in verdict.json", "yellow")


def print_verdict_line(screen: Screen, verdict: Verdict) -> None:
    """Icon, word, hypothesis and reason on one line, however long."""
    screen.console.print(_headline(screen, verdict), soft_wrap=True)


def print_skipped(screen: Screen, hypothesis: str, reason: str) -> None:
    """A file that was left out, and why, on one line."""
    head = screen.text(f"− SKIPPED  {hypothesis}", "bold yellow")
    screen.console.print(Text.assemble(head, screen.text(f"  {reason}")), soft_wrap=True)


def _headline(screen: Screen, verdict: Verdict) -> Text:
    word = verdict.verdict.upper()
    if verdict.expected != "confirmed":
        word += " as expected" if verdict.as_expected else f" (expected: {verdict.expected})"
    icon, colour = "✔", "green"
    if not verdict.as_expected:
        icon = (_OPEN | {"error": "!"}).get(verdict.verdict, "✘")
        colour = "yellow" if verdict.verdict in _OPEN else "red"
    head = screen.text(f"{icon} {word}  {verdict.hypothesis}", f"bold {colour}")
    return Text.assemble(head, screen.text(f"  {verdict.reason}"))


def verdict_text(verdict: Verdict, facts: RunFacts | None = None, width: int = 80) -> str:
    """The same as plain text, for `print(run)`."""
    file = StringIO()
    print_verdict(Screen(file, width=width), verdict, facts)
    return file.getvalue()


def worst(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """In their order; of more than `MOST_ROWS`, those that came out worst."""
    if len(outcomes) <= MOST_ROWS:
        return outcomes
    ranked = sorted(range(len(outcomes)), key=lambda n: rank(outcomes[n]))
    return [outcomes[n] for n in sorted(ranked[:MOST_ROWS])]


def _by_severity(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """By intervention, those with a failure first, else as they stand in the file."""
    return sorted(by_intervention(outcomes).items(), key=lambda each: min(map(rank, each[1])))


def _rows(screen: Screen, outcomes: Sequence[Outcome], *, per_prompt: bool) -> list[list[Text]]:
    rows: list[list[Text]] = []
    for split in SPLITS:
        own = [o for o in outcomes if o.split == split]
        if own:
            rows.append([screen.text(split, "dim italic")])
        for outcome in sorted(own, key=rank):
            what, expected = screen.text(outcome.expectation), screen.text(outcome.expected)
            rows.append([what, expected, *_judged(screen, outcome)])
            for each in outcome.prompts if per_prompt else ():
                name = screen.text(f"  {each.prompt}", "dim")
                rows.append([name, screen.text(""), *_judged(screen, each)])
    return rows


def _judged(screen: Screen, judged: Outcome | PromptOutcome) -> tuple[Text, Text]:
    """What was observed, and how that was judged."""
    observed = "; ".join(part for part in (judged.observed, judged.reason) if part)
    name = judged.outcome
    return screen.text(observed), screen.text(f"{_MARKS[name]} {name:<8}", _COLOURS[name])
