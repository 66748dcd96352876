"""Swaps: on every prompt of a concept, every other concept's answer in its place."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracer.evidence.case import Wording, is_top, untested
from tracer.evidence.conclusion import Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.top import say_top
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.wording import counted
from tracer.hypothesis.expectations.base import Expected
from tracer.hypothesis.studies.swaps import Swaps, swap_name
from tracer.hypothesis.template import render_token
from tracer.record.verdict import Outcome, PromptOutcome

ARROW = " ← "
"""Between a recipient prompt and the donor, as a swap is named in a verdict."""


def judge_swaps(bench: JudgingContext) -> Iterator[Judged]:
    """One outcome for each matrix and split, and one for each pair where a share of it is asked."""
    for name, study in bench.asked.swaps.items():
        whole = Expected(mostly=study.mostly)
        for split, prompts in bench.splits(study.prompts):
            wording = Wording("top token", "the donor's answer")
            found = [one for prompt in prompts for one in _on(bench, name, study, prompt)]
            outcome = split_outcome(name, split, wording, study.mostly, found)
            outcome = _counted(outcome, _weak_pairs(study, outcome))
            where = f"with each of {counted(len(study.concepts), 'concept')} put for every other,"
            yield Judged(where, whole, wording, outcome)


def _on(bench: JudgingContext, name: str, study: Swaps, prompt: str) -> Iterator[PromptOutcome]:
    recipient = recipient_of(study, prompt)
    for donor, donors in study.concepts.items():
        if donor == recipient:
            continue
        pair = f"{prompt}{ARROW}{donor}"
        trial = bench.trial(swap_name(name, recipient, donor), prompt)
        if isinstance(trial, str):
            yield untested(pair, trial)
            continue
        declared = bench.asked.prompts[donors[0]]
        assert declared.answer is not None
        held = is_top(trial.reading, render_token(declared.answer, declared))
        yield PromptOutcome(
            prompt=pair, outcome="held" if held else "failed", observed=say_top(trial.reading)
        )


def recipient_of(study: Swaps, prompt: str) -> str:
    """The concept that a prompt carries."""
    return next(name for name, prompts in study.concepts.items() if prompt in prompts)


def _weak_pairs(study: Swaps, outcome: Outcome) -> list[str]:
    """Pairs of which fewer swaps succeeded than each must."""
    if study.each is None:
        return []
    pairs: dict[tuple[str, str], list[PromptOutcome]] = {}
    for one in outcome.prompts:
        prompt, donor = one.prompt.rsplit(ARROW, 1)
        pairs.setdefault((recipient_of(study, prompt), donor), []).append(one)
    weak: list[str] = []
    for (recipient, donor), found in pairs.items():
        n_held = sum(one.outcome == "held" for one in found)
        n_open = sum(one.outcome == "untested" for one in found)
        if n_held + n_open < math.ceil(study.each * len(found) - 1e-9):
            weak.append(f"{recipient}{ARROW}{donor} {n_held} of {len(found)}")
    return weak


def _counted(outcome: Outcome, weak: list[str]) -> Outcome:
    """In swaps, not in prompts, and failed where a pair falls short."""
    changes: dict[str, object] = {
        "expected": outcome.expected.replace("prompts", "swaps").replace("prompt", "swap")
    }
    if weak:
        changes["outcome"] = "failed"
        changes["observed"] = f"{outcome.observed}; too few of a pair: {'; '.join(weak)}"
    return Outcome.model_validate(outcome.model_dump() | changes)
