"""What the schema cannot say about supernodes: their rule or ids, prompts and spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracer.errors import KeyPath, Problem, UsageError, listed, prompts_named, unknown
from tracer.hypothesis.attention import id_problems
from tracer.hypothesis.neuronpedia import explicit_features
from tracer.hypothesis.neuronpedia_ids import find_given, without_position
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.spec import Rule, Selection, SupernodeSpec
from tracer.hypothesis.studies.study import layer_problems

HEAD_RULES: tuple[Rule, ...] = ("gradient", "half")
"""Those of which a head's score is the sum of its coordinates' scores."""


def supernode_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the supernodes."""
    for name, node in parts.known_supernodes():
        path = ("supernodes", name)
        if parts.is_whole(*path):
            yield from _kind_problems(path, node)
        if node.select is not None:
            yield from _selection_problems(parts, (*path, "select"), node.select)
        if node.features is not None:
            yield from _feature_problems((*path, "features"), node.features)
        if node.heads is not None:
            yield from id_problems((*path, "heads"), node.heads)
        if node.neuronpedia is not None:
            yield from _address_problems((*path, "neuronpedia"), node)
        if node.maxima is not None:
            yield from _maxima_problems((*path, "maxima"), node, node.maxima)
        if node.source is not None:
            yield from parts.prompt_problems((*path, "source"), node.source, discovery="a source")
        if node.is_anchored:
            place = (*path, "select", "at") if node.select else (*path, "at")
            yield from parts.span_problems(place, node.span, node.own_prompts)


def _kind_problems(path: KeyPath, node: SupernodeSpec) -> Iterator[Problem]:
    kinds = ("select", "features", "heads", "neuronpedia")
    given = [kind for kind in kinds if getattr(node, kind) is not None]
    if not given:
        message = "it has no features: give it a rule, `select`, or ids, `features` or `heads`"
        yield Problem(path, message)
    if len(given) > 1:
        named = " and ".join(f"`{kind}`" for kind in given)
        yield Problem(path, f"it has both {named}; one is expected")
    if node.select is not None and node.at is not None:
        yield Problem(
            (*path, "at"),
            "a selected supernode sits where it was found: write `at` inside `select`",
        )
    elif node.at is not None and (node.features or node.neuronpedia) and not node.is_anchored:
        yield Problem((*path, "at"), "it says nothing: every feature has a position of its own")
    select = node.select
    if select is not None and (select.top is None) == (select.share is None):
        found = "both `top` and `share`" if select.top is not None else "neither `top` nor `share`"
        yield Problem((*path, "select"), f"it has {found}; one of them sets the size")


def _selection_problems(parts: Parts, path: KeyPath, select: Selection) -> Iterator[Problem]:
    yield from parts.prompt_problems((*path, "on"), select.on, discovery="a source")
    if select.against:
        yield from parts.prompt_problems((*path, "against"), select.against, discovery="a contrast")
    for index, name in enumerate(select.against):
        if name in select.on:
            message = f"the prompt {name!r} is also in `on`; it cannot be its own contrast"
            yield Problem((*path, "against", index), message)
    for number, group in enumerate(select.against_each):
        place = (*path, "against_each", number)
        yield from parts.prompt_problems(place, group, discovery="a contrast")
        for index, name in enumerate(group):
            if name in select.on:
                message = f"the prompt {name!r} is also in `on`; it cannot be its own contrast"
                yield Problem((*place, index), message)
    if select.unit == "heads" and select.by not in HEAD_RULES:
        message = f"found {select.by!r}; heads are found by {listed(HEAD_RULES)}"
        yield Problem((*path, "by"), message)
    if select.against_each and not select.is_blind:
        message = "it is for `by: activation`; write `against`, whose prompts are averaged"
        yield Problem((*path, "against_each"), message)
    yield from layer_problems((*path, "layers"), select.layers)
    without = [n for n in parts.without_answer(select.explained) if parts.is_whole("prompts", n)]
    if select.toward == "answer" and without:
        yield Problem(
            (*path, "toward"),
            f"`answer` has no meaning on {prompts_named(without)}, which has no answer: give one, "
            "or write {token: …} or {logit_diff: [.., ..]}",
        )


def _address_problems(path: KeyPath, node: SupernodeSpec) -> Iterator[Problem]:
    try:
        explicit_features(node)
    except UsageError as error:
        yield Problem(path, str(error))


def _maxima_problems(
    path: KeyPath, node: SupernodeSpec, maxima: Mapping[str, float]
) -> Iterator[Problem]:
    if node.select is not None:
        message = "a rule may find any feature, so their maxima cannot be listed: give ids instead"
        yield Problem(path, message)
        return
    try:
        given = explicit_features(node) or ()
    except UsageError:
        return
    ids = list(dict.fromkeys(without_position(feature) for feature in given))
    for id_ in maxima:
        if id_ not in ids:
            yield Problem((*path, id_), unknown("feature", id_, ids))
    missing = [id_ for id_ in ids if id_ not in maxima]
    if missing:
        yield Problem(path, f"no maximum is given for {', '.join(missing)}")


def _feature_problems(path: KeyPath, features: tuple[str, ...]) -> Iterator[Problem]:
    if not features:
        yield Problem(path, "the list is empty; one id or more is expected")
    for index, feature in enumerate(features):
        if find_given(feature) is None:
            yield Problem(
                (*path, index),
                f"{feature!r} is no feature id: write 'layer_index', or "
                "'layer_index_position' for one token only, e.g. '20_15589'",
            )
        elif find_given(feature) in map(find_given, features[:index]):
            yield Problem((*path, index), f"the feature {feature!r} is named twice")
