"""How a comparison of two runs reads in a terminal."""

from __future__ import annotations

from rich.text import Text

from tracer.regression.compare import Comparison, Finding
from tracer.terminal import Screen

MOST_FINDINGS = 200
"""Printed, the worse first."""


def print_comparison(screen: Screen, comparison: Comparison) -> None:
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


def _headline(screen: Screen, comparison: Comparison) -> Text:
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
