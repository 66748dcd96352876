"""What the schema cannot say about studies: necessity, mediation and swaps.

What the schema cannot say about attribution graphs: their prompts, direction and edges.

What the schema cannot say about shared representation: its lists, splits and layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.errors import KeyPath, Problem, listed, prompts_named, unknown
from tracer.hypothesis.check_interventions import clamp_problems, expectation_problems
from tracer.hypothesis.check_supernodes import (
    anchor,
    anchored,
    has_source,
    is_placed,
    prompt_list,
    span_problems,
)
from tracer.hypothesis.expectations.edge import Edge
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.studies.graph import GRAPH, OUTPUT, GraphSpec
from tracer.hypothesis.studies.mediation import MediatedShare, Mediation, mediation_interventions
from tracer.hypothesis.studies.necessity import NEED_REFERENCE, Necessity, necessity_interventions
from tracer.hypothesis.studies.shared import ALL, Overlap, SharedSpec
from tracer.hypothesis.studies.swaps import Swaps


def graph_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the graph section."""
    graph = parts.graph
    if graph is None:
        return
    path: KeyPath = ("graph",)
    yield from prompt_list(parts, (*path, "prompts"), graph.prompts)
    if graph.expect and GRAPH in parts.interventions:
        message = "'graph' stands for the attribution graph in a verdict: give it another name"
        yield Problem(("interventions", GRAPH), message)
    without = [
        name
        for name in graph.prompts
        if (prompt := parts.prompts.get(name)) is not None and prompt.answer is None
    ]
    if graph.toward == "answer" and without:
        message = f"`answer` has no meaning on {prompts_named(without)}, which has no answer"
        yield Problem((*path, "toward"), message)
    for index, expectation in enumerate(graph.expect):
        yield from _edge_problems(parts, (*path, "expect", index, "edge"), graph, expectation)


def _edge_problems(
    parts: Parts, path: KeyPath, graph: GraphSpec, expectation: Edge
) -> Iterator[Problem]:
    edge = expectation.edge
    for key, name in (("from", edge.from_), ("to", edge.to)):
        if key == "to" and name == OUTPUT:
            continue
        if name not in parts.supernodes:
            known = [*parts.supernodes, *([OUTPUT] if key == "to" else [])]
            yield Problem((*path, key), unknown("supernode", name, known))
            continue
        node = parts.supernodes[name]
        if node is not None and anchored(node) and is_placed(parts, node):
            yield from span_problems(parts, (*path, key), anchor(node), graph.prompts)
    if edge.above is None and edge.below is None:
        yield Problem(path, "it tests nothing: `above` or `below` is expected")
    for key, bound in (("above", edge.above), ("below", edge.below)):
        if bound is not None and not -1 <= bound <= 1:
            yield Problem((*path, key), f"found {bound:g}; an edge is a share, from -1 to 1")
    if edge.above is not None and edge.below is not None and edge.above >= edge.below:
        yield Problem(path, "`above` is not below `below`: no edge can be both")


