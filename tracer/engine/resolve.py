"""From a hypothesis file and an open model to the `MeasurementContext` that is measured in.

Of the line load → open → resolve → measure → write this is *resolve*: prompts are run unclamped,
and supernodes are found or taken from a lock. What would come out the same to the last bit is not
made again: see `tracer.engine.reuse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracer.engine.cache import MeasurementCache
from tracer.engine.clean import CleanRun, Wanted, require_finite
from tracer.engine.feature_index.index import FeatureIndex
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.heads import beside_heads
from tracer.engine.features.places import HEADS, Places, layer_of
from tracer.engine.freeze import require_patterns
from tracer.engine.members import from_head_ids, from_ids, places_of, with_maxima, with_widths
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Model
from tracer.engine.progress import Advance, Progress
from tracer.engine.reuse import kept_supernode, rule_cause, unclamped_runs
from tracer.engine.supernodes import RuleScores
from tracer.errors import HypothesisError, NothingFound
from tracer.hypothesis.clamps import ClampSpec
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.model_limits import ModelLimits, limit_mistakes
from tracer.hypothesis.neuronpedia import explicit_features, fitting_features, foreign
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.positions import position_mistakes, position_notes
from tracer.hypothesis.spec import Hypothesis, SupernodeSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.lock import Lock
from tracer.record.record import SupernodeRecord


@dataclass(frozen=True)
class MeasurementContext:
    """Everything a measurement needs, opened and resolved."""

    hypothesis: Hypothesis
    model: Model
    basis: FeatureBasis
    clean: Mapping[str, CleanRun]
    """Unclamped passes, by prompt."""
    supernodes: Mapping[str, SupernodeRecord]
    cache: MeasurementCache | None = None
    index: FeatureIndex | None = None
    """Of a text, where there is one of this model and basis."""
    kept: dict[str, Any] = field(default_factory=dict[str, Any])
    """What is found once: procedure-matched controls, ranges of features, places on a prompt."""

    def members(self, names: Iterable[str] | None = None) -> dict[int, frozenset[int]]:
        """Indices of the features and heads of some supernodes, or of all, by layer.

        The heads of a layer are under their own number, see `tracer.engine.features.places`.
        """
        members: dict[int, set[int]] = {}
        for name in self.supernodes if names is None else names:
            for ref in self.supernodes[name].features:
                members.setdefault(ref.layer, set()).add(ref.index)
            for ref in self.supernodes[name].heads:
                members.setdefault(HEADS + ref.layer, set()).add(ref.head)
        return {layer: frozenset(indices) for layer, indices in members.items()}

    def places(self, prompt: str) -> dict[str, Places]:
        """Where the members of each supernode are on a prompt, if the prompt has its span."""
        key = f"places/{prompt}"
        if key not in self.kept:
            tokenized = self.clean[prompt].prompt
            self.kept[key] = {
                name: places_of(supernode, tokenized, supernode.at).where
                for name, supernode in self.supernodes.items()
                if supernode.at in tokenized.spans
            }
        return self.kept[key]

    def feature_places(self, prompt: str) -> dict[str, Places]:
        """The same of the supernodes that hold features: no graph has heads."""
        places = self.places(prompt).items()
        return {name: where for name, where in places if not self.supernodes[name].heads}


def open_context(
    file: HypothesisFile,
    model: Model,
    basis: FeatureBasis,
    prompts: Mapping[str, TokenizedPrompt],
    lock: Lock | None,
    progress: Progress,
    cache: MeasurementCache | None = None,
    known: MeasurementContext | None = None,
) -> MeasurementContext:
    """Run every prompt clean and resolve every supernode, or take them from a lock.

    Args:
        file: the hypothesis.
        model: what it runs on.
        basis: the features.
        prompts: tokenized, by name.
        lock: supernodes to take as they are; None: find them.
        progress: hears of every step.
        cache: where passes and what rules find are looked for, and kept; None: nowhere.
        known: another one of the same model and basis; what would come out the same is taken.

    Raises:
        HypothesisError: A feature id, a position or a layer range that the model does not have.
        EngineError: A prompt's logits are not finite, or a rule finds nothing.
    """
    hypothesis = file.hypothesis
    basis = beside_heads(basis, model, wanted=hypothesis.uses_heads)
    check_features(file, basis)
    if hypothesis.uses_patterns:
        require_patterns(model, "an attention pattern that is set or read")
    ids = {name: prompt.ids for name, prompt in prompts.items()}
    misplaced = list(position_mistakes(file, ids, basis.n_layers))
    if misplaced:
        raise HypothesisError(file.path, misplaced)
    wanted = {
        name: Wanted(prompt, _positions(hypothesis, prompt)) for name, prompt in prompts.items()
    }
    task = progress.task("running the prompts unclamped", len(wanted))
    with task as advance, memory_told("an unclamped prompt"):
        clean = unclamped_runs(known.clean if known else {}, cache, model, basis, wanted, advance)
    for name, run in clean.items():
        require_finite(run.logits, name, "before any clamp")
    if lock is None:
        task = progress.task("finding supernodes", len(hypothesis.supernodes))
        with task as advance, memory_told("what a rule reads"):
            lock = _find(hypothesis, model, basis, clean, advance, cache, known)
    supernodes = {
        name: with_widths(with_maxima(each, hypothesis.supernodes[name]), basis)
        for name, each in lock.items()
    }
    return MeasurementContext(hypothesis, model, basis, clean, supernodes, cache)


def _find(
    hypothesis: Hypothesis,
    model: Model,
    basis: FeatureBasis,
    clean: Mapping[str, CleanRun],
    advance: Advance,
    cache: MeasurementCache | None,
    known: MeasurementContext | None,
) -> Lock:
    found: dict[str, SupernodeRecord] = {}
    scores = RuleScores(model, basis, clean, hypothesis.prompts)
    for name, spec in hypothesis.supernodes.items():
        if known is not None and _is_known(name, known, hypothesis, clean):
            found[name] = known.supernodes[name]
        elif spec.heads is not None:
            found[name] = from_head_ids(name, spec, spec.heads, basis)
        elif spec.select is None:
            found[name] = from_ids(name, spec, fitting_features(spec, _widths(basis)).features)
        else:
            found[name] = kept_supernode(cache, name, hypothesis, clean, scores)
        if not found[name].members:
            what = spec.select.unit[:-1] if spec.select else "member"
            raise NothingFound(
                f"supernode {name!r}: no {what} of the rule scores above zero. "
                "Widen its layers, or choose other prompts or another direction."
            )
        advance(1)
    return found


def _is_known(
    name: str, known: MeasurementContext, hypothesis: Hypothesis, clean: Mapping[str, CleanRun]
) -> bool:
    """Whether another context's supernode of this name would be found here, too."""
    there = known.hypothesis.supernodes.get(name)
    if there != hypothesis.supernodes[name]:
        return False
    return rule_cause(name, known.hypothesis, known.clean) == rule_cause(name, hypothesis, clean)


