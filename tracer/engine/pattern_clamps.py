"""From declared pattern clamps to patterns on one prompt, and controls that are matched to them.

A control knocks out as much elsewhere: another set of heads of the same layers, from the same
queries, to the same keys or to as many others in a row; or the same heads, to other keys. The first
token, which models use as a place to attend to, is no control's key. A pattern taken from another
prompt is compared with that of other heads alone. A set of heads may share some with the real one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.features.places import HEADS, Place, PlaceValues
from tracer.engine.other_sets import MemberSet, other_sets, standing_for
from tracer.engine.patterns import Knockout, Look, PatternEdit, Replaced, Span, patterns_of
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.attention import HeadsForm, PatternClamp
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.heads import HeadName, head_id, parse_head
from tracer.record.head_shares import LONGEST_ROW
from tracer.record.trials import PatternRecord


def heads_of(context: MeasurementContext, heads: HeadsForm) -> tuple[HeadName, ...]:
    """The heads that are named, each once."""
    if isinstance(heads, str):
        refs = context.supernodes[heads].heads
        return tuple(dict.fromkeys(HeadName(ref.layer, ref.head) for ref in refs))
    return tuple(map(parse_head, heads))


def patterns(
    context: MeasurementContext, prompt: str
) -> Mapping[int, Float[Tensor, "head query key"]]:
    """The unclamped patterns of a prompt, by layer; found once."""
    key = f"patterns/{prompt}"
    if key not in context.kept:
        context.kept[key] = patterns_of(context.model, context.clean[prompt].ids)
    return context.kept[key]


def resolve_patterns(
    context: MeasurementContext, spec: InterventionSpec, prompt: str
) -> list[PatternEdit]:
    """What an intervention's pattern clamps set on one prompt."""
    return [
        edit
        for clamp in spec.attention
        for edit in _edits(context, clamp, prompt, heads_of(context, clamp.heads))
    ]


def _edits(
    context: MeasurementContext,
    clamp: PatternClamp,
    prompt: str,
    heads: Iterable[HeadName],
    keys: Span | None = None,
) -> Iterator[PatternEdit]:
    """One clamp on some heads, and on other keys than its own where they are given."""
    spans = context.clean[prompt].prompt.spans
    n = len(context.clean[prompt].ids)
    queries = (0, n) if clamp.from_ is None else spans[clamp.from_]
    for layer, head in heads:
        if clamp.like is not None:
            weights = patterns(context, clamp.like)[layer][head, slice(*queries)]
            yield Replaced(layer, head, queries, weights)
        else:
            assert clamp.to is not None
            yield Knockout(layer, head, queries, keys or spans[clamp.to], clamp.keep)


def pattern_problem(
    context: MeasurementContext, edits: Sequence[PatternEdit], prompt: str
) -> str | None:
    """Why a knockout means nothing on a prompt; None where it does."""
    for edit in edits:
        if not isinstance(edit, Knockout):
            continue
        pattern = patterns(context, prompt)[edit.layer][edit.head, slice(*edit.queries)]
        if not bool(pattern[:, slice(*edit.keys)].sum()):
            return _unseen(HeadName(edit.layer, edit.head))
        rest = pattern.clone()
        rest[:, slice(*edit.keys)] = 0
        if not edit.keep and not bool((rest.sum(-1) > 0).all()):
            return (
                f"without these keys a query of head {head_id(edit.layer, edit.head)} has none left"
            )
    return None


def _unseen(head: HeadName) -> str:
    return f"head {head} gives these keys a weight of exactly 0: its window does not reach them"


def unseen_by(context: MeasurementContext, look: Look, prompt: str) -> str | None:
    """Why a head cannot look there at all; None where it can."""
    for layer, head in look.heads:
        pattern = patterns(context, prompt)[layer][head, slice(*look.queries)]
        if not bool(pattern[:, slice(*look.keys)].sum()):
            return _unseen(HeadName(layer, head))
    return None


def pattern_records(
    context: MeasurementContext, spec: InterventionSpec, prompt: str
) -> tuple[PatternRecord, ...]:
    """What each pattern clamp changed: the weight that moved, mean over its heads and queries."""
    found: list[PatternRecord] = []
    for clamp in spec.attention:
        edits = list(_edits(context, clamp, prompt, heads_of(context, clamp.heads)))
        moved: list[float] = []
        for edit in edits:
            before = patterns(context, prompt)[edit.layer][edit.head].clone()
            after = before.clone()
            edit.apply(after, 0)
            rows = (after - before)[slice(*edit.queries)]
            moved.append(float(rows.abs().sum(-1).mean()) / 2)
        found.append(
            PatternRecord(
                words=clamp.words(),
                supernode=clamp.heads if isinstance(clamp.heads, str) else None,
                heads=tuple(head_id(edit.layer, edit.head) for edit in edits),
                moved=math.fsum(moved) / len(moved),
            )
        )
    return tuple(found)


