"""Supernodes: given by ids or found by a selection rule, and where their members are on a prompt.

A member is kept as (layer, index, offset): `offset` tokens left of the anchor token of a span, so
that one supernode fits prompts whose spans have other lengths. Spans are aligned at their last
token (`tokens: last` and `all`) or their first (`first`); an offset that a shorter span does not
have is left out there.

A selection rule scores every candidate on its prompts and keeps the best. Candidates are the
features of the rule's layers at the tokens of its span, compared offset by offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.graph import attribute
from tracer.engine.attribution.patching import along, output_gradients
from tracer.engine.attribution.targets import Targets, direction_of, explained
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import Places
from tracer.engine.model.model import Model
from tracer.engine.progress import Silent
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.spec import PromptSpec, Selection, SupernodeSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.graph.influence import influence
from tracer.record.record import FeatureRef, SupernodeRecord

GRAPH_FEATURES = 2048
"""Kept in each graph that the rule `influence` reads."""
Anchor = Literal["last", "first"]


def anchor_position(prompt: TokenizedPrompt, at: str, anchor: Anchor) -> int:
    """Token position of a span's anchor."""
    start, end = prompt.spans[at]
    return start if anchor == "first" else end - 1


def position_of(ref: FeatureRef, prompt: TokenizedPrompt, at: str, anchor: Anchor) -> int | None:
    """Token position of a member on a prompt; None where the prompt's span is too short."""
    if ref.position is not None:
        return ref.position if ref.position < len(prompt.ids) else None
    pos = anchor_position(prompt, at, anchor) - ref.offset
    return pos if pos >= prompt.spans[at][0] else None


class Placed(NamedTuple):
    """Members of a supernode that have a place on a prompt."""

    member: Int[np.ndarray, " n"]
    """Their numbers."""
    where: Places


def places_of(supernode: SupernodeRecord, prompt: TokenizedPrompt, at: str) -> Placed:
    """Every member that has a place on a prompt when put at a span."""
    found: list[tuple[int, int, int, int]] = []
    positions: dict[tuple[int, int | None], int | None] = {}
    for member, ref in enumerate(supernode.features):
        key = (ref.offset, ref.position)
        if key not in positions:
            positions[key] = position_of(ref, prompt, at, supernode.anchor)
        pos = positions[key]
        if pos is not None:
            found.append((member, ref.layer, pos, ref.index))
    columns = np.array(found, np.int64).reshape(-1, 4)
    return Placed(columns[:, 0], columns[:, 1:])


def from_ids(name: str, spec: SupernodeSpec, features: Sequence[str]) -> SupernodeRecord:
    """A supernode of explicit ids: `layer_index`, or `layer_index_position`."""
    given = [parse_given(text) for text in features]
    return SupernodeRecord(
        name=name,
        label=spec.label or name,
        at=spec.at or "last",
        anchor="last",
        features=tuple(FeatureRef(layer=g.layer, index=g.feature, position=g.pos) for g in given),
        source=spec.source or (),
    )


def with_maxima(supernode: SupernodeRecord, spec: SupernodeSpec) -> SupernodeRecord:
    """The supernode with what the file says of its features' maxima, also where it was locked.

    Raises:
        UsageError: A feature of the lock has none.
    """
    if spec.maxima is None:
        return supernode
    ids = [f"{ref.layer}_{ref.index}" for ref in supernode.features]
    missing = [id_ for id_ in ids if id_ not in spec.maxima]
    if missing:
        raise UsageError(
            f"supernode {supernode.name!r}: its `maxima` lack {', '.join(missing)}, "
            "which the lock has."
        )
    features = tuple(
        ref.model_copy(update={"maximum": spec.maxima[id_]})
        for ref, id_ in zip(supernode.features, ids, strict=True)
    )
    return supernode.model_copy(update={"features": features})


def with_widths(supernode: SupernodeRecord, basis: FeatureBasis) -> SupernodeRecord:
    """A supernode that says how many features the layers of its members have."""
    layers = sorted({ref.layer for ref in supernode.features})
    widths = {layer: basis.n_features(layer) for layer in layers}
    return supernode.model_copy(update={"widths": widths})


def select(name: str, spec: SupernodeSpec, scores: RuleScores) -> SupernodeRecord:
    """Carry out a selection rule and keep its strongest features."""
    rule = spec.select
    assert rule is not None
    scored = scores.score(rule)
    positive = scored.scores.flatten().clamp_min(0)
    order = torch.sort(positive, descending=True, stable=True).indices
    kept = order[: _size(rule, positive[order])]
    total = float(positive.sum())
    return SupernodeRecord(
        name=name,
        label=spec.label or name,
        at=rule.at,
        anchor=_anchor(rule),
        features=tuple(scored.ref(int(flat)) for flat in kept),
        source=spec.source or rule.on,
        share=float(positive[kept].sum()) / total if total > 0 else None,
        n_candidates=positive.numel(),
    )