def address_notes(context: MeasurementContext) -> tuple[str, ...]:
    """What of Neuronpedia addresses this model cannot have, or is in doubt, a sentence each."""
    hypothesis, basis = context.hypothesis, context.basis
    specs, widths = hypothesis.supernodes.values(), _widths(basis)
    ids = {name: run.prompt.ids for name, run in context.clean.items()}
    return (
        *(note for spec in specs for note in fitting_features(spec, widths).notes),
        *(note for spec in specs for note in foreign(spec, context.model.record.name)),
        *position_notes(hypothesis, ids, basis.n_layers),
    )


def _limits(basis: FeatureBasis) -> ModelLimits:
    n_heads = {layer_of(n): basis.n_features(n) // d_head for n, d_head in basis.d_heads.items()}
    return ModelLimits(basis.n_layers, _widths(basis), n_heads)


def _widths(basis: FeatureBasis) -> list[int]:
    return [basis.n_features(layer) for layer in range(basis.n_layers)]


def check_features(file: HypothesisFile, basis: FeatureBasis) -> None:
    """Tell every id and layer range that lies outside the basis, at once.

    Raises:
        HypothesisError: There is one.
    """
    mistakes = list(limit_mistakes(file, _limits(basis)))
    if mistakes:
        raise HypothesisError(file.path, mistakes)


def _onward_from(hypothesis: Hypothesis, prompt: TokenizedPrompt) -> int:
    """The first position that a clamp which goes on may start at; the prompt's end without one."""
    found = [len(prompt.ids)]
    for intervention in hypothesis.interventions.values():
        for name, clamp in intervention.clamp.items():
            if isinstance(clamp, ClampSpec) and clamp.onward:
                node = hypothesis.supernodes[name]
                span = clamp.at or node.span
                found += [prompt.spans[span][0]] if span in prompt.spans else []
                found += _own_positions(node)
    return min(found)


def _own_positions(node: SupernodeSpec) -> list[int]:
    """Positions that explicit ids name."""
    given = (parse_given(text).pos for text in explicit_features(node) or ())
    return [pos for pos in given if pos is not None]


def _positions(hypothesis: Hypothesis, prompt: TokenizedPrompt) -> tuple[int, ...]:
    """Every token position a supernode may be read or written at on this prompt, in order."""
    nodes = hypothesis.supernodes.values()
    spans = {"last", *(node.span for node in nodes)}
    for intervention in all_interventions(hypothesis).values():
        clamps = [c for c in intervention.clamp.values() if isinstance(c, ClampSpec)]
        spans.update(clamp.at for clamp in clamps if clamp.at)
    positions = {p for span in spans & prompt.spans.keys() for p in range(*prompt.spans[span])}
    positions.update(range(_onward_from(hypothesis, prompt), len(prompt.ids)))
    positions.update(p for node in nodes for p in _own_positions(node) if p < len(prompt.ids))
    return tuple(sorted(positions))
