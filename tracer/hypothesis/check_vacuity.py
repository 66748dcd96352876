"""What could not fail, as far as a file alone tells; the rest is found when a run is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.clamps import HERE, ClampForm, InterventionSpec, long_form
from tracer.hypothesis.expectations.effect import Thresholds
from tracer.hypothesis.expectations.fraction import Fraction

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts


def vacuity_problems(parts: Parts) -> Iterator[Problem]:
    """Clamps and expectations that change nothing, whatever happens, and words without use."""
    for name, spec in parts.known_interventions():
        path = ("interventions", name)
        for node, clamp in spec.clamp.items():
            if _changes_nothing(clamp) and len(spec.clamp) == 1 and spec.doses is None:
                message = "it sets every feature to its own value: nothing changes"
                yield Problem((*path, "clamp", node), message)
        yield from _expectation_problems(path, spec)
    for name, node in parts.known_supernodes():
        rule = node.select
        # Not whether it was written: a record holds the defaults of its hypothesis too.
        if rule is not None and rule.is_blind and rule.toward != "answer":
            message = "it says nothing: by activation a rule never looks at the output"
            yield Problem(("supernodes", name, "select", "toward"), message)
    if parts.expected == "refuted":
        yield from _unnamed_failure(parts)


def _changes_nothing(clamp: ClampForm) -> bool:
    long = long_form(clamp)
    own = long.from_ == (HERE,) and long.at is None and long.amount == ("times", 1)
    return own or long.amount == ("add", 0)


def _is_set(spec: InterventionSpec, supernode: str) -> bool:
    return supernode in spec.clamp and long_form(spec.clamp[supernode]).at is None


def _expectation_problems(path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
    for index, expectation in enumerate(spec.expect):
        place = (*path, "expect", index)
        if isinstance(expectation, Fraction) and _is_set(spec, expectation.supernode):
            message = "the intervention sets this supernode itself, so it cannot come out else"
            yield Problem((*place, "supernode"), message)
        if isinstance(expectation, Thresholds):
            for test in ("rises_by", "falls_by"):
                bound = getattr(expectation, test)
                if bound is not None and bound < 0:
                    message = f"found {bound:g}, which holds where nothing changes: 0 or more"
                    yield Problem((*place, test), message)


def _unnamed_failure(parts: Parts) -> Iterator[Problem]:
    """A negative result is a particular failure, not any."""
    found: list[object] = [e for _, spec in parts.known_interventions() for e in spec.expect]
    found += [e for _, s in parts.known_interventions() if s.doses for e in s.doses.expect]
    for _, study in parts.known_studies():
        found += [study, *getattr(study, "expect", ())]
    found += parts.graph.expect if parts.graph else ()
    if found and not any(getattr(each, "fails", False) for each in found):
        message = "a negative result is a particular failure: write `fails: true` beside the "
        yield Problem(("expected",), message + "expectation, or expectations, that are to fail")
