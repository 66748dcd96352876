"""What the schema cannot say about circuits: prompts, supernodes, and tests nobody can pass."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.errors import KeyPath, Problem, prompts_named, unknown
from tracer.hypothesis.binomial import circuits_needed, prompts_needed
from tracer.hypothesis.check_supernodes import (
    anchor,
    anchored,
    is_placed,
    prompt_list,
    span_problems,
)
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.studies.circuit import (
    FEWEST,
    Bounds,
    CircuitExpectation,
    CircuitSpec,
    Completeness,
    Equivalent,
    Faithfulness,
    Independent,
    Minimal,
    PartiallyNecessary,
    Sufficient,
)
from tracer.hypothesis.studies.graph import GRAPH


def circuit_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the circuits."""
    for name, circuit in parts.known_circuits():
        path: KeyPath = ("circuit", name)
        if name == GRAPH or name in parts.interventions:
            message = f"{name!r} is taken, and outcomes are told by name: give it another"
            yield Problem(path, message)
        yield from prompt_list(parts, (*path, "prompts"), circuit.prompts)
        yield from _reference_problems(parts, path, circuit)
        yield from _supernode_problems(parts, path, circuit)
        yield from _scope_problems(parts, path, circuit)
        yield from _metric_problems(parts, path, circuit)
        for index, expectation in enumerate(circuit.expect):
            place = (*path, "expect", index)
            yield from _expectation_problems(parts, place, circuit, expectation)


def _reference_problems(parts: Parts, path: KeyPath, circuit: CircuitSpec) -> Iterator[Problem]:
    place = (*path, "reference")
    yield from prompt_list(parts, place, circuit.reference, discovery="a reference")
    if len(circuit.reference) == 1 and circuit.reference[0] in circuit.prompts:
        message = f"{circuit.reference[0]!r} alone is its own mean: ablating changes nothing on it"
        yield Problem((*place, 0), message)


def _supernode_problems(parts: Parts, path: KeyPath, circuit: CircuitSpec) -> Iterator[Problem]:
    for index, name in enumerate(circuit.supernodes):
        place = (*path, "supernodes", index)
        if name not in parts.supernodes:
            yield Problem(place, unknown("supernode", name, parts.supernodes))
            continue
        if name in circuit.supernodes[:index]:
            yield Problem(place, f"the supernode {name!r} is named twice")
        node = parts.supernodes[name]
        if node is not None and anchored(node) and is_placed(parts, node):
            yield from span_problems(parts, place, anchor(node), circuit.prompts)


def _scope_problems(parts: Parts, path: KeyPath, circuit: CircuitSpec) -> Iterator[Problem]:
    scope = circuit.within
    if scope.at is not None:
        yield from span_problems(parts, (*path, "within", "at"), scope.at, circuit.prompts)
    if scope.layers is not None and not 0 <= scope.layers[0] <= scope.layers[1]:
        first, last = scope.layers
        yield Problem(
            (*path, "within", "layers"),
            f"found [{first}, {last}]; the first and the last layer are expected, counted from 0",
        )


def _metric_problems(parts: Parts, path: KeyPath, circuit: CircuitSpec) -> Iterator[Problem]:
    without = [
        name
        for name in circuit.prompts
        if (prompt := parts.prompts.get(name)) is not None
        and prompt.answer is None
        and parts.is_whole("prompts", name)
    ]
    if circuit.metric == "answer" and without:
        yield Problem(
            (*path, "metric") if "metric" in circuit.model_fields_set else path,
            f"`metric: answer` has no meaning on {prompts_named(without)}, which has no answer: "
            "give one, or write {token: …} or {logit_diff: [.., ..]}",
        )


def _expectation_problems(
    parts: Parts, path: KeyPath, circuit: CircuitSpec, expectation: CircuitExpectation
) -> Iterator[Problem]:
    match expectation:
        case Faithfulness(faithfulness=bounds):
            yield from _bounds_problems((*path, "faithfulness"), bounds)
        case Completeness(completeness=bounds):
            yield from _bounds_problems((*path, "completeness"), bounds)
        case Sufficient(sufficient=alpha, share=share):
            yield from _too_few_circuits((*path, "sufficient"), circuit, alpha, share)
        case PartiallyNecessary(partially_necessary=alpha, share=share):
            yield from _too_few_circuits((*path, "partially_necessary"), circuit, alpha, share)
        case Minimal() if 0 in (circuit.random, circuit.groups):
            key = "random" if circuit.random == 0 else "groups"
            yield Problem((*path, "minimal"), f"`{key}` is 0, so there is nothing to compare")
        case Minimal():
            return
        case Equivalent(equivalent=alpha, margin=margin):
            needed = prompts_needed(alpha, margin)
            yield from _too_few_prompts(parts, (*path, "equivalent"), circuit, needed)
        case Independent():
            yield from _too_few_prompts(parts, (*path, "independent"), circuit, FEWEST)


def _bounds_problems(path: KeyPath, bounds: Bounds) -> Iterator[Problem]:
    if bounds.above is None and bounds.below is None:
        yield Problem(path, "it tests nothing: `above` or `below` is expected")
    elif bounds.above is not None and bounds.below is not None and bounds.above >= bounds.below:
        yield Problem(path, "`above` is not below `below`: no score can be both")


def _too_few_circuits(
    path: KeyPath, circuit: CircuitSpec, alpha: float, share: float
) -> Iterator[Problem]:
    needed = circuits_needed(alpha, share)
    if circuit.random < needed:
        yield Problem(
            path,
            f"{circuit.random} random circuits cannot give p ≤ {alpha:g} at a share of {share:g}: "
            f"`random: {needed}` is the least",
        )


def _too_few_prompts(
    parts: Parts, path: KeyPath, circuit: CircuitSpec, needed: int
) -> Iterator[Problem]:
    """A split with too few prompts would leave the whole hypothesis untested."""
    known = [prompt for name in circuit.prompts if (prompt := parts.prompts.get(name)) is not None]
    for split, held_out in (("discovery", False), ("held-out", True)):
        n = sum(prompt.held_out == held_out for prompt in known)
        if 0 < n < needed:
            yield Problem(
                path,
                f"it needs {needed} prompts of each split it is judged on; `prompts` has {n} "
                f"{split} ones: name more, or none of them",
            )
