"""What a person reads in a terminal: plain sentences, and the verdict as a table.

Claims, tokens and file names are untrusted: they are never read as markup, and characters that a
terminal would obey rather than show are left out. A stream whose encoding lacks an icon gets its
ASCII stand-in; a pipe gets no colour, and neither does anyone who sets NO_COLOR.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import IO, Any, NamedTuple, Protocol, cast, runtime_checkable

from rich.console import Console
from rich.text import Text

from tracer.record.verdict import SPLITS, Outcome, PromptOutcome, Verdict, by_intervention, rank
from tracer.report.terminal_table import Column, print_table, wrapped
from tracer.report.text import BIDI

_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ASCII = str.maketrans("✔✘−–—×·‘’“”\u00a0\u202f", "+x---x.''\"\"  ") | str.maketrans(
    {
        "≈": "~",
        "∅": "0",
        "…": "...",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "ρ": "rho",
        "σ": "sigma",
        "±": "+-",
    }
)
_PROBE = "✔✘−×…→≥ρ"
_MARKS = {"held": "✔", "failed": "✘", "untested": "?", "vacuous": "∅"}
_COLOURS = {"held": "green", "failed": "red", "untested": "yellow", "vacuous": "yellow"}
_OPEN = {"inconclusive": "?", "consistent": "≈"}
"""Verdicts that are neither a yes nor a no."""
_WIDTH = 80
"""Where the terminal says that it has none."""
MOST_ROWS = 300
"""Expectations that are printed unless every prompt is asked for."""
MOST_NOTES = 60
"""Caveats, and parts that were changed afterwards."""


def clean(text: str) -> str:
    """One line that a terminal only shows: no control, escape or bidirectional characters."""
    line = _BREAKS.sub(" ", text)
    return "".join(c for c in line if c not in BIDI and unicodedata.category(c) not in ("Cc", "Cs"))


@runtime_checkable
class Stream(Protocol):
    """A text file that is open for writing."""

    def write(self, text: str, /) -> int:
        """Append text."""
        ...

    def flush(self) -> None:
        """Hand everything on."""
        ...


class _Pipe(Console):
    """A console that goes on in silence where its reader has gone: `tracer list | head -1`."""

    def on_broken_pipe(self) -> None:
        """The command still ends with the exit code of what it did."""
        self.quiet = True
        silence(self.file)


def silence(file: IO[Any]) -> None:
    """Let a stream whose reader has gone, and what it still holds, lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


class Screen:
    """One output stream, and how much it can show."""

    def __init__(self, file: Stream, *, width: int | None = None) -> None:
        self.console = _Pipe(
            file=cast("IO[str]", file), width=width, markup=False, highlight=False, emoji=False
        )
        if self.console.width < 1:  # COLUMNS=0
            self.console.width = _WIDTH
        self.ascii = not _can_say(self.console.encoding)

    @property
    def live(self) -> bool:
        """Whether lines can be redrawn: a real terminal, and not a dumb one."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def text(self, text: str, style: str = "") -> Text:
        """Untrusted text, safe to print here."""
        line = clean(text)
        if self.ascii:
            line = line.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
        return Text(line, style=style)

    def say(self, text: str = "", style: str = "") -> None:
        """Print lines as they are, never wrapped, so that paths can be copied."""
        for line in text.split("\n"):
            self.console.print(self.text(line, style), soft_wrap=True)

    def paragraph(self, text: str, style: str = "", indent: int = 2) -> None:
        """Print prose, wrapped to the width of the screen."""
        width = max(20, self.console.width - indent)
        self.lines(self.text(text, style), width, indent)

    def lines(self, text: Text, width: int | None = None, indent: int = 0) -> None:
        """Print styled prose, wrapped to a width or to that of the screen."""
        for line in wrapped(self.console, text, width or self.console.width):
            self.console.print(Text(" " * indent) + line, soft_wrap=True)

    def table(self, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[Text]]) -> None:
        """Print rows under headings; a column's number is its share of the width, 0 its minimum."""
        print_table(self.console, [Column(*each) for each in columns], rows, is_ascii=self.ascii)


def _can_say(encoding: str) -> bool:
    try:
        _PROBE.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


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
