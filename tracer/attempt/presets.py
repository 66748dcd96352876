"""A recorded intervention as an attempt to start from."""

from __future__ import annotations

from tracer.attempt.wish import Attempt, Clamping, Mode
from tracer.hypothesis.interventions import HERE, ClampForm, ClampSpec
from tracer.record import PromptRecord, Record
from tracer.report.effects import fill, measures


def preset(record: Record, intervention: str, prompt: str) -> Attempt:
    """The clamps, freeze mode and leading measure of an intervention, on one prompt."""
    spec = record.hypothesis.interventions[intervention]
    asked = measures(spec)
    told = tuple(fill(record, prompt, token) for token in asked[0].tokens) if asked else ()
    return Attempt(
        prompt=prompt,
        clamps=tuple(_clamping(name, given) for name, given in spec.clamp.items()),
        measure=told or default_measure(record.prompts[prompt]),
        freeze=spec.freeze,
    )


def default_measure(prompt: PromptRecord) -> tuple[str, ...]:
    """The answer's probability, or that of the most probable token."""
    return (prompt.answer or prompt.baseline.top[0].token,)


def tokens_to_measure(prompt: PromptRecord) -> tuple[str, ...]:
    """The answer, what the hypothesis asks for, then the most probable tokens."""
    answer = (prompt.answer,) if prompt.answer is not None else ()
    top = (reading.token for reading in prompt.baseline.top)
    return tuple(dict.fromkeys((*answer, *prompt.baseline.tokens, *top)))


def _clamping(name: str, given: ClampForm) -> Clamping:
    clamp = given if isinstance(given, ClampSpec) else ClampSpec(times=given)
    unit, value = clamp.amount
    here = set(clamp.from_ or ()) == {HERE}
    modes: dict[str, Mode] = {"to": "set", "add": "add", "times": "scale" if here else "inject"}
    mode: Mode = "ablate" if (unit, value) == ("times", 0) else modes[unit]
    return Clamping(name, mode, float(value), at=clamp.at, onward=clamp.onward)