def written_at_end(
    context: MeasurementContext, edits: Sequence[PatternEdit], prompt: str
) -> PlaceValues | None:
    """The heads' own activations at the last token with these patterns and the clean values.

    z = Σ_k A(q, k) v(k), with v as the prompt's clean pass kept it: what a pattern changes of a
    head before anything else reacts. None where a model makes its z otherwise (gated attention).
    """
    clean, found = context.clean[prompt], dict[Place, float]()
    last = len(clean.ids) - 1
    heads = {(e.layer, e.head) for e in edits if e.queries[1] > last}
    for layer, head in sorted(heads):
        before = patterns(context, prompt)[layer][head]
        after = before.clone()
        for edit in edits:
            if (edit.layer, edit.head) == (layer, head):
                edit.apply(after, 0)
        kept = clean.prefix.values[layer][0]
        group = len(patterns(context, prompt)[layer]) // len(kept)
        v = kept[head // group].float().cpu()
        d_head = v.shape[1]
        z = clean.activation(HEADS + layer, last).float()[head * d_head :][:d_head]
        if not torch.allclose(before[last] @ v, z, rtol=1e-3, atol=1e-3 * float(z.norm())):
            return None
        new = (after[last] @ v).tolist()
        found |= {(HEADS + layer, last, head * d_head + n): x for n, x in enumerate(new)}
    return PlaceValues.of(found)


def looks_of(context: MeasurementContext, spec: InterventionSpec, prompt: str) -> dict[str, Look]:
    """The weights that an intervention's expectations ask for, by their names."""
    spans, found = context.clean[prompt].prompt.spans, dict[str, Look]()
    for expectation in spec.expect:
        if isinstance(expectation, Attends):
            asked = expectation.attends
            heads = heads_of(context, asked.heads)
            found[asked.key] = Look(heads, spans[asked.from_], spans[asked.to])
    return found


def unclamped_weight(context: MeasurementContext, look: Look, prompt: str) -> float:
    """A weight as it is without clamps."""
    unclamped = patterns(context, prompt)
    layers = dict.fromkeys(layer for layer, _ in look.heads)
    return float(sum(float(look.of(unclamped[layer], layer, 0)) for layer in layers))


def unclamped_row(context: MeasurementContext, look: Look, prompt: str) -> tuple[float, ...]:
    """What each position gets as it is without clamps; nothing of a long prompt."""
    unclamped = patterns(context, prompt)
    rows = [
        unclamped[layer][head, slice(*look.queries), : look.queries[1]].mean(0)
        for layer, head in look.heads
    ]
    return kept_row(torch.stack(rows).mean(0))


def kept_row(weights: Float[Tensor, " key"]) -> tuple[float, ...]:
    """A row of a pattern as a record keeps it."""
    if len(weights) > LONGEST_ROW:
        return ()
    return tuple(round(weight, 5) for weight in weights.tolist())


class _Choice(NamedTuple):
    """What one control has in place of the real one."""

    heads: MemberSet
    """By layer, those that stand for its named ones."""
    keys: tuple[Span | None, ...]
    """By clamp; None for the real one's own."""


def pattern_controls(
    context: MeasurementContext,
    spec: InterventionSpec,
    prompt: str,
    excluded: Mapping[int, frozenset[int]],
    n: int,
    seed: str,
) -> list[list[PatternEdit]]:
    """At most `n` different matched controls; all there are where these are fewer.

    `excluded` are the heads, by the number of their layer, that no control has beside the named
    ones.
    """
    if not spec.attention or n == 0:
        return []
    own = [heads_of(context, clamp.heads) for clamp in spec.attention]
    named: dict[int, list[int]] = {}
    for layer, head in sorted({head for heads in own for head in heads}):
        named.setdefault(layer, []).append(head)
    pools = [
        _usable(context, prompt, layer, excluded.get(HEADS + layer, frozenset()) - set(heads))
        for layer, heads in named.items()
    ]
    runs = [_runs(context, clamp, prompt, own[i]) for i, clamp in enumerate(spec.attention)]
    controls: list[list[PatternEdit]] = []
    for choice in _choices(pools, list(named.values()), runs, n, seed):
        stands = {
            HeadName(layer, old): HeadName(layer, new)
            for (layer, olds), news in zip(named.items(), choice.heads, strict=True)
            for old, new in zip(olds, standing_for(olds, news), strict=True)
        }
        edits = list[PatternEdit]()
        for clamp, heads, run in zip(spec.attention, own, choice.keys, strict=True):
            edits += _edits(context, clamp, prompt, [stands[h] for h in heads], run)
        controls.append(edits)
    return controls


def _choices(
    pools: Sequence[Sequence[int]],
    own: Sequence[Sequence[int]],
    runs: Sequence[Sequence[Span]],
    n: int,
    seed: str,
) -> list[_Choice]:
    """All there are, or `n` different ones at random: heads and keys, not both the real ones."""
    numbers = [*pools, *(range(len(each) + 1) for each in runs)]
    real = [*own, *([0] for _ in runs)]
    keys: list[list[Span | None]] = [[None, *each] for each in runs]
    return [
        _Choice(
            found[: len(pools)],
            tuple(of[k] for of, (k,) in zip(keys, found[len(pools) :], strict=True)),
        )
        for found in other_sets(numbers, real, n, seed)
    ]


def _usable(context: MeasurementContext, prompt: str, layer: int, without: Set[int]) -> list[int]:
    """Heads of a layer that may stand for others."""
    n_heads = len(patterns(context, prompt)[layer])
    return [head for head in range(n_heads) if head not in without]


def _runs(
    context: MeasurementContext, clamp: PatternClamp, prompt: str, heads: Sequence[HeadName]
) -> list[Span]:
    """As many other keys in a row, that a query sees in every layer; none of the clamp's own."""
    if clamp.from_ is None or clamp.to is None:
        return []
    spans = context.clean[prompt].prompt.spans
    (first, last), (start, stop) = spans[clamp.from_], spans[clamp.to]
    length, found = stop - start, list[Span]()
    for at in range(1, last - length + 1):
        run = (at, at + length)
        if run[1] <= start or run[0] >= stop:
            seen = (
                patterns(context, prompt)[layer][:, first:last, slice(*run)].sum()
                for layer in {layer for layer, _ in heads}
            )
            found += [run] if all(map(bool, seen)) else []
    return found