def study_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the studies."""
    for name, necessity in parts.known_necessity():
        yield from _necessity_problems(parts, ("necessity", name), necessity)
    for name, mediation in parts.known_mediation():
        yield from _mediation_problems(parts, ("mediation", name), mediation)
    for name, swaps in parts.known_swaps():
        yield from _swap_problems(parts, ("swaps", name), swaps)
    yield from _name_problems(parts)


def _name_problems(parts: Parts) -> Iterator[Problem]:
    """A verdict tells what it judged by name alone."""
    sections = {
        "interventions": parts.interventions,
        "necessity": parts.necessity,
        "mediation": parts.mediation,
        "swaps": parts.swaps,
        "circuit": parts.circuits,
    }
    taken: dict[str, str] = {}
    for section, members in sections.items():
        for name in members:
            if name == GRAPH and section != "interventions":
                message = f"{GRAPH!r} stands for the attribution graph: give it another name"
                yield Problem((section, name), message)
            elif name in taken:
                message = f"the name {name!r} is taken in `{taken[name]}`: give it another"
                yield Problem((section, name), message)
            taken.setdefault(name, section)


def _necessity_problems(parts: Parts, path: KeyPath, study: Necessity) -> Iterator[Problem]:
    yield from prompt_list(parts, (*path, "prompts"), study.prompts)
    yield from _supernodes(parts, (*path, "ablate"), study.ablate, study.prompts)
    yield from _reference_problems(parts, path, study)
    for index, kind in enumerate(study.kinds):
        if kind in study.kinds[:index]:
            yield Problem((*path, "kinds", index), f"the kind {kind!r} is named twice")
    if all(name in parts.supernodes for name in study.ablate):
        spec = next(spec for _, spec in necessity_interventions(str(path[-1]), study))
        for index, expectation in enumerate(study.expect):
            yield from expectation_problems(parts, (*path, "expect", index), spec, expectation)


def _reference_problems(parts: Parts, path: KeyPath, study: Necessity) -> Iterator[Problem]:
    needing = [kind for kind in study.kinds if kind in NEED_REFERENCE]
    place = (*path, "reference")
    if needing and not study.reference and parts.is_whole(*path):
        yield Problem(path, f"{listed(needing)} take activations from prompts: name `reference`")
    elif study.reference and not needing:
        yield Problem(place, f"nothing uses it: it is for the kinds {listed(NEED_REFERENCE)}")
    elif study.reference:
        yield from prompt_list(parts, place, study.reference, discovery="a reference")
        for node in (parts.supernodes.get(name) for name in study.ablate):
            if node is not None and anchored(node) and is_placed(parts, node):
                yield from span_problems(parts, place, anchor(node), study.reference)
    for index, name in enumerate(study.reference):
        if name in study.prompts:
            message = f"the prompt {name!r} is also ablated: its own activations take nothing away"
            yield Problem((*place, index), message)


def _mediation_problems(parts: Parts, path: KeyPath, study: Mediation) -> Iterator[Problem]:
    yield from prompt_list(parts, (*path, "prompts"), study.prompts)
    total = next(spec for _, spec in mediation_interventions(str(path[-1]), study))
    for name in study.clamp:
        yield from clamp_problems(parts, path, total, name)
    yield from _supernodes(parts, (*path, "through"), study.through, study.prompts)
    for index, name in enumerate(study.through):
        if name in study.clamp:
            message = f"{name!r} is clamped itself; what is clamped cannot be held"
            yield Problem((*path, "through", index), message)
    for index, expectation in enumerate(study.expect):
        yield from _share_problems((*path, "expect", index), expectation)


def _share_problems(path: KeyPath, expectation: MediatedShare) -> Iterator[Problem]:
    above, below = expectation.share_above, expectation.share_below
    if above is None and below is None:
        yield Problem(path, "it tests nothing: `share_above` or `share_below` is expected")
    if above is not None and below is not None and above >= below:
        yield Problem(path, "`share_above` is not below `share_below`: no share can be both")
    if len(set(expectation.logit_diff)) == 1:
        yield Problem((*path, "logit_diff"), "both tokens are the same, so the difference is 0")


def _swap_problems(parts: Parts, path: KeyPath, study: Swaps) -> Iterator[Problem]:
    place = (*path, "concepts")
    owner: dict[str, str] = {}
    for name, prompts in study.concepts.items():
        yield from _supernodes(parts, place, (name,), study.prompts, key=name)
        yield from prompt_list(parts, (*place, name), prompts)
        for index, prompt in enumerate(prompts):
            if owner.setdefault(prompt, name) != name:
                message = f"the prompt {prompt!r} is also one of {owner[prompt]!r}"
                yield Problem((*place, name, index), message)
        node = parts.supernodes.get(name)
        if study.on and node is not None and not has_source(node):
            message = f"{name!r} has no `source`, so there is no activation to put elsewhere"
            yield Problem((*place, name), message)
    yield from _answer_problems(parts, place, study)


def _answer_problems(parts: Parts, path: KeyPath, study: Swaps) -> Iterator[Problem]:
    """A swap succeeds when the donor's answer comes first, so each concept has one of its own."""
    answers: dict[str, str] = {}
    for name, prompts in study.concepts.items():
        known = [p for p in prompts if parts.prompts.get(p) is not None]
        without = [p for p in known if _answer(parts, p) is None]
        if without:
            message = (
                f"on {prompts_named(without)}: no `answer`, which a swap would have to replace"
            )
            yield Problem((*path, name), message)
        given = {answer for p in known if (answer := _answer(parts, p)) is not None}
        if len(given) > 1:
            message = f"its prompts have several answers, {listed(sorted(given))}; one is expected"
            yield Problem((*path, name), message)
        for answer in given:
            if answers.setdefault(answer, name) != name:
                message = f"its answer {answer!r} is also that of {answers[answer]!r}"
                yield Problem((*path, name), message)


