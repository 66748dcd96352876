"""From prompts by concept to a discovery: ask, divide, take graphs, group, and try sets.

Held-out prompts are asked unclamped, so that those which the model cannot do are dropped. Nothing
else of them is measured: features, sizes and thresholds come from discovery prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from tracer.engine.feature_card import promoted_together
from tracer.engine.graph_request import GraphRequest
from tracer.engine.graphs import graphs
from tracer.engine.progress import Progress, Silent
from tracer.engine.proposal.groups import PlacedGraph, alike, profiles
from tracer.engine.proposal.sets import GroupedPlace, OnDiscovery, chosen, tried_sets
from tracer.engine.proposal.trials import removed
from tracer.engine.resolve import MeasurementContext
from tracer.engine.session import Opened
from tracer.engine.whole_prompts import last_logits
from tracer.errors import UsageError
from tracer.hypothesis.clamps import LAST
from tracer.hypothesis.concepts import (
    LEAST_DISCOVERY,
    LEAST_HELD_OUT,
    MOST_CONCEPTS,
    Concept,
    Concepts,
    Split,
    is_enough,
    split,
    with_answers,
)
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.shuffles import LEAST_LIKELY, agreement_p
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.studies.graph import GraphSpec
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize
from tracer.hypothesis.vocabulary import token_text
from tracer.record.proposal import Discovery, Fate, FeatureGroup, ProposedPrompt

N_PROMOTED = 3
KEPT_FEATURES = 1024
"""Of each graph: enough for the groups, in half the time."""
MOST_GROUPS = 30
"""The most influential, that are told."""


def discover(
    asked: Concepts, model: ModelSpec, features: str, seed: int, opened: Opened, progress: Progress
) -> tuple[Concepts, Discovery]:
    """Everything that is observed before a hypothesis is proposed.

    Args:
        asked: The prompts, by concept.
        model: As the file is to name it.
        features: Likewise.
        seed: Of the division into discovery and held-out prompts.
        opened: The model and its features.
        progress: Told of every step.

    Returns:
        The prompts, with the answers that were not declared, and what was observed.

    Raises:
        HypothesisError: A prompt or an answer that the model cannot read, or sets that have the
            same answer.
        UsageError: Fewer than two concepts have enough prompts that the model answers.
    """
    tokenizer, context = opened.model.tokenizer, opened.model.context
    prompts = tokenize(asked.file(model, features), tokenizer, context)
    asked_of = last_logits(opened.model, list(prompts.values()), progress)
    first = {prompt.name: int(logits.argmax()) for prompt, logits in asked_of}
    said = {name: first[name] for name in prompts}
    tops = {name: token_text(token, tokenizer) for name, token in said.items()}
    _require_agreement(asked, prompts, said)
    if not asked.has_answers:
        asked = with_answers(asked, tops)
        prompts = tokenize(asked.file(model, features), tokenizer, context)
    answers, of = asked.answers, asked.of
    right = [
        name
        for name, token in said.items()
        if token == prompts[name].answer_id and answers[name] == of[name].answer
    ]
    splits = {each: split(each, right, asked.groups, seed) for each in asked.concepts}
    kept = _kept(splits)
    left_out = {each.label: _why_not(splits[each]) for each in splits if each not in kept}
    if len(kept) < 2:
        told = "; ".join(f"{label}: {why}" for label, why in left_out.items())
        raise UsageError(
            f"nothing can be proposed: two concepts or more are needed, {len(kept)} left. {told}."
        )
    by_concept = {concept.name: found.discovery for concept, found in kept.items()}
    ids = {concept.name: _answer_id(prompts, concept) for concept in kept}
    on = OnDiscovery(asked, model, features, prompts, by_concept, ids)
    places = _grouped_places(on, opened, progress)
    tried = list(tried_sets(on, places, opened, progress))
    best = chosen(tried)
    with progress.task("taking the sets away"):
        taken = removed(best.context, by_concept, ids)
    return asked, Discovery(
        prompts=tuple(_fates(asked, kept, tops)),
        answers={each.name: str(each.answer) for each in kept},
        labels={each.name: each.label for each in kept},
        left_out=left_out,
        groups=_told_groups(places, opened),
        influence_at={each.span: float(each.profiles.influence.sum()) for each in places},
        tried=tuple(each.sets for each in tried),
        chosen=best.sets,
        removed=taken,
        promotes={name: _promoted_by(best.context, name) for name in by_concept},
    )


def _require_agreement(
    asked: Concepts, prompts: Mapping[str, TokenizedPrompt], said: Mapping[str, int]
) -> None:
    """Refuse labels that say no more of the model's answers than shuffled ones do.

    Raises:
        UsageError: They do not.
    """
    if asked.has_answers:
        what, labels = "the declared answers", {n: str(p.answer_id) for n, p in prompts.items()}
    else:
        what, labels = "the sets", {name: concept.name for name, concept in asked.of.items()}
    tokens = [str(token) for token in said.values()]
    p = agreement_p([labels[name] for name in said], tokens, by_answer=asked.has_answers)
    if p > LEAST_LIKELY:
        raise UsageError(
            f"nothing can be proposed: what the model says goes with {what} no better than with "
            f"shuffled ones (p {p:.2f}), so it does not do this. `tracer ask` shows what it says."
        )


def _kept(splits: Mapping[Concept, Split]) -> dict[Concept, Split]:
    """Concepts with enough prompts; of very many those with the most, in their order."""
    enough = {concept: found for concept, found in splits.items() if is_enough(found)}
    most = sorted(enough, key=lambda each: -len(enough[each].held_out))[:MOST_CONCEPTS]
    return {concept: found for concept, found in enough.items() if concept in most}


def _why_not(found: Split) -> str:
    if is_enough(found):
        return f"{MOST_CONCEPTS} concepts are proposed at most, and others have more prompts"
    n = len(found.discovery) + len(found.held_out)
    return (
        f"the model answers {n} of its prompts; {LEAST_DISCOVERY + LEAST_HELD_OUT} are needed, "
        f"{LEAST_DISCOVERY} to find features on and {LEAST_HELD_OUT} to judge by"
    )


def _fates(
    asked: Concepts, kept: Mapping[Concept, Split], tops: Mapping[str, str]
) -> Iterator[ProposedPrompt]:
    """What becomes of each prompt, and why."""
    for concept in asked.concepts:
        found = kept.get(concept, Split((), ()))
        for name in concept.prompts:
            fate: Fate = "dropped"
            top, answer = tops[name], asked.answers[name]
            why = f"{concept.label} is left out"
            if name in found.discovery:
                fate, why = "discovery", None
            elif name in found.held_out:
                fate, why = "held out", None
            elif answer != concept.answer:
                why = f"its answer is not that of {concept.label}"
            elif top != answer:
                why = "the model says something else"
            yield ProposedPrompt(name, concept.name, answer, top, fate, why)


def _answer_id(prompts: Mapping[str, TokenizedPrompt], concept: Concept) -> int:
    """The answer of a concept as a token: some of its prompts declare it."""
    asked = (prompts[name].asked for name in concept.prompts)
    return next(tokens[concept.answer] for tokens in asked if concept.answer in tokens)


def _grouped_places(on: OnDiscovery, opened: Opened, progress: Progress) -> list[GroupedPlace]:
    """The last token of each span that all discovery prompts have, in the order of the text.

    Where all prompts are the same up to there, nothing can tell one from another.
    """
    of = {name: concept for concept, names in on.by_concept.items() for name in names}
    prompts = [on.prompts[name] for name in of]
    shared = set[str].intersection(*(set(prompt.spans) for prompt in prompts))
    differing = [
        span for span in shared if len({each.ids[: each.spans[span][1]] for each in prompts}) > 1
    ]
    spans = sorted(differing, key=lambda span: (span == LAST, prompts[0].spans[span]))
    placed = list(_graphs(on, list(of), spans, opened, progress))
    places: list[GroupedPlace] = []
    with progress.task("grouping features", len(spans)) as advance:
        for span in spans:
            found = profiles(placed, span)
            groups = alike(found, list(of.values()))
            places += [GroupedPlace(span, found, groups)] if groups else []
            advance(1)
    return places


def _graphs(
    on: OnDiscovery, names: Sequence[str], spans: Sequence[str], opened: Opened, progress: Progress
) -> Iterator[PlacedGraph]:
    """The graph of each discovery prompt, which explains its answer."""
    file = on.file({})
    section = GraphSpec(prompts=tuple(names), toward="answer")
    hypothesis = file.hypothesis.model_copy(update={"graph": section})
    of = HypothesisFile(file.path, file.text, hypothesis, file.overrides, file.marks)
    request = GraphRequest(of, on.model, on.features, max_features=KEPT_FEATURES)
    found = graphs(request, Silent(), opened)
    with progress.task("taking the graphs of discovery prompts", len(names)) as advance:
        for name, taken in zip(names, found, strict=True):
            at = {span: on.prompts[name].spans[span][1] - 1 for span in spans}
            yield PlacedGraph(taken.graph, at)
            advance(1)


def _told_groups(places: Sequence[GroupedPlace], opened: Opened) -> tuple[FeatureGroup, ...]:
    """The most influential groups of all places, with what they promote."""
    every = [(place, group) for place in places for group in place.alike]
    shares = [float(place.profiles.influence[group.members].sum()) for place, group in every]
    order = sorted(range(len(every)), key=lambda n: -shares[n])[:MOST_GROUPS]
    found: list[FeatureGroup] = []
    for n in order:
        (span, profile, _), group = every[n]
        ids = [(layer, index) for layer, index in profile.features[group.members].tolist()]
        mean = profile.activations[group.members].mean(1).tolist()
        promotes = promoted_together(opened.model, opened.basis, ids, mean, N_PROMOTED)
        told = (span, group.concept, tuple(ids), shares[n], group.told_apart)
        found.append(FeatureGroup(*told, promotes))
    return tuple(found)


def _promoted_by(context: MeasurementContext, concept: str) -> tuple[str, ...]:
    """What the set of a concept promotes, as active as on the concept's prompts."""
    node = context.supernodes[concept]
    ids = [(ref.layer, ref.index) for ref in node.features]
    sums = torch.zeros(len(ids))
    for name in node.source:
        run = context.clean[name]
        position = run.prompt.spans[node.at][1] - 1
        sums += torch.stack([run.activation(layer, position)[n] for layer, n in ids]).float()
    mean = (sums / len(node.source)).tolist()
    return promoted_together(context.model, context.basis, ids, mean, N_PROMOTED)
