"""Expectations as the report lists them: what failed first, each prompt under its expectation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.hypothesis.robustness import ROBUSTNESS
from tracer.record.verdict import Outcome, PromptOutcome, rank
from tracer.report.limits import MAX_LINES, MAX_LISTED, Cut, each_of
from tracer.report.sections.overview import OUTCOMES
from tracer.report.text import number, p_value, plural

_FEWEST_LINES = 4


@dataclass(frozen=True)
class PromptLine:
    """An expectation on one prompt."""

    prompt: str
    name: str
    icon: str
    observed: str
    p: str
    reason: str


@dataclass(frozen=True)
class OutcomeView:
    """An expectation as a row."""

    intervention: str
    split: str
    expectation: str
    expected: str
    observed: str
    interval: str
    name: str
    icon: str
    reason: str
    summary: str
    open: bool
    prompts: tuple[PromptLine, ...]


def outcome_views(outcomes: Sequence[Outcome]) -> Cut[OutcomeView]:
    """The worst of them, at most `MAX_LISTED`; equally bad ones in the file's order."""
    shown = sorted(outcomes, key=rank)[:MAX_LISTED]
    n_lines = each_of(MAX_LINES, len(shown), _FEWEST_LINES)
    return Cut(tuple(_outcome(each, n_lines) for each in shown), _unlisted(len(outcomes)))


def _unlisted(n: int) -> str:
    if n <= MAX_LISTED:
        return ""
    return f"Listed: the {MAX_LISTED:,} worst of {n:,}. All of them are in verdict.json."


def _outcome(outcome: Outcome, n_lines: int) -> OutcomeView:
    told = {"held": outcome.n_held, "failed": outcome.n_failed, "untested": outcome.n_untested}
    parts = [f"{n} {name}" for name, n in told.items() if n]
    lines = _worst_lines(outcome.prompts, n_lines)
    return OutcomeView(
        intervention=outcome.intervention,
        split=outcome.split,
        expectation=outcome.expectation,
        expected=outcome.expected,
        observed=outcome.observed,
        interval="–" if outcome.wilson is None else _interval(outcome.wilson),
        name=outcome.outcome,
        icon=OUTCOMES[outcome.outcome],
        reason=outcome.reason or "",
        summary=_summary(outcome, ", ".join(parts)) + _left_out(outcome, len(lines)),
        open=outcome.outcome != "held",
        prompts=tuple(_prompt_line(each) for each in lines),
    )


def _worst_lines(prompts: Sequence[PromptOutcome], most: int) -> Sequence[PromptOutcome]:
    """All in their order, or where they are too many, the worst."""
    if len(prompts) <= most:
        return prompts
    return sorted(prompts, key=rank)[:most]


def _left_out(outcome: Outcome, n_lines: int) -> str:
    if n_lines == len(outcome.prompts):
        return ""
    return f"; the {n_lines:,} worst are listed, all of them are in verdict.json"


def _summary(outcome: Outcome, counts: str) -> str:
    rule = f"at least {outcome.needed} must hold" if outcome.needed else "one test of all of them"
    mean = f"; {outcome.mean.text}" if outcome.mean else ""
    unit = "variation" if outcome.intervention == ROBUSTNESS else "prompt"
    return f"{plural(len(outcome.prompts), unit)}: {counts} ({rule}){mean}"


def _interval(wilson: tuple[float, float]) -> str:
    low, high = (number(100 * bound, 0) for bound in wilson)
    return f"{low}–{high} %"


def _prompt_line(outcome: PromptOutcome) -> PromptLine:
    return PromptLine(
        prompt=outcome.prompt,
        name=outcome.outcome,
        icon=OUTCOMES[outcome.outcome],
        observed=outcome.observed,
        p=p_value(outcome.p) if outcome.p is not None else "–",
        reason=outcome.reason or "",
    )
