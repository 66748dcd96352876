"""Sets of features for every concept: at each place, by one rule, in several sizes.

The rule is `by: activation`, which never looks at the output; place, layers and size are chosen by
what swaps do on discovery prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.progress import Progress, Silent
from tracer.engine.proposal.groups import Alike, Profiles
from tracer.engine.proposal.trials import swapped
from tracer.engine.resolve import MeasurementContext, open_context
from tracer.engine.session import Opened
from tracer.errors import NothingFound, UsageError
from tracer.hypothesis.clamps import LAST
from tracer.hypothesis.concepts import Concepts, concept_rules
from tracer.hypothesis.given import declared, prompt_table
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.proposal import TriedSets

SMALLEST = 32
"""Features of the smallest sets that are tried; each next one is twice as large."""
LARGEST_SHARE = 1 / 8
"""Of the features of their layers: the largest sets that are tried."""
LAYERS_SHARE = 0.9
"""Of the influence of a place's groups, that its layers hold."""
GOOD_RATE = 0.5
"""Of the swaps: below, sets at the prompt's last token are tried as well."""
CLOSE = 0.05
"""Of the swaps: by so much a smaller set, or one further to the left, may do less than the best."""


class GroupedPlace(NamedTuple):
    """The last token of a span, its features, and the groups that they form."""

    span: str
    profiles: Profiles
    alike: list[Alike]


@dataclass(frozen=True)
class OnDiscovery:
    """The discovery prompts, on which sets are found and tried."""

    asked: Concepts
    model: ModelSpec
    features: str
    prompts: Mapping[str, TokenizedPrompt]
    by_concept: Mapping[str, tuple[str, ...]]
    answers: Mapping[str, int]
    """The token that each concept is to bring."""

    def file(self, supernodes: Mapping[str, Mapping[str, Any]]) -> HypothesisFile:
        """A hypothesis of these prompts and supernodes."""
        table = prompt_table(self.asked.prompts, self.asked.template)
        mine = {name: table[name] for names in self.by_concept.values() for name in names}
        return declared(self.model, self.features, mine, supernodes)


class SetsInContext(NamedTuple):
    """One way to choose the sets, what came of it, and where they can be clamped again."""

    sets: TriedSets
    context: MeasurementContext


def tried_sets(
    on: OnDiscovery, places: Sequence[GroupedPlace], opened: Opened, progress: Progress
) -> Iterator[SetsInContext]:
    """Sets of several sizes at each place, in the order of the text.

    Places where no group is a concept's are passed over, unless all are so; likewise a place where
    the rule finds nothing for some concept. At the prompt's last token, where a set may write the
    answer itself, sets are tried only where no other place does well.
    """
    best, known = 0.0, None
    telling = [place for place in places if any(group.concept for group in place.alike)]
    for place in telling or places:
        if place.span == LAST and best >= GOOD_RATE:
            continue
        layers = layers_of(place)
        sizes = list(_sizes(opened.basis, layers))
        with progress.task(f"trying sets at {place.span}", len(sizes)) as advance:
            for top in sizes:
                try:
                    rules = concept_rules(on.by_concept, place.span, layers, top)
                    known = _context(on, rules, opened, known)
                except NothingFound:
                    break  # some concept has no feature there that differs from the others'
                swaps = swapped(known, on.by_concept, on.answers)
                overlap = _overlap(known, place, list(on.by_concept))
                found = TriedSets(place.span, layers, top, *swaps, overlap)
                best = max(best, found.rate)
                yield SetsInContext(found, known)
                advance(1)


def chosen(tried: Sequence[SetsInContext]) -> SetsInContext:
    """The first, so the smallest at the first place, that does about as much as the best.

    Raises:
        UsageError: None could be made.
    """
    if not tried:
        raise UsageError(
            "nothing can be proposed: at no place that all prompts have is a feature of each "
            "concept active otherwise than on the prompts of the others."
        )
    most = max(each.sets.rate for each in tried)
    return next(each for each in tried if each.sets.rate >= most - CLOSE)


def layers_of(place: GroupedPlace) -> tuple[int, int]:
    """The layers that hold most of the influence of a place's groups of concepts, or of all."""
    own = [each for each in place.alike if each.concept is not None] or place.alike
    rows = [row for each in own for row in each.members.tolist()]
    layers, shares = place.profiles.features[rows, 0], place.profiles.influence[rows]
    by_layer = {int(n): float(shares[layers == n].sum()) for n in sorted(set(layers.tolist()))}
    spared = (1 - LAYERS_SHARE) / 2 * sum(by_layer.values())
    upward = list(by_layer.items())
    return _first_beyond(upward, spared), _first_beyond(upward[::-1], spared)


def _first_beyond(by_layer: Iterable[tuple[int, float]], spared: float) -> int:
    """The first layer with which the sum is more than what is spared; 0 without any."""
    total, last = 0.0, 0
    for last, share in by_layer:  # noqa: B007 # it is what is returned
        total += share
        if total >= spared:
            break
    return last


def _sizes(basis: FeatureBasis, layers: tuple[int, int]) -> Iterator[int]:
    most = int(LARGEST_SHARE * sum(basis.n_features(n) for n in range(layers[0], layers[1] + 1)))
    size = max(1, min(SMALLEST, most))
    while size <= max(1, most):
        yield size
        size *= 2


def _context(
    on: OnDiscovery,
    rules: Mapping[str, Mapping[str, Any]],
    opened: Opened,
    known: MeasurementContext | None,
) -> MeasurementContext:
    file = on.file({concept: {"select": rule} for concept, rule in rules.items()})
    prompts = {name: on.prompts[name] for name in file.hypothesis.prompts}
    model, basis = opened
    return open_context(file, model, basis.basis, prompts, None, Silent(), None, known)


def _overlap(
    context: MeasurementContext, place: GroupedPlace, concepts: Sequence[str]
) -> dict[str, float]:
    """By concept with groups at the place: the share of their features that its set holds."""
    found: dict[str, float] = {}
    for concept in concepts:
        rows = [r for each in place.alike if each.concept == concept for r in each.members.tolist()]
        mine = {(ref.layer, ref.index) for ref in context.supernodes[concept].features}
        theirs = [tuple(ids) for ids in place.profiles.features[rows].tolist()]
        if theirs:
            found[concept] = sum(each in mine for each in theirs) / len(theirs)
    return found
