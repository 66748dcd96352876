"""What a run costs together with its variations: each a run of its own on the model that is open.

A variation's rows are counted as if nothing were cached, and as if every choice were one: that
another size finds the same features shows only when the rules are followed. Clean passes and
supernodes that would come out the same are taken from the run (`tracer.reuse`), and cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.variations import REPEATED, Variation, found_on, measurable
from tracer.model_size import ModelSize
from tracer.plan import Plan, PromptSize, make_plan

Number = TypeVar("Number", int, float)
Sizes = Mapping[str, PromptSize]
"""Tokenized prompts, by name."""


def make_whole_plan(
    hypothesis: Hypothesis,
    *,
    sizes: Sizes | None = None,
    varied: Mapping[str, Sizes] | None = None,
    model: ModelSize | None = None,
    cores: int = 1,
) -> Plan:
    """`make_plan` of the file and its variations together.

    Args:
        hypothesis: as it would be run.
        sizes: its prompts; without them only the counts that need none.
        varied: the prompts of variations whose text is another, by the variation's name.
        model: without it neither batches, bytes nor seconds.
        cores: CPU cores.
    """
    plan = make_plan(hypothesis, sizes=sizes, model=model, cores=cores)
    for each in measurable(hypothesis):
        own = (varied or {}).get(each.name, sizes)
        inner = make_plan(each.hypothesis, sizes=own, model=model, cores=cores)
        reused = make_plan(_reused(hypothesis, each), sizes=own, model=model, cores=cores)
        plan = _with(plan, inner, reused, each.name)
    return plan


def _reused(hypothesis: Hypothesis, variation: Variation) -> Hypothesis:
    """What the run has already of a variation: prompts with the same text, rules unchanged."""
    varied = variation.hypothesis
    same_text = variation.axis != "template"
    prompts = {
        name: prompt
        for name, prompt in varied.prompts.items()
        if same_text or prompt.text is not None or prompt.messages is not None
    }
    supernodes = {
        name: node
        for name, node in varied.supernodes.items()
        if variation.axis == "seed"
        or (node == hypothesis.supernodes[name] and set(found_on(node)) <= prompts.keys())
    }
    bare: dict[str, Any] = {section: {} for section in REPEATED}
    return varied.model_copy(update={**bare, "prompts": prompts, "supernodes": supernodes})


def _with(plan: Plan, inner: Plan, reused: Plan, name: str) -> Plan:
    """The plan and a variation's, whose rows stand under its name."""
    rows = (replace(each, intervention=f"variation {name}") for each in inner.rows)
    seconds = _sum(inner.seconds, None if reused.seconds is None else -reused.seconds)
    return replace(
        plan,
        prompts=plan.prompts + inner.prompts - reused.prompts,
        backward=plan.backward + inner.backward - reused.backward,
        rows=(*plan.rows, *rows),
        texts=plan.texts + inner.texts,
        batches=_sum(plan.batches, inner.batches),
        tokens=_sum(plan.tokens, inner.tokens),
        tokens_full=_sum(plan.tokens_full, inner.tokens_full),
        bytes=max(plan.bytes or 0, inner.bytes or 0) or None,
        seconds=_sum(plan.seconds, seconds),
    )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other
