"""What crude interventions at the same place do, beside a claim: effect, specificity, size.

The effect is the change of the first number that the intervention is expected to move. The same
with the wrong donors of an answer says what the place carries of any concept: an intervention is
specific where its own donors do more than those of each wrong answer.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracer.evidence.moved import first_token, number_of, tokens_of
from tracer.evidence.wording import MINUS, show_written
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.expectations.top import TopIs
from tracer.hypothesis.template import render_token
from tracer.record.record import Record
from tracer.record.testable import baseline_problem
from tracer.record.trials import Reading, RivalKind, Trial


class RivalRow(NamedTuple):
    """One intervention at the place, over the prompts that the model answers; medians."""

    kind: RivalKind | None
    """None: the claim's own clamps."""
    effect: float
    """Change of a logit difference, or of the logarithm of a probability."""
    wrong: float | None
    """The same with the donors of the wrong answer that does most; None without any."""
    says: str
    """On how many prompts the claimed token comes first, as '5 of 9'."""
    write_norm: float


def rival_rows(record: Record, name: str) -> tuple[RivalRow, ...]:
    """The claim's clamps and their rivals; () where none were measured."""
    spec = record.hypothesis.interventions[name]
    trials = [trial for trial in _usable(record, name, spec) if trial.rivals]
    number = _number(record, name)
    if not trials or number is None:
        return ()
    kinds: list[RivalKind] = [each.kind for each in trials[0].rivals]
    return (_own(record, number, trials), *(_row(record, number, trials, k) for k in kinds))


def measured_as(record: Record, name: str) -> str:
    """The number that the effects are of, in words."""
    number = _number(record, name)
    if number is None:
        return ""
    if isinstance(number, LogitDiff):
        return f" {MINUS} ".join(f"logit({show_written(token)})" for token in number.logit_diff)
    token = first_token(number)
    assert token is not None
    return f"ln p({show_written(token)})"


def _number(record: Record, name: str) -> Expectation | None:
    """The first expectation of an intervention that says which number moves."""
    asked = record.hypothesis.interventions[name].expect
    return next((e for e in asked if isinstance(e, LogitDiff | Probability | TopIs)), None)


def _usable(record: Record, name: str, spec: InterventionSpec) -> Iterator[Trial]:
    trials = record.interventions[name].trials if name in record.interventions else {}
    for prompt in spec.prompts:
        if prompt in trials and baseline_problem(record.prompts[prompt]) is None:
            yield trials[prompt]


def _own(record: Record, number: Expectation, trials: Sequence[Trial]) -> RivalRow:
    readings = [trial.reading for trial in trials]
    sizes = [math.hypot(*(clamp.write_norm for clamp in trial.clamps)) for trial in trials]
    return _told(record, number, trials, None, readings, (), sizes)


def _row(record: Record, number: Expectation, trials: Sequence[Trial], kind: RivalKind) -> RivalRow:
    rivals = [next(each for each in trial.rivals if each.kind == kind) for trial in trials]
    wrong = [[each.wrong[answer] for each in rivals] for answer in rivals[0].wrong]
    readings = [each.reading for each in rivals]
    return _told(record, number, trials, kind, readings, wrong, [r.write_norm for r in rivals])


def _told(
    record: Record,
    number: Expectation,
    trials: Sequence[Trial],
    kind: RivalKind | None,
    readings: Sequence[Reading],
    wrong: Sequence[Sequence[Reading]],
    sizes: Sequence[float],
) -> RivalRow:
    def effect(found: Sequence[Reading]) -> float:
        changes = (_change(record, number, t, r) for t, r in zip(trials, found, strict=True))
        return statistics.median(changes)

    tokens = [_tokens(record, number, trial)[0] for trial in trials]
    n = sum(r.top[0].token == token for r, token in zip(readings, tokens, strict=True))
    return RivalRow(
        kind=kind,
        effect=effect(readings),
        wrong=max(map(effect, wrong), default=None),
        says=f"{n} of {len(trials)}",
        write_norm=statistics.median(sizes),
    )


def _change(record: Record, number: Expectation, trial: Trial, after: Reading) -> float:
    tokens, before = _tokens(record, number, trial), record.prompts[trial.prompt].baseline
    return number_of(number, after, tokens) - number_of(number, before, tokens)


def _tokens(record: Record, number: Expectation, trial: Trial) -> list[str]:
    declared = record.hypothesis.prompts[trial.prompt]
    return [render_token(token, declared) for token in tokens_of(number) or ()]
