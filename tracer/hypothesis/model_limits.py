"""What a file names that its model does not have: layers, features and heads beyond the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tracer.errors import KeyPath, Mistake
from tracer.hypothesis.heads import parse_head
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.neuronpedia import fitting_features, foreign
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.studies.circuit import CircuitSpec
from tracer.hypothesis.studies.shared import SharedSpec


class ModelLimits(NamedTuple):
    """How much a model and its features have."""

    n_layers: int
    widths: Sequence[int] | None
    """Features, by layer; None where the dictionary has not been opened."""
    n_heads: Mapping[int, int]
    """By layer; the layers that have attention, or none where no head is named."""


def limit_mistakes(file: HypothesisFile, limits: ModelLimits) -> Iterator[Mistake]:
    """Every id and layer range that lies beyond what the model has."""
    yield from _supernode_mistakes(file, limits)
    yield from _pattern_mistakes(file, limits)
    yield from _study_mistakes(file, limits.n_layers - 1)


def _supernode_mistakes(file: HypothesisFile, limits: ModelLimits) -> Iterator[Mistake]:
    last = limits.n_layers - 1
    for name, spec in file.hypothesis.supernodes.items():
        if spec.select and spec.select.layers and spec.select.layers[1] > last:
            where = ("supernodes", name, "select", "layers")
            yield file.mistake(where, _beyond(spec.select.layers[1], last))
        if spec.neuronpedia is not None and limits.widths is not None:
            where = ("supernodes", name, "neuronpedia", "url")
            told = "".join(f"{note} " for note in foreign(spec, file.hypothesis.model_spec.name))
            kept, _, misfits = fitting_features(spec, limits.widths)
            if misfits and (told or not kept):
                n_ids = misfits + len(kept)
                message = f"{told}Of {n_ids} features in this group the model has {len(kept)}."
                yield file.mistake(where, message)
        for n, text in enumerate(spec.features or ()):
            layer, index, _ = parse_given(text)
            where = ("supernodes", name, "features", n)
            if layer > last:
                yield file.mistake(where, f"{text!r}: {_beyond(layer, last)}")
            elif limits.widths is not None and index >= limits.widths[layer]:
                most = limits.widths[layer] - 1
                yield file.mistake(where, f"{text!r}: layer {layer} has features 0 to {most}.")
        for n, text in enumerate(spec.heads or ()):
            message = _head_mistake(text, limits)
            if message is not None:
                yield file.mistake(("supernodes", name, "heads", n), message)


def _pattern_mistakes(file: HypothesisFile, limits: ModelLimits) -> Iterator[Mistake]:
    """Heads of pattern clamps and expectations that the model does not have."""
    for name, spec in file.hypothesis.interventions.items():
        named: list[tuple[KeyPath, str]] = []
        for number, clamp in enumerate(spec.attention):
            path = ("interventions", name, "attention", number, "heads")
            ids = () if isinstance(clamp.heads, str) else clamp.heads
            named += [((*path, n), text) for n, text in enumerate(ids)]
        for path, text in named:
            message = _head_mistake(text, limits)
            if message is not None:
                yield file.mistake(path, message)
    for path, _, asked in file.hypothesis.weights_asked():
        message = None if asked.supernode else _head_mistake(asked.head, limits)
        if message is not None:
            yield file.mistake((*path, "head"), message)
    for path, text in file.hypothesis.graph_heads():
        message = _head_mistake(text, limits)
        if message is not None:
            yield file.mistake(path, message)


def _head_mistake(text: str, limits: ModelLimits) -> str | None:
    """Why the model has no such head; None where it has it."""
    (layer, head), n_heads = parse_head(text), limits.n_heads
    if layer not in n_heads:
        return f"{text!r}: {_beyond(layer, max(n_heads))}"
    if head >= n_heads[layer]:
        return f"{text!r}: layer {layer} has heads 0 to {n_heads[layer] - 1}."
    return None


def _study_mistakes(file: HypothesisFile, last: int) -> Iterator[Mistake]:
    """Layers of circuits and shared representations that lie beyond the last."""
    for name, circuit in file.hypothesis.studies_of(CircuitSpec).items():
        if circuit.within.layers and circuit.within.layers[1] > last:
            where = ("circuit", name, "within", "layers")
            yield file.mistake(where, _beyond(circuit.within.layers[1], last))
    for name, shared in file.hypothesis.studies_of(SharedSpec).items():
        for n, expectation in enumerate(shared.expect):
            if expectation.overlap[1] > last:
                where = ("shared", name, "expect", n, "overlap")
                yield file.mistake(where, _beyond(expectation.overlap[1], last))


def _beyond(layer: int, last: int) -> str:
    return f"layer {layer} is out of range; the last is {last}."
