"""Judging by other thresholds: what a changed file may ask of measurements that are already made.

Claims, expectations, splits and labels may change, and prompts, interventions or doses may be left
out; `tracer.evidence.post_hoc` lists each change. Whatever would have been measured differently
needs a new run.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.errors import UsageError
from tracer.evidence.differences import ABSENT, Change, changes_between
from tracer.hypothesis.asked import asked_tokens
from tracer.hypothesis.expansion import measured
from tracer.hypothesis.expectations import Fraction, LogitDiff, Probability, tokens_of
from tracer.hypothesis.parts import parts_of
from tracer.hypothesis.problem import dotted
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.template import render_token
from tracer.record import Record, Trial

_JUDGED_ONLY = ("hypothesis", "claim", "source", "tags", "expected")
_MAY_GO = ("prompts", "interventions", "supernodes", "necessity", "mediation", "swaps", "circuit")


def _needs_measuring(change: Change) -> bool:
    """Whether the new value would have been measured differently."""
    head, *rest = change.path
    if head in _JUDGED_ONLY:
        return False
    match head, rest:
        case ("prompts", [_, "held_out" | "group"]) | ("supernodes", [_, "label"]):
            return False
        case (_, ["expect", *_] | [_, "expect", *_] | [_, "doses", "expect", *_]):
            return False
        case ("swaps", [_, "mostly" | "each"]):
            return False
        case ("circuit", [_] | [_, "prompts", _]) | ("shared", [_]):
            return change.new is not ABSENT
        case ("robustness", inner):
            fewer = change.new is ABSENT or change.new is False
            return inner[:1] == ["of"] or not fewer
        case ("graph", [] | ["prompts", _]):
            return change.new is not ABSENT
        case ("interventions", [_, "generate"]):
            return change.new is not ABSENT
        case ("interventions", [_, "doses"] | [_, "prompts", _] | [_, "doses", "factors", _]):
            return change.new is not ABSENT
        case _:
            return head not in _MAY_GO or len(rest) != 1 or change.new is not ABSENT


def check_measured(record: Record, hypothesis: Hypothesis) -> None:
    """Refuse a hypothesis that asks for what a run did not measure.

    Raises:
        UsageError: All of it at once.
    """
    changes = changes_between(record.hypothesis, hypothesis)
    unmeasured = [change.told("measured with") for change in changes if _needs_measuring(change)]
    unmeasured += _unmeasured(record, hypothesis)
    if unmeasured:
        raise UsageError(
            f"run {record.id} does not have what this asks for; make a new run for it:\n"
            + "\n".join(f"  {text}" for text in dict.fromkeys(unmeasured))
        )


def _unmeasured(record: Record, hypothesis: Hypothesis) -> Iterator[str]:
    """Readings that the expectations ask for and the run lacks."""
    for path, written, prompts in asked_tokens(parts_of(hypothesis)):
        for prompt in prompts:
            if prompt in record.prompts:
                token = render_token(written, hypothesis.prompts[prompt])
                if token not in record.prompts[prompt].baseline.tokens:
                    yield f"{dotted(path)}: the token {token!r} was not read on {prompt}"
    for name, spec in measured(hypothesis).items():
        trials = record.interventions[name].trials if name in record.interventions else {}
        for expectation in spec.expect:
            if isinstance(expectation, Fraction) and expectation.supernode not in record.supernodes:
                yield f"{name}: no supernode {expectation.supernode!r} was measured"
            if isinstance(expectation, Probability | LogitDiff) and expectation.side:
                for trial in trials.values():
                    yield from _unread_by_controls(name, expectation, hypothesis, trial)


def _unread_by_controls(
    name: str, expectation: Probability | LogitDiff, hypothesis: Hypothesis, trial: Trial
) -> Iterator[str]:
    if trial.n_controls == 0 or trial.prompt not in hypothesis.prompts:
        return
    for written in (token for tokens in tokens_of(expectation).values() for token in tokens):
        token = render_token(written, hypothesis.prompts[trial.prompt])
        if token not in trial.control_tokens:
            yield f"{name}: the token {token!r} was not read under controls"
