"""Baseline first: where the model lacks the behaviour, nothing about its inside can be tested.

A prompt with an answer must get it unclamped. So must the prompts that a clamped supernode was
found on (where the rule goes toward the answer) and those that its activations come from.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.evidence.case import is_top, unusable
from tracer.evidence.wording import show_token
from tracer.record import PromptRecord, Record, Trial


def baseline_problem(prompt: PromptRecord) -> str | None:
    """Why the unclamped output is not what the experiment starts from; None if it is."""
    reason = unusable(prompt.baseline)
    if reason is not None:
        return f"baseline: {reason}"
    if gives_answer(prompt):
        return None
    assert prompt.answer is not None
    top = prompt.baseline.top[0]
    return (
        f"baseline: model says {show_token(top.token)} ({top.probability:.2f}), "
        f"not {show_token(prompt.answer)}"
    )


def gives_answer(prompt: PromptRecord) -> bool:
    """Whether the unclamped model gives the prompt's answer, where it has one."""
    return prompt.answer is None or is_top(prompt.baseline, prompt.answer)


def trial_problem(record: Record, trial: Trial) -> str | None:
    """Why nothing can be judged of a trial; None where it can."""
    own = baseline_problem(record.prompts[trial.prompt])
    if own is not None:
        return own
    for clamp in trial.clamps:
        prompts = (*found_on(record, clamp.supernode), *clamp.source)
        inherited = source_problem(record, clamp.supernode, prompts)
        if inherited is not None:
            return inherited
    return trial.problem or unusable(trial.reading)


def source_problem(record: Record, supernode: str, prompts: Iterable[str]) -> str | None:
    """The first of a supernode's source prompts that the model does not answer as it should."""
    for name in dict.fromkeys(prompts):
        problem = baseline_problem(record.prompts[name])
        if problem is not None:
            return f"{problem} on {name}, a source of {supernode}"
    return None


def found_on(record: Record, supernode: str) -> tuple[str, ...]:
    """The prompts whose answer a supernode's rule goes toward."""
    rule = record.hypothesis.supernodes[supernode].select
    return rule.on if rule is not None and rule.toward == "answer" else ()
