"""Passes that a run makes one by one beside its rows: crude rivals, and clamps on neutral text.

Counted from the hypothesis alone, as `tracer.engine.measure.rivals` and `.neutral` make them.
Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tracer.hypothesis.clamps import HERE, InterventionSpec, long_form
from tracer.hypothesis.neutral import TEXTS, is_extreme
from tracer.hypothesis.procedure import brings, put_in, wrong_donors
from tracer.hypothesis.spec import Hypothesis

NEUTRAL_TOKENS = 14
"""Of a neutral text, about."""


class SinglePasses(NamedTuple):
    """Passes of one row each."""

    rivals: Mapping[tuple[str, str], int]
    """By intervention and prompt; each begins where the intervention's rows do."""
    sources: tuple[str, ...]
    """Whole prompts that are read once more, for what rivals put in."""
    neutral: int
    """Clamped and unclamped."""

    @property
    def n_rivals(self) -> int:
        """Passes that put something in."""
        return sum(self.rivals.values())

    @property
    def total(self) -> int:
        """All of them."""
        return self.n_rivals + len(self.sources) + self.neutral


def single_passes(hypothesis: Hypothesis) -> SinglePasses:
    """The most that there are: what a cache holds is not known here."""
    rivals: dict[tuple[str, str], int] = {}
    sources: dict[tuple[str, str], None] = {}
    neutral = 0
    for name, spec in hypothesis.interventions.items():
        neutral += len(TEXTS) * len(spec.prompts) if is_extreme(spec) else 0
        node = _brought(hypothesis, spec)
        if node is None:
            continue
        found = _read(hypothesis, spec, node)
        rivals |= {(name, prompt): found.n_passes for prompt in spec.prompts}
        sources |= {(node, prompt): None for prompt in found.prompts}
    unclamped = len(TEXTS) if neutral else 0
    return SinglePasses(rivals, tuple(prompt for _, prompt in sources), neutral + unclamped)


class _Read(NamedTuple):
    prompts: tuple[str, ...]
    n_passes: int
    """On each of the intervention's prompts."""


def _brought(hypothesis: Hypothesis, spec: InterventionSpec) -> str | None:
    """The supernode that rivals are made of; None where they are not asked for, or cannot be."""
    names = [name for name in put_in(hypothesis, spec) if brings(spec.clamp[name])]
    if not names or not hypothesis.controls.rivals:
        return None
    amount = long_form(spec.clamp[names[0]]).amount
    return names[0] if amount.unit == "times" else None


def _read(hypothesis: Hypothesis, spec: InterventionSpec, node: str) -> _Read:
    """One pass for each kind of rival, and one for each wrong answer's donors in their place."""
    supernode, clamp = hypothesis.supernodes[node], long_form(spec.clamp[node])
    rule = supernode.select
    assert rule is not None
    given = clamp.from_ or supernode.source or rule.on
    donors = [name for name in given if name != HERE]
    if not donors:
        return _Read((), 0)
    wrong = wrong_donors(hypothesis, rule)
    n_kinds = 3 if rule.compared_with else 2
    prompts = (*donors, *rule.compared_with, *(name for names in wrong.values() for name in names))
    return _Read(prompts, n_kinds * (1 + len(wrong)))
