"""What a graph is asked of: a text, or a hypothesis file, and by which model and features."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tracer.engine.model.sources import named_model
from tracer.hypothesis.load import HypothesisFile, Replacements, read
from tracer.hypothesis.spec import Hypothesis, ModelSpec


def is_file(text: str, endings: tuple[str, ...]) -> bool:
    """Whether a file is meant: one word, or the name of a file that is there."""
    return text.endswith(endings) and (len(text.split()) == 1 or Path(text).exists())


class GraphSource(NamedTuple):
    """A text or a hypothesis file, and by what its graphs are taken."""

    source: str | HypothesisFile
    model: ModelSpec
    features: str


def source_of(prompt: str, replaced: Replacements) -> GraphSource:
    """What to graph, with the model and the features of the file, or the default ones."""
    if is_file(prompt, (".yaml", ".yml")):
        file = read(prompt, replaced.overrides())
        return GraphSource(file, file.hypothesis.model_spec, file.hypothesis.features)
    spec = named_model(replaced.model, replaced.device, replaced.dtype)
    return GraphSource(prompt, spec, Hypothesis.model_fields["features"].default)
