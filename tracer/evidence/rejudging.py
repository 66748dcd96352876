"""Judging by other thresholds: what a changed file may ask of measurements that are already made.

Claims, expectations, splits and labels may change, and prompts, interventions or doses may be left
out; each change is listed. Whatever would have been measured differently needs a new run.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple, cast

from tracer.errors import UsageError
from tracer.hypothesis.asked import asked_tokens
from tracer.hypothesis.expansion import measured
from tracer.hypothesis.expectations import Fraction, LogitDiff, Probability, tokens_of
from tracer.hypothesis.interventions import ClampSpec
from tracer.hypothesis.parts import parts_of
from tracer.hypothesis.problem import KeyPath, dotted, show
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.template import render_token
from tracer.record import Record, Trial

_ABSENT = object()
_JUDGED_ONLY = ("hypothesis", "claim", "source", "tags", "expected")
_MAY_GO = ("prompts", "interventions", "supernodes", "necessity", "mediation", "swaps", "circuit")


class _Change(NamedTuple):
    """One place where two files differ; `_ABSENT` stands for what is not there."""

    path: KeyPath
    old: Any
    new: Any

    def __str__(self) -> str:
        where = dotted(self.path)
        if self.new is _ABSENT:
            return f"{where}: left out"
        if self.old is _ABSENT:
            return f"{where}: added, {_told(self.new)}"
        return f"{where}: measured with {_told(self.old)}, judged with {_told(self.new)}"

    @property
    def needs_measuring(self) -> bool:
        """Whether the new value would have been measured differently."""
        head, *rest = self.path
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
                return self.new is not _ABSENT
            case ("graph", [] | ["prompts", _]):
                return self.new is not _ABSENT
            case ("interventions", [_, "generate"]):
                return self.new is not _ABSENT
            case ("interventions", [_, "doses"] | [_, "prompts", _] | [_, "doses", "factors", _]):
                return self.new is not _ABSENT
            case _:
                return head not in _MAY_GO or len(rest) != 1 or self.new is not _ABSENT


def post_hoc(record: Record, hypothesis: Hypothesis) -> tuple[str, ...]:
    """How a hypothesis differs from the one that was measured, one sentence a part.

    Raises:
        UsageError: It asks for what this run did not measure; all of it at once.
    """
    changes = list(_differences(_comparable(record.hypothesis), _comparable(hypothesis)))
    unmeasured = [str(change) for change in changes if change.needs_measuring]
    unmeasured += _unmeasured(record, hypothesis)
    if unmeasured:
        raise UsageError(
            f"run {record.id} does not have what this asks for; make a new run for it:\n"
            + "\n".join(f"  {text}" for text in dict.fromkeys(unmeasured))
        )
    return tuple(map(str, changes))


def _comparable(hypothesis: Hypothesis) -> dict[str, Any]:
    """The declared data in one form: short forms written out, ordered things as lists."""
    data = hypothesis.model_dump(mode="json", by_alias=True, exclude={"if_absent"})
    data["model"] = hypothesis.model_spec.model_dump(mode="json", exclude={"device"})
    if hypothesis.graph is None:
        del data["graph"]
    else:
        data["graph"]["prompts"] = {prompt: "graphed" for prompt in hypothesis.graph.prompts}
    for name, circuit in hypothesis.circuit.items():
        data["circuit"][name]["prompts"] = {prompt: "tested" for prompt in circuit.prompts}
    for name, spec in hypothesis.interventions.items():
        inner = data["interventions"][name]
        inner["clamp"] = [[clamped, _long(clamp)] for clamped, clamp in spec.clamp.items()]
        inner["prompts"] = {prompt: "tested" for prompt in spec.prompts}
        if spec.generate is None:
            del inner["generate"]
        if spec.doses is None:
            del inner["doses"]
        else:
            inner["doses"]["factors"] = {repr(f): "tested" for f in spec.doses.factors}
    return data


def _long(clamp: float | ClampSpec) -> dict[str, Any]:
    spec = clamp if isinstance(clamp, ClampSpec) else ClampSpec(times=clamp)
    amount = spec.amount
    return spec.model_dump(mode="json", by_alias=True) | {amount.unit: amount.value}


def _differences(old: Any, new: Any, path: KeyPath = ()) -> Iterator[_Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast(dict[str, Any], old), cast(dict[str, Any], new)
        for key in dict.fromkeys([*before, *after]):
            pair = (before.get(key, _ABSENT), after.get(key, _ABSENT))
            yield from _differences(*pair, (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        first, second = cast(list[Any], old), cast(list[Any], new)
        for index, pair in enumerate(zip_longest(first, second, fillvalue=_ABSENT)):
            yield from _differences(*pair, (*path, index))
    elif old != new:
        yield _Change(path, old, new)


def _told(value: Any) -> str:
    if isinstance(value, dict):
        given = cast(dict[str, Any], value)
        value = {key: inner for key, inner in given.items() if inner is not None}
    return show(value)


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
