"""How many rows and texts a run will measure: counted from the hypothesis, before anything is run.

Every clamp, dose, control and circuit score is a *row*: one changed version of a prompt. Its pass
starts at the first position that it changes; the clean pass's keys and values stand for what comes
before. That position needs the prompts' tokens. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracer.hypothesis.clamps import ClampSpec, Generation, InterventionSpec
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.neuronpedia import explicit_features
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.spec import Hypothesis, SupernodeSpec
from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.hypothesis.tokens import shared_prefix

Spans = Mapping[str, tuple[int, int]]
"""Token ranges by name, end excluded."""


@dataclass(frozen=True)
class PromptSize:
    """A prompt as the tokenizer sees it."""

    n_tokens: int
    spans: Spans
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedRows:
    """The rows of one intervention, or of one circuit, on one prompt."""

    intervention: str
    prompt: str
    clamps: int
    """Of a circuit: F(∅), F(C), F(M∖C), and at most one for each member or group left out."""
    doses: int
    """Of a circuit: the points of its curve."""
    controls: int
    """Of a circuit: random circuits, kept and taken out, and fillers."""
    freeze: str
    start: int | None
    """First position that is computed; None without a tokenizer."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.clamps + self.doses + self.controls


def intervention_rows(
    hypothesis: Hypothesis, sizes: Mapping[str, PromptSize] | None = None
) -> Iterator[PlannedRows]:
    """The rows of every intervention, prompt by prompt."""
    for name, spec in all_interventions(hypothesis).items():
        doses = len(spec.doses.factors) if spec.doses else 0
        controls = hypothesis.n_controls(spec)
        for prompt in spec.prompts:
            start = _start(spec, hypothesis, sizes[prompt]) if sizes else None
            yield PlannedRows(name, prompt, 1, doses, controls, spec.freeze, start)


def circuit_rows(
    hypothesis: Hypothesis, sizes: Mapping[str, PromptSize] | None = None
) -> Iterator[PlannedRows]:
    """The rows of every circuit on each of its prompts, less those that cannot be ablated."""
    for name, spec in hypothesis.studies_of(CircuitSpec).items():
        ranked = spec.curve and any(not hypothesis.prompts[p].held_out for p in spec.prompts)
        groups = min(spec.groups, sum(_most(spec, hypothesis, each) for each in spec.supernodes))
        drawn = (3 if groups else 2) * spec.random
        for prompt in spec.prompts:
            start = None
            if sizes:
                ids = {each: sizes[each].ids for each in spec.reference}
                scope = circuit_scope(spec, sizes[prompt].ids, sizes[prompt].spans, ids)
                if isinstance(scope, str):
                    continue
                start = scope.start
            curve = len(SHARES) if ranked else 0
            yield PlannedRows(f"circuit {name}", prompt, 3 + groups, curve, drawn, "none", start)


def circuit_scope(
    spec: CircuitSpec, ids: Sequence[int], spans: Spans, references: Mapping[str, Sequence[int]]
) -> range | str:
    """The positions that a circuit ablates on a prompt, or a sentence that says why there are none.

    Tokens that a prompt begins with in common with every reference prompt are left out: what stands
    there is the mean already.

    Args:
        spec: The circuit.
        ids: The prompt's tokens.
        spans: The prompt's spans.
        references: Tokens of the reference prompts, by name.
    """
    for name, other in references.items():
        if len(other) != len(ids):
            return (
                f"the reference prompt {name!r} has {len(other)} tokens and this one {len(ids)}, "
                "so there is no mean at the same positions"
            )
    first = shared_prefix(ids, list(references.values()))
    at = spec.within.at
    start, stop = (0, len(ids)) if at is None else spans[at]
    if first >= stop:
        where = "it" if at is None else f"its span {at!r}"
        return f"the reference prompts have the same tokens as {where}: nothing would be ablated"
    return range(max(start, first), stop)


def n_ranked(hypothesis: Hypothesis) -> int:
    """Backward passes that rank the features of the curves: one per discovery prompt."""
    curves = [spec for spec in hypothesis.studies_of(CircuitSpec).values() if spec.curve]
    return sum(not hypothesis.prompts[p].held_out for spec in curves for p in spec.prompts)


def planned_texts(hypothesis: Hypothesis) -> list[tuple[str, Generation]]:
    """Settings by prompt: those of every intervention, and once more for the unclamped texts."""
    clamped = [
        (prompt, spec.generate)
        for spec in hypothesis.interventions.values()
        for prompt in spec.prompts
        if spec.generate is not None
    ]
    return [*clamped, *dict.fromkeys(clamped)]


def _start(spec: InterventionSpec, hypothesis: Hypothesis, size: PromptSize) -> int:
    """The first position that any clamp of the intervention writes to."""
    nodes = hypothesis.supernodes
    return min(_first_position(nodes[name], clamp, size) for name, clamp in spec.clamp.items())


def _first_position(supernode: SupernodeSpec, clamp: float | ClampSpec, size: PromptSize) -> int:
    own = clamp.at if isinstance(clamp, ClampSpec) else None
    at = own or supernode.span
    start, end = size.spans.get(at, (size.n_tokens - 1, size.n_tokens))
    select = supernode.select
    first = end - 1 if select is None or select.tokens == "last" else start
    given = [parse_given(text).pos for text in explicit_features(supernode) or ()]
    return min([pos for pos in given if pos is not None] or [first])


def _most(spec: CircuitSpec, hypothesis: Hypothesis, name: str) -> int:
    """How many members a supernode has at most, as far as that can be told before it is found."""
    node = hypothesis.supernodes[name]
    if node.select is None:
        return len(explicit_features(node) or ())
    return node.select.top or spec.groups
