"""A text as the command line would read it: its mistakes with their lines, or what it declares."""

from __future__ import annotations

from typing import NamedTuple

from tracer.dashboard.run_rows import CELL, shown
from tracer.errors import HypothesisError, place
from tracer.hypothesis.load import check
from tracer.hypothesis.spec import Hypothesis
from tracer.plan import make_plan
from tracer.report.text import plural


class Checked(NamedTuple):
    """Either a hypothesis or mistakes."""

    hypothesis: Hypothesis | None
    mistakes: tuple[dict[str, str | int | None], ...]
    """Line (None: the file as a whole), `file:line:column`, where in the file, what is wrong."""
    told: str = ""
    """The mistakes as `tracer validate` prints them, `file:line:column` before each."""


def checked(text: str, file: str = "draft") -> Checked:
    """Check a text with the loader of `tracer validate`; `file` is what it is told to be of."""
    try:
        return Checked(check(file, text).hypothesis, ())
    except HypothesisError as error:
        rows = tuple(
            {
                "line": mistake.line,
                "place": shown(place(file, mistake), CELL),
                "where": shown(mistake.where, CELL),
                "mistake": shown(mistake.message),
            }
            for mistake in error.mistakes
        )
        return Checked(None, rows, str(error))


def summary(hypothesis: Hypothesis) -> str:
    """What a run of it would measure, in one line."""
    plan = make_plan(hypothesis)
    parts = [
        plural(len(hypothesis.prompts), "prompt"),
        plural(len(hypothesis.supernodes), "supernode"),
        plural(len(hypothesis.interventions), "intervention"),
        f"{plan.n_rows:,} clamped versions of prompts",
        *([plural(plan.graphs, "graph")] if plan.graphs else []),
    ]
    return ", ".join(parts)
