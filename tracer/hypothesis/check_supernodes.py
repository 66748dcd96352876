"""What the schema cannot say about supernodes: their rule or ids, prompts and spans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tracer.errors import KeyPath, Problem, UsageError, prompts_named, unknown
from tracer.hypothesis.check_prompts import LAST, span_places
from tracer.hypothesis.neuronpedia import explicit_features
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.spec import Selection, SupernodeSpec

_FEATURE = re.compile(r"[0-9]{1,4}_[0-9]{1,9}(?P<position>_[0-9]{1,7})?", re.ASCII)


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
        if node.neuronpedia is not None:
            yield from _address_problems((*path, "neuronpedia"), node)
        if node.maxima is not None:
            yield from _maxima_problems((*path, "maxima"), node, node.maxima)
        if node.source is not None:
            yield from prompt_list(parts, (*path, "source"), node.source, discovery="a source")
        if anchored(node):
            place = (*path, "select", "at") if node.select else (*path, "at")
            yield from span_problems(parts, place, anchor(node), _own_prompts(node))


def anchor(node: SupernodeSpec) -> str:
    """The span its features sit at."""
    return (node.select.at if node.select else node.at) or LAST


def anchored(node: SupernodeSpec) -> bool:
    """Whether any of its features sits at a span, not at a position of its own."""
    if node.neuronpedia is not None:
        return False
    return node.features is None or not all(map(_has_position, node.features))


def is_placed(parts: Parts, node: SupernodeSpec) -> bool:
    """Whether its span exists on its own prompts; where not, that one mistake is enough."""
    return not any(span_problems(parts, (), anchor(node), _own_prompts(node)))


def _own_prompts(node: SupernodeSpec) -> tuple[str, ...]:
    selected = node.select.on + node.select.against if node.select else ()
    return (*selected, *(node.source or ()))


def has_source(node: SupernodeSpec) -> bool:
    """Whether it knows prompts whose activation is its own."""
    return node.select is not None or node.source is not None


def _has_position(feature: str) -> bool:
    match = _FEATURE.fullmatch(feature)
    return match is not None and match["position"] is not None


def prompt_list(
    parts: Parts,
    path: KeyPath,
    names: Sequence[str],
    *,
    discovery: str | None = None,
    reserved: tuple[str, ...] = (),
) -> Iterator[Problem]:
    """Mistakes in a list of prompts.

    `discovery` says what a prompt of this list is, where a held-out one may not be that; `reserved`
    are names allowed besides those of prompts.
    """
    if not names:
        yield Problem(path, "the list is empty; one prompt or more is expected")
    counts = Counter(names)
    for index, name in enumerate(names):
        prompt = parts.prompts.get(name)
        if name not in parts.prompts and name not in reserved:
            yield Problem((*path, index), unknown("prompt", name, [*parts.prompts, *reserved]))
        elif discovery and prompt is not None and prompt.held_out:
            yield Problem(
                (*path, index),
                f"the prompt {name!r} is held out, so it may not be {discovery}: held-out prompts "
                "only judge",
            )
        if counts[name] > 1 and names.index(name) != index:
            yield Problem((*path, index), f"the prompt {name!r} is named twice")


def span_problems(
    parts: Parts, path: KeyPath, span: str, prompts: Sequence[str]
) -> Iterator[Problem]:
    """Where a span is missing, empty or double on a prompt it is applied to: one mistake."""
    if span == LAST:
        return
    missing: list[str] = []
    double: list[str] = []
    known: dict[str, None] = {}
    for name in dict.fromkeys(prompts):
        prompt = parts.prompts.get(name)
        where = None if prompt is None else span_places(prompt, parts.template)
        if where is None:
            continue
        known.update(dict.fromkeys(key for key, places in where.items() if places and key != LAST))
        count = len(where.get(span, ()))
        if count == 0:
            missing.append(name)
        elif count > 1 and prompt is not None and span not in prompt.spans:
            double.append(name)
    if missing:
        yield Problem(path, f"on {prompts_named(missing)}: {unknown('span', span, [LAST, *known])}")
    if double:
        yield Problem(
            path,
            f"on {prompts_named(double)}: the variable {{{span}}} occurs more than once, so it "
            "is no place; name a span that occurs once",
        )


def _kind_problems(path: KeyPath, node: SupernodeSpec) -> Iterator[Problem]:
    kinds = ("select", "features", "neuronpedia")
    given = [kind for kind in kinds if getattr(node, kind) is not None]
    if not given:
        yield Problem(path, "it has no features: give it a rule, `select`, or ids, `features`")
    if len(given) > 1:
        named = " and ".join(f"`{kind}`" for kind in given)
        yield Problem(path, f"it has both {named}; one is expected")
    if node.select is not None and node.at is not None:
        yield Problem(
            (*path, "at"),
            "a selected supernode sits where it was found: write `at` inside `select`",
        )
    elif node.at is not None and (node.features or node.neuronpedia) and not anchored(node):
        yield Problem((*path, "at"), "it says nothing: every feature has a position of its own")
    select = node.select
    if select is not None and (select.top is None) == (select.share is None):
        found = "both `top` and `share`" if select.top is not None else "neither `top` nor `share`"
        yield Problem((*path, "select"), f"it has {found}; one of them sets the size")


def _selection_problems(parts: Parts, path: KeyPath, select: Selection) -> Iterator[Problem]:
    yield from prompt_list(parts, (*path, "on"), select.on, discovery="a source")
    if select.against:
        yield from prompt_list(parts, (*path, "against"), select.against, discovery="a contrast")
    for index, name in enumerate(select.against):
        if name in select.on:
            message = f"the prompt {name!r} is also in `on`; it cannot be its own contrast"
            yield Problem((*path, "against", index), message)
    if select.layers is not None and not 0 <= select.layers[0] <= select.layers[1]:
        first, last = select.layers
        yield Problem(
            (*path, "layers"),
            f"found [{first}, {last}]; the first and the last layer are expected, counted from 0",
        )
    without = [
        name
        for name in select.explained
        if (prompt := parts.prompts.get(name)) is not None
        and prompt.answer is None
        and parts.is_whole("prompts", name)
    ]
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
    ids = list(dict.fromkeys("_".join(feature.split("_")[:2]) for feature in given))
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
        if not _FEATURE.fullmatch(feature):
            yield Problem(
                (*path, index),
                f"{feature!r} is no feature id: write 'layer_index', or "
                "'layer_index_position' for one token only, e.g. '20_15589'",
            )
        elif feature in features[:index]:
            yield Problem((*path, index), f"the feature {feature!r} is named twice")
