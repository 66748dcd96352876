"""How many rows a circuit will take on each prompt, before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tracer.evidence.curve import SHARES
from tracer.hypothesis.circuits import CircuitSpec
from tracer.hypothesis.explicit import explicit_features
from tracer.hypothesis.spec import Hypothesis
from tracer.tokens import shared_prefix


class Tokens(NamedTuple):
    """A prompt as the tokenizer sees it."""

    ids: Sequence[int]
    spans: Mapping[str, tuple[int, int]]


class CircuitRows(NamedTuple):
    """The rows of a circuit on one prompt."""

    prompt: str
    scores: int
    """F(∅), F(C), F(M∖C), and one for each member or group left out: at most."""
    curve: int
    controls: int
    """Random circuits, kept and taken out, and fillers."""
    start: int | None
    """First position that is computed; None without a tokenizer."""


def circuit_rows(
    spec: CircuitSpec, hypothesis: Hypothesis, tokens: Mapping[str, Tokens] | None
) -> Iterator[CircuitRows]:
    """A circuit's rows on every prompt that can be ablated."""
    discovery = [p for p in spec.prompts if not hypothesis.prompts[p].held_out]
    for prompt in spec.prompts:
        start = _start(spec, prompt, tokens) if tokens else None
        if tokens and start is None:
            continue
        groups = min(spec.groups, sum(_size(spec, hypothesis, name) for name in spec.supernodes))
        yield CircuitRows(
            prompt=prompt,
            scores=3 + groups,
            curve=len(SHARES) if spec.curve and discovery else 0,
            controls=(3 if groups else 2) * spec.random,
            start=start,
        )


def n_ranked(hypothesis: Hypothesis) -> int:
    """Backward passes that rank the features of the curves: one per discovery prompt."""
    return sum(
        not hypothesis.prompts[prompt].held_out
        for spec in hypothesis.circuit.values()
        for prompt in spec.prompts
        if spec.curve
    )


def _start(spec: CircuitSpec, prompt: str, tokens: Mapping[str, Tokens]) -> int | None:
    """The first position that is ablated; None where other token lengths forbid it."""
    own, others = tokens[prompt], [tokens[name].ids for name in spec.reference]
    if any(len(other) != len(own.ids) for other in others):
        return None
    first = shared_prefix(own.ids, others)
    start, stop = own.spans[spec.within.at] if spec.within.at else (0, len(own.ids))
    return max(first, start) if first < stop else None


def _size(spec: CircuitSpec, hypothesis: Hypothesis, name: str) -> int:
    """How many members a supernode has at most, as far as that can be told before it is found."""
    node = hypothesis.supernodes[name]
    if node.select is None:
        return len(explicit_features(node) or ())
    return node.select.top or spec.groups