def _size(rule: Selection, descending: Float[Tensor, " candidate"]) -> int:
    """How many of the ordered, non-negative scores a rule keeps; never one that scored nothing."""
    n_positive = int((descending > 0).sum())
    if rule.top is not None:
        return min(rule.top, n_positive)
    assert rule.share is not None
    reached = descending.double().cumsum(0) >= rule.share * float(descending.double().sum()) - 1e-12
    return min(int((~reached).sum()) + 1, n_positive)


class Scored(NamedTuple):
    """Scores of every candidate of a rule, layer-major: `[offset, layer · feature]`."""

    scores: Float[Tensor, "offset candidate"]
    layers: Sequence[int]
    widths: Sequence[int]

    def ref(self, flat: int) -> FeatureRef:
        """The feature at a flat index of `scores`."""
        offset, rest = divmod(flat, self.scores.shape[1])
        for layer, width in zip(self.layers, self.widths, strict=True):
            if rest < width:
                score = float(self.scores.flatten()[flat])
                return FeatureRef(layer=layer, index=rest, offset=offset, score=score)
            rest -= width
        raise AssertionError("flat index out of range")


class RuleScores:
    """Scores of all candidates under the rules of a model, whichever prompts they name.

    What takes a pass or a graph is computed once a prompt: procedure-matched controls carry one
    rule out on many lists of the same prompts.
    """

    def __init__(
        self,
        model: Model,
        basis: FeatureBasis,
        clean: Mapping[str, CleanRun],
        prompts: Mapping[str, PromptSpec],
    ) -> None:
        self._model, self._basis, self._clean, self._prompts = model, basis, clean, prompts
        self._gradients: dict[_Key, Mapping[int, Tensor]] = {}
        self._influences: dict[_Key, Tensor] = {}

    def score(self, rule: Selection) -> Scored:
        """The score of every candidate of a rule, see `Selection`."""
        first, last = rule.layers or (0, self._basis.n_layers - 1)
        layers = range(first, min(last, self._basis.n_layers - 1) + 1)
        used = [self._clean[name] for name in (*rule.on, *rule.compared_with)]
        offsets = range(_n_offsets(rule, [run.prompt for run in used]))
        if rule.by == "influence":
            found = [self._influence(run, rule, offsets, layers) for run in used]
            scores = _contrast(found, len(rule.on))
        else:
            active = {run.prompt.name: _activations(run, rule, offsets, layers) for run in used}
            patched = self._blind if rule.is_blind else self._patched
            scores = patched(rule, active, offsets, layers)
        return Scored(scores, layers, [self._basis.n_features(layer) for layer in layers])

    def _blind(
        self, rule: Selection, active: Mapping[str, Tensor], offsets: range, layers: range
    ) -> Float[Tensor, "offset candidate"]:
        """`blind_scores` · ‖W_dec‖."""
        contrasts = [[active[name] for name in group] for group in rule.contrasts]
        scores = blind_scores(torch.stack([active[name] for name in rule.on]), contrasts)
        for layer, index, columns in self._candidates(scores, layers):
            scores[:, columns] *= decoder_norms(self._basis, layer, index)
        return scores

    def _patched(
        self, rule: Selection, active: Mapping[str, Tensor], offsets: range, layers: range
    ) -> Float[Tensor, "offset candidate"]:
        """(mean activation on `on` − on `against`) × mean gradient on `on`."""
        contrast = _contrast([active[name] for name in (*rule.on, *rule.against)], len(rule.on))
        gradients = torch.zeros_like(contrast)
        candidates = list(self._candidates(contrast, layers))
        for name in rule.on:
            at_outputs = self._gradient(self._clean[name], rule, offsets)
            for layer, index, columns in candidates:
                gradients[:, columns] += self._basis.gradient(layer, at_outputs, index)
        return contrast * gradients / len(rule.on)

    def _candidates(
        self, scores: Float[Tensor, "offset candidate"], layers: range
    ) -> Iterator[tuple[int, Int[Tensor, " n"], Int[Tensor, " n"]]]:
        """By layer, the features whose score is not zero anyway, and their columns."""
        widths = [self._basis.n_features(layer) for layer in layers]
        for layer, start, width in zip(layers, accumulate(widths, initial=0), widths, strict=False):
            index = (scores[:, start : start + width] != 0).any(0).nonzero()[:, 0]
            yield layer, index, start + index

    def _gradient(self, run: CleanRun, rule: Selection, offsets: range) -> Mapping[int, Tensor]:
        """∂direction/∂output of every layer on one prompt."""
        key = _key(run, rule, offsets)
        if key not in self._gradients:
            direction = direction_of(rule.toward, self._prompts[run.prompt.name], run.prompt)
            positions = _positions(run.prompt, rule, offsets)
            self._gradients[key] = output_gradients(
                along(direction), self._model, self._basis, run, positions, rule.by
            )
        return self._gradients[key]

    def _influence(
        self, run: CleanRun, rule: Selection, offsets: range, layers: range
    ) -> Float[Tensor, "offset candidate"]:
        key = (*_key(run, rule, offsets), layers)
        if key not in self._influences:
            self._influences[key] = _influences(
                self._model, self._basis, run, rule, self._prompts, offsets, layers
            )
        return self._influences[key]


