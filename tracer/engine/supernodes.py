"""Supernodes that a selection rule finds.

A rule scores every candidate on its prompts and keeps the best. Candidates are the features, or the
heads, of the rule's layers at the tokens of its span, compared offset by offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.patching import along, output_gradients
from tracer.engine.attribution.targets import Targets, direction_of, explained
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import HEADS, layer_of
from tracer.engine.features.untrained import n_untrained
from tracer.engine.members import Anchor, anchor_position
from tracer.engine.model.model import Model
from tracer.engine.progress import Silent
from tracer.engine.transfer import on_cpu
from tracer.hypothesis.spec import PromptSpec, Selection, SupernodeSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.graph.influence import influence
from tracer.record.record import FeatureRef, HeadRef, SupernodeRecord

GRAPH_FEATURES = 2048
"""Kept in each graph that the rule `influence` reads."""


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
        features=tuple(scored.ref(int(flat)) for flat in kept if not scored.d_heads),
        heads=tuple(scored.head(int(flat)) for flat in kept if scored.d_heads),
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
    """Scores of every candidate of a rule, layer-major: `[offset, layer · member]`."""

    scores: Float[Tensor, "offset candidate"]
    layers: Sequence[int]
    widths: Sequence[int]
    """By layer, how many candidates it has."""
    d_heads: Sequence[int] = ()
    """By layer, d_head where the candidates are heads."""

    def place(self, flat: int) -> tuple[int, int, int]:
        """Offset, number of the layer among `layers` and index in it, at a flat index."""
        offset, rest = divmod(flat, self.scores.shape[1])
        for number, width in enumerate(self.widths):
            if rest < width:
                return offset, number, rest
            rest -= width
        raise AssertionError("flat index out of range")

    def ref(self, flat: int) -> FeatureRef:
        """The feature at a flat index of `scores`."""
        offset, number, index = self.place(flat)
        score = float(self.scores.flatten()[flat])
        return FeatureRef(layer=self.layers[number], index=index, offset=offset, score=score)

    def head(self, flat: int) -> HeadRef:
        """The head at a flat index of `scores`."""
        offset, number, head = self.place(flat)
        return HeadRef(
            layer=layer_of(self.layers[number]),
            head=head,
            d_head=self.d_heads[number],
            offset=offset,
            score=float(self.scores.flatten()[flat]),
        )

    def by_head(self, d_heads: Sequence[int]) -> Scored:
        """Coordinates of heads summed: Σᵢ (zᵢ − contrast) · ∂/∂zᵢ is what the whole head moves."""
        of_layers = self.scores.split(list(self.widths), dim=1)
        pairs = list(zip(of_layers, d_heads, strict=True))
        summed = [each.unflatten(1, (-1, d)).sum(2) for each, d in pairs]
        widths = [each.shape[1] for each in summed]
        return Scored(torch.cat(summed, 1), self.layers, widths, d_heads)


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
        if rule.unit == "heads":
            layers = range(HEADS + layers.start, HEADS + layers.stop)
        used = [self._clean[name] for name in (*rule.on, *rule.compared_with)]
        offsets = range(_n_offsets(rule, [run.prompt for run in used]))
        if rule.by == "influence":
            found = [self._influence(run, rule, offsets, layers) for run in used]
            scores = _contrast(found, len(rule.on))
        else:
            active = {run.prompt.name: self._active(run, rule, offsets, layers) for run in used}
            patched = self._blind if rule.is_blind else self._patched
            scores = patched(rule, active, offsets, layers)
        scored = Scored(scores, layers, [self._basis.n_features(layer) for layer in layers])
        if rule.unit == "heads":
            return scored.by_head([self._basis.d_heads[layer] for layer in layers])
        return scored

    def _active(
        self, run: CleanRun, rule: Selection, offsets: range, layers: range
    ) -> Float[Tensor, "offset candidate"]:
        """Activations; 0 of features at tokens that the dictionary was not trained on."""
        found = _activations(run, rule, offsets, layers)
        n = n_untrained(run.prompt.ids, self._basis.opening)
        if n and rule.unit != "heads":
            positions = _positions(run.prompt, rule, offsets)
            found[[row for row, pos in enumerate(positions) if pos < n]] = 0
        return found

    def _blind(
        self, rule: Selection, active: Mapping[str, Tensor], offsets: range, layers: range
    ) -> Float[Tensor, "offset candidate"]:
        """`blind_scores` · ‖W_dec‖."""
        contrasts = [[active[name] for name in group] for group in rule.contrasts]
        scores = blind_scores(torch.stack([active[name] for name in rule.on]), contrasts)
        candidates = list(self._candidates(scores, layers))
        norms = on_cpu([decoder_norms(self._basis, layer, index) for layer, index, _ in candidates])
        for (_, _, columns), norm in zip(candidates, norms, strict=True):
            scores[:, columns] *= norm
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
            found = [self._basis.gradient(n, at_outputs, index) for n, index, _ in candidates]
            for (_, _, columns), gradient in zip(candidates, on_cpu(found), strict=True):
                gradients[:, columns] += gradient
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

    graph = attributed(model, basis, run.ids, toward, GRAPH_FEATURES, Silent()).graph
    found = influence(graph).features
    rows = {pos: row for row, pos in enumerate(_positions(run.prompt, rule, offsets))}
    starts = dict(zip(layers, accumulate(basis.n_features(n) for n in layers), strict=True))
    scores = torch.zeros(len(offsets), starts[layers[-1]])
    for (layer, pos, index), value in zip(graph.nodes.features.tolist(), found, strict=True):
        if layer in starts and pos in rows:
            scores[rows[pos], starts[layer] - basis.n_features(layer) + index] = float(value)
    return scores