def _answer(parts: Parts, prompt: str) -> str | None:
    spec = parts.prompts[prompt]
    return None if spec is None else spec.answer


def _supernodes(
    parts: Parts,
    path: KeyPath,
    names: Sequence[str],
    prompts: Sequence[str],
    key: str | None = None,
) -> Iterator[Problem]:
    """Supernodes that do not exist, or have no place on a prompt; `key` where names are keys."""
    for index, name in enumerate(names):
        place = (*path, index if key is None else key)
        if name not in parts.supernodes:
            yield Problem(place, unknown("supernode", name, parts.supernodes))
        elif name in names[:index]:
            yield Problem(place, f"the supernode {name!r} is named twice")
        else:
            node = parts.supernodes[name]
            if node is not None and anchored(node) and is_placed(parts, node):
                yield from span_problems(parts, place, anchor(node), prompts)


def shared_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the `shared` section."""
    for name, spec in parts.known_shared():
        path: KeyPath = ("shared", name)
        if name in parts.interventions:
            yield Problem(path, f"the name {name!r} is an intervention's already: give another")
        yield from _list_problems(parts, (*path, "translations"), spec)
        if spec.at != ALL:
            yield from span_problems(parts, (*path, "at"), spec.at, spec.prompts)
        for index, expectation in enumerate(spec.expect):
            yield from _overlap_problems((*path, "expect", index), expectation)
        if not spec.expect and parts.is_whole(*path):
            yield Problem(path, "it expects nothing: give it `expect`")


def _list_problems(parts: Parts, path: KeyPath, spec: SharedSpec) -> Iterator[Problem]:
    seen: set[str] = set()
    first = len(spec.translations[0])
    for index, names in enumerate(spec.translations):
        place = (*path, index)
        yield from prompt_list(parts, place, names)
        if len(names) == 1:
            yield Problem(place, "it has one prompt; two languages or more are expected")
        elif len(names) != first:
            message = f"found {len(names)} prompts; the first list has {first}: one a language"
            yield Problem(place, message)
        again = [name for name in dict.fromkeys(names) if name in seen]
        if again:
            yield Problem(place, f"{prompts_named(again)} stands in an earlier list already")
        seen.update(names)
        held_out = [p.held_out for name in names if (p := parts.prompts.get(name)) is not None]
        if len(set(held_out)) == 2:
            message = (
                "some of its prompts are held out and some are not; a list is one or the other"
            )
            yield Problem(place, message)


def _overlap_problems(path: KeyPath, expectation: Overlap) -> Iterator[Problem]:
    first, last = expectation.overlap
    if not 0 <= first <= last:
        message = f"found [{first}, {last}]; the first and the last layer are expected, from 0"
        yield Problem((*path, "overlap"), message)
    given = [expectation.exceeds_unrelated is not None, expectation.above is not None]
    if sum(given) != 1:
        found = "both `exceeds_unrelated` and `above`" if all(given) else "no test"
        yield Problem(path, f"it has {found}; one of `exceeds_unrelated` and `above` is expected")
