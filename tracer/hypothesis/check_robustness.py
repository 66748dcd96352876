"""What the schema cannot say about variations: that each exists, fits the file, and varies it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tracer.errors import KeyPath, Problem, dotted, listed, show, unknown
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.robustness import ROBUSTNESS, Robustness
from tracer.hypothesis.studies.registry import STUDIES
from tracer.hypothesis.template import TemplateMistake, variables

_AXES = ("templates", "seeds", "sizes", "leave_one_out")

Check = Callable[[Parts], Iterable[Problem]]


def robustness_problems(parts: Parts, texts: Check) -> Iterator[Problem]:
    """Mistakes in the variations.

    Args:
        parts: the file.
        texts: finds the mistakes that a text may bring: variables, spans, places of features.
    """
    spec = parts.robustness
    if spec is None:
        return
    path: KeyPath = (ROBUSTNESS,)
    sections = _sections(parts)
    if parts.is_whole(*path) and not any(getattr(spec, axis) for axis in _AXES):
        yield Problem(path, f"it varies nothing: give it one of {listed(_AXES)}")
    if not any(sections.values()) and all(map(parts.is_whole, sections)):
        yield Problem(path, f"nothing can be repeated: the file has none of {listed(sections)}")
    for section, members in sections.items():
        if ROBUSTNESS in members:
            message = f"{ROBUSTNESS!r} stands for the variations in a verdict: give it another name"
            yield Problem((section, ROBUSTNESS), message)
    yield from _template_problems(parts, (*path, "templates"), spec.templates, texts)
    yield from _seed_problems(parts, (*path, "seeds"), spec)
    yield from _size_problems(parts, path, spec)
    yield from _left_out_problems(parts, (*path, "leave_one_out"), spec)
    known = [name for members in sections.values() for name in members]
    yield from _doubles((*path, "interventions"), spec.interventions)
    for index, name in enumerate(spec.interventions):
        if name not in known:
            yield Problem((*path, "interventions", index), unknown("intervention", name, known))


def _sections(parts: Parts) -> dict[str, Mapping[str, object]]:
    """What a variation can measure again, by section."""
    repeated = {kind.SECTION for kind in STUDIES if kind.REPEATED}
    studies = {section: x for section, x in parts.studies.items() if section in repeated}
    return {"interventions": parts.interventions, **studies}


def _doubles(path: KeyPath, given: Sequence[object]) -> Iterator[Problem]:
    for index, value in enumerate(given):
        if value in given[:index]:
            yield Problem((*path, index), f"{show(value)} is given twice")


def _template_problems(
    parts: Parts, path: KeyPath, templates: Mapping[str, str], texts: Check
) -> Iterator[Problem]:
    if not templates:
        return
    if parts.template is None:
        if parts.is_whole("template"):
            yield Problem(path, "the file has no `template` that a paraphrase could replace")
        return
    told = {problem.path for problem in texts(parts)}
    seen = {parts.template: "the template of the file"}
    for name, text in templates.items():
        place = (*path, name)
        if text in seen:
            yield Problem(place, f"it is the same text as {seen[text]}")
            continue
        seen[text] = f"{name!r}"
        wrong = _wrong_variables(text, parts.template)
        if wrong is not None:
            yield Problem(place, wrong)
            continue
        found = [p for p in texts(replace(parts, template=text)) if p.path not in told]
        if found:
            first, others = found[0], len(dict.fromkeys(found)) - 1
            more = f" (and {others} more)" if others else ""
            message = f"as the template it breaks {dotted(first.path)}{more}: {first.message}"
            yield Problem(place, message)


def _wrong_variables(text: str, template: str) -> str | None:
    """Why a text cannot stand for the template; None where it can."""
    if not text.strip():
        return "the text is empty"
    try:
        missing = [name for name in variables(template) if name not in variables(text)]
    except TemplateMistake as mistake:
        return str(mistake)
    if missing:
        return f"it lacks {listed('{' + name + '}' for name in missing)}, which the template has"
    return None


def _seed_problems(parts: Parts, path: KeyPath, spec: Robustness) -> Iterator[Problem]:
    yield from _doubles(path, spec.seeds)
    if spec.seeds and all(map(parts.is_whole, _sections(parts))) and not _draws(parts, spec):
        yield Problem(
            path,
            "nothing that is repeated is drawn at random: no expectation compares with controls, "
            "no text is sampled, so every seed gives the same",
        )


def _draws(parts: Parts, spec: Robustness) -> bool:
    """Whether a seed decides anything of what is repeated."""

    def is_repeated(name: str) -> bool:
        return name in spec.interventions or not spec.interventions

    own = any(spec.is_drawn for name, spec in parts.known_interventions() if is_repeated(name))
    studies = [(name, each) for name, each in parts.known_studies() if is_repeated(name)]
    return own or any(each.is_drawn(name) for name, each in studies if each.REPEATED)


def _size_problems(parts: Parts, path: KeyPath, spec: Robustness) -> Iterator[Problem]:
    yield from _doubles((*path, "sizes"), spec.sizes)
    yield from _doubles((*path, "of"), spec.of)
    nodes = dict(parts.known_supernodes())
    sized = [n for n, node in nodes.items() if node.select and node.select.top is not None]
    if spec.of and not spec.sizes and parts.is_whole(*path):
        yield Problem((*path, "of"), "nothing uses it: it is for `sizes`")
    if spec.sizes and not sized and parts.is_whole("supernodes"):
        yield Problem((*path, "sizes"), "no supernode has a rule with `top`, so none has a size")
        return
    for index, name in enumerate(spec.of):
        if name not in parts.supernodes:
            yield Problem((*path, "of", index), unknown("supernode", name, sized))
        elif name in nodes and name not in sized and parts.is_whole("supernodes", name):
            message = f"the supernode {name!r} has no rule with `top`. With one: {listed(sized)}"
            yield Problem((*path, "of", index), message)


def _left_out_problems(parts: Parts, path: KeyPath, spec: Robustness) -> Iterator[Problem]:
    rules = [node.select for _, node in parts.known_supernodes() if node.select is not None]
    several = any(len(rule.on) > 1 or len(rule.against) > 1 for rule in rules)
    if spec.leave_one_out and not several and parts.is_whole("supernodes"):
        message = "no rule has two prompts in `on` or in `against`, so none can be left out"
        yield Problem(path, message)