_Key = tuple[object, ...]


def _key(run: CleanRun, rule: Selection, offsets: range) -> _Key:
    """What a pass toward the rule's direction depends on, of one prompt."""
    return rule.by, run.prompt.name, rule.at, rule.tokens, offsets, rule.toward


def blind_scores(
    on: Float[Tensor, "prompt offset candidate"],
    contrasts: Sequence[Sequence[Float[Tensor, "offset candidate"]]],
) -> Float[Tensor, "offset candidate"]:
    """Min over contrasts of |mean d| · |mean d| / √(mean d²), with d = activation − contrast.

    0 where the mean differences from two contrasts have different signs. Without a contrast, d is
    the activation itself. The last factor, from 0 to 1, is how much the prompts agree.
    """
    means = [torch.stack(list(group)).mean(0) for group in contrasts] or [torch.zeros_like(on[0])]
    found, signs = list[Tensor](), list[Tensor]()
    for mean in means:
        d = on - mean
        whole, spread = d.mean(0), d.square().mean(0).sqrt()
        found.append(torch.where(spread == 0, 0.0, whole.square() / spread))
        signs.append(whole.sign())
    agree = torch.stack(signs).sum(0).abs() == len(signs)
    return torch.where(agree, torch.stack(found).amin(0), 0.0)


def decoder_norms(basis: FeatureBasis, layer: int, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """‖W_dec‖ of features of a layer; of those that write to several layers, over all of them."""
    written = [basis.W_dec(layer, index, to).float() for to in basis.write_layers(layer)]
    return torch.stack([each.square().sum(-1) for each in written]).sum(0).sqrt()


def _n_offsets(rule: Selection, prompts: Sequence[TokenizedPrompt]) -> int:
    if rule.tokens != "all":
        return 1
    return min(end - start for start, end in (prompt.spans[rule.at] for prompt in prompts))


def _positions(prompt: TokenizedPrompt, rule: Selection, offsets: range) -> list[int]:
    anchor = anchor_position(prompt, rule.at, _anchor(rule))
    return [anchor - offset for offset in offsets]


def _anchor(rule: Selection) -> Anchor:
    return "first" if rule.tokens == "first" else "last"


def _activations(
    run: CleanRun, rule: Selection, offsets: range, layers: range
) -> Float[Tensor, "offset candidate"]:
    positions = _positions(run.prompt, rule, offsets)
    rows = [torch.cat([run.activation(layer, pos) for layer in layers]) for pos in positions]
    return torch.stack(rows)


def _contrast(values: list[Tensor], n_on: int) -> Tensor:
    """Mean over `on`, minus the mean over `against` where there is one."""
    found = torch.stack(values[:n_on]).mean(0)
    return found - torch.stack(values[n_on:]).mean(0) if len(values) > n_on else found


def _influences(
    model: Model,
    basis: FeatureBasis,
    run: CleanRun,
    rule: Selection,
    prompts: Mapping[str, PromptSpec],
    offsets: range,
    layers: range,
) -> Float[Tensor, "offset candidate"]:
    """Influence of every candidate in one prompt's graph; 0 for those the graph does not keep."""
    direction = direction_of(rule.toward, prompts[run.prompt.name], run.prompt)

    def toward(frozen: Frozen) -> Targets:
        return explained(frozen, direction, model.tokenizer)

    graph = attribute(model, basis, run.ids, toward, GRAPH_FEATURES, Silent())
    found = influence(graph).features
    rows = {pos: row for row, pos in enumerate(_positions(run.prompt, rule, offsets))}
    starts = dict(zip(layers, accumulate(basis.n_features(n) for n in layers), strict=True))
    scores = torch.zeros(len(offsets), starts[layers[-1]])
    for (layer, pos, index), value in zip(graph.nodes.features.tolist(), found, strict=True):
        if layer in starts and pos in rows:
            scores[rows[pos], starts[layer] - basis.n_features(layer) + index] = float(value)
    return scores
