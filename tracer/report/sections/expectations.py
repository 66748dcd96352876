"""Expectations as the report lists them: what failed first, each prompt under its expectation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.hypothesis.robustness import ROBUSTNESS
from tracer.record.verdict import Outcome, PromptOutcome, rank
from tracer.report.headline import OUTCOMES, Count, count, counted_apart
from tracer.report.limits import MAX_LINES, MAX_LISTED, Cut, each_of
from tracer.report.text import plural

_FEWEST_LINES = 4


@dataclass(frozen=True)
class OutcomeView:
    """An expectation as a row."""

    outcome: Outcome
    summary: str
    prompts: Sequence[PromptOutcome]
    """All in their order, or where they are too many, the worst."""


@dataclass(frozen=True)
class ExpectationsView:
    """All of them."""

    told: str
    """How many there are, and how they came out on each split."""
    counts: tuple[Count, ...]
    """Of rows: an expectation has one for each split."""
    outcomes: Cut[OutcomeView]


def expectations_view(outcomes: Sequence[Outcome]) -> ExpectationsView:
    """How many came out each way, and the worst as rows."""
    counts = count(OUTCOMES, [o.outcome for o in outcomes])
    return ExpectationsView(counted_apart(outcomes), counts, outcome_views(outcomes))


def outcome_views(outcomes: Sequence[Outcome]) -> Cut[OutcomeView]:
    """The worst of them, at most `MAX_LISTED`; equally bad ones in the file's order."""
    shown = sorted(outcomes, key=rank)[:MAX_LISTED]
    n_lines = each_of(MAX_LINES, len(shown), _FEWEST_LINES)
    note = (
        f"Listed: the {MAX_LISTED:,} worst of {len(outcomes):,}. All of them are in verdict.json."
    )
    views = tuple(_outcome(each, n_lines) for each in shown)
    return Cut(views, note if len(outcomes) > MAX_LISTED else "")


def _outcome(outcome: Outcome, n_lines: int) -> OutcomeView:
    prompts, left_out = outcome.prompts, ""
    if len(prompts) > n_lines:
        prompts = sorted(prompts, key=rank)[:n_lines]
        left_out = f"; the {n_lines:,} worst are listed, all of them are in verdict.json"
    return OutcomeView(outcome, _summary(outcome) + left_out, prompts)


def _summary(outcome: Outcome) -> str:
    numbers = {
        "held": outcome.n_held,
        "failed": outcome.n_failed,
        "untested": outcome.n_untested,
        "vacuous": outcome.n_vacuous,
    }
    counts = ", ".join(f"{n} {name}" for name, n in numbers.items() if n)
    rule = f"at least {outcome.needed} must hold" if outcome.needed else "one test of all of them"
    mean = f"; {outcome.mean.text}" if outcome.mean else ""
    unit = "variation" if outcome.intervention == ROBUSTNESS else "prompt"
    return f"{plural(len(outcome.prompts), unit)}: {counts} ({rule}){mean}"
