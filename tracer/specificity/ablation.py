"""What of a hypothesis is ablated, and where its features are put on another hypothesis's prompt.

Ablated is every supernode that some intervention clamps to nothing or less (×0, ×−2, = 0, a
negative addition); where there is none, every supernode that is clamped at all. All are set to 0 at
once, in one pass. A hypothesis's task is the prompts of the interventions that clamp one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracer.features.basis import Place
from tracer.hypothesis.interventions import ClampForm, ClampSpec
from tracer.hypothesis.spec import Hypothesis
from tracer.record import SupernodeRecord
from tracer.specificity.record import Placement
from tracer.supernodes import place
from tracer.tokens import TokenizedPrompt


def ablated(hypothesis: Hypothesis) -> tuple[str, ...]:
    """Names of the supernodes that stand for a hypothesis, in the file's order."""
    clamped = [item for each in hypothesis.interventions.values() for item in each.clamp.items()]
    off = {name for name, clamp in clamped if _value(clamp) <= 0}
    named = off or {name for name, _ in clamped}
    return tuple(name for name in hypothesis.supernodes if name in named)


def task_prompts(hypothesis: Hypothesis) -> tuple[str, ...]:
    """Prompts of a hypothesis's task that have an answer: held-out ones where there are any."""
    own = set(ablated(hypothesis))
    named = {
        prompt
        for each in hypothesis.interventions.values()
        if own & each.clamp.keys()
        for prompt in each.prompts
    }
    answered = [n for n, p in hypothesis.prompts.items() if n in named and p.answer is not None]
    held_out = [name for name in answered if hypothesis.prompts[name].held_out]
    return tuple(held_out or answered)


def placements(
    supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt, home: TokenizedPrompt
) -> Mapping[Placement, list[Place]]:
    """Everywhere that features are put on another hypothesis's prompt, one entry a test.

    Args:
        supernodes: What is ablated.
        prompt: Where.
        home: A prompt of their own hypothesis, that has their spans.
    """
    has_spans = all(each.at in prompt.spans for each in supernodes)
    near: Placement = "declared" if has_spans else "last"
    return {
        near: _unique(at_declared(supernodes, prompt)),
        "aligned": _unique(_aligned(supernodes, prompt, home)),
        "everywhere": everywhere(supernodes, len(prompt.ids)),
    }


def at_declared(supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt) -> Iterator[Place]:
    """Each feature at its span; at the last token where the prompt has no such span."""
    for each in supernodes:
        at = each.at if each.at in prompt.spans else "last"
        for ref in each.features:
            pos = place(ref, prompt, at, each.anchor)
            if pos is not None:
                yield ref.layer, pos, ref.index


def everywhere(supernodes: Sequence[SupernodeRecord], n_tokens: int) -> list[Place]:
    """Each feature at every token but the first, which models use as a place to attend to."""
    features = dict.fromkeys((ref.layer, ref.index) for s in supernodes for ref in s.features)
    return [(layer, pos, index) for layer, index in features for pos in range(1, n_tokens)]


def _aligned(
    supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt, home: TokenizedPrompt
) -> Iterator[Place]:
    """Each feature as many tokens from the end as on its own prompt."""
    for layer, pos, index in at_declared(supernodes, home):
        moved = pos - len(home.ids) + len(prompt.ids)
        if moved >= 0:
            yield layer, moved, index


def _unique(places: Iterator[Place]) -> list[Place]:
    return list(dict.fromkeys(places))


def _value(clamp: ClampForm) -> float:
    return clamp.amount.value if isinstance(clamp, ClampSpec) else clamp
