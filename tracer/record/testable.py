"""What of a run can be tested: nothing where the unclamped model does not answer as declared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from tracer.hypothesis.clamps import InterventionSpec, long_form, taken_from
from tracer.record.record import PromptRecord, Record
from tracer.record.trials import Reading, Trial

NOT_MEASURED = "it was not measured: nothing of it can be tested (`--keep-going` measures all)"
"""The problem of a trial that was left out."""


def is_top(reading: Reading, token: str) -> bool:
    """Whether this token is the most probable one: by id, and it was asked for."""
    asked = reading.tokens.get(token)
    return asked is not None and asked.id == reading.top[0].id


def unusable(reading: Reading) -> str | None:
    """Why nothing can be read off an output: None where it can."""
    if not reading.top:
        return "no output was recorded"
    tokens = (*reading.top, *reading.tokens.values())
    if any(math.isnan(t.logit) or math.isnan(t.probability) for t in tokens):
        return "the logits hold NaN"
    if not reading.top[0].probability > 0:
        return "the most probable token has no probability"
    return None


def baseline_problem(prompt: PromptRecord) -> str | None:
    """Why the unclamped output is not what the experiment starts from; None if it is."""
    reason = unusable(prompt.baseline)
    if reason is not None:
        return f"baseline: {reason}"
    if gives_answer(prompt):
        return None
    assert prompt.answer is not None
    top = prompt.baseline.top[0]
    return f"baseline: model says {top.token!r} ({top.probability:.2f}), not {prompt.answer!r}"


def gives_answer(prompt: PromptRecord) -> bool:
    """Whether the unclamped model gives the prompt's answer, where it has one."""
    return prompt.answer is None or is_top(prompt.baseline, prompt.answer)


def trial_problem(record: Record, trial: Trial) -> str | None:
    """Why nothing can be judged of a trial; None where it can."""
    own = baseline_problem(record.prompts[trial.prompt])
    if own is not None:
        return own
    sources = {each.supernode: each.source for each in trial.clamps}
    sources |= {
        each.supernode: () for each in trial.patterns if each.supernode not in (None, *sources)
    }
    inherited = _clamps_problem(record, sources)
    return inherited or trial.problem or unusable(trial.reading)


def setup_problem(record: Record, spec: InterventionSpec, prompt: str) -> str | None:
    """`trial_problem` as far as the unclamped passes tell it, before anything is clamped."""
    sources = {
        name: taken_from(long_form(clamp), record.supernodes[name].source, prompt)
        for name, clamp in spec.clamp.items()
    }
    sources |= {name: () for name in spec.set_supernodes if name not in sources}
    return baseline_problem(record.prompts[prompt]) or _clamps_problem(record, sources)


def _clamps_problem(record: Record, sources: Mapping[str, Sequence[str]]) -> str | None:
    """`source_problem` of clamps, by supernode the prompts its activations are taken from."""
    for name, prompts in sources.items():
        inherited = source_problem(record, name, (*found_on(record, name), *prompts))
        if inherited is not None:
            return inherited
    return None


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
