"""What graphs are asked for, before any model is opened, and what is given back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tracer.errors import UsageError
from tracer.graph.graph import AttributionGraph
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.problem import shorten, unknown
from tracer.hypothesis.spec import ModelSpec

MAX_FEATURES = 50_000
"""The edge matrix grows with the square: 10 GB."""


@dataclass(frozen=True)
class GraphRequest:
    """One text, or prompts of a hypothesis, and what their graphs are to explain."""

    source: str | HypothesisFile
    model: ModelSpec
    features: str
    prompts: tuple[str, ...] = ()
    """Names of the file's prompts; none means all of them."""
    toward: tuple[str, ...] = ()
    """Tokens to explain; none means the most probable ones, and a prompt's answer."""
    against: str | None = None
    """With exactly one token in `toward`: the difference of the two logits."""
    max_features: int = 2048

    def check(self) -> None:
        """Refuse what no model could answer.

        Raises:
            UsageError: A prompt the file does not have, too many features, tokens that do not go
                together, or a text that is none.
        """
        if self.against is not None and len(self.toward) != 1:
            raise UsageError("`against` goes with exactly one token in `toward`.")
        if not 1 <= self.max_features <= MAX_FEATURES:
            n = self.max_features
            raise UsageError(f"from 1 to {MAX_FEATURES:,} features can be kept, not {n}.")
        for text in (*self.toward, *filter(None, [self.against])):
            _require_text(text)
        if isinstance(self.source, str):
            _require_text(self.source)
            if self.prompts:
                raise UsageError("--prompt names a prompt of a hypothesis file; a text was given.")
            return
        known = self.source.hypothesis.prompts
        for name in self.prompts:
            if name not in known:
                raise UsageError(f"{self.source.path}: {unknown('prompt', name, known)}")


class NamedGraph(NamedTuple):
    """A graph, nothing pruned."""

    name: str | None
    """`hypothesis-prompt`; None for a text."""
    graph: AttributionGraph


def _require_text(text: str) -> None:
    """Bytes of an argument that are no UTF-8 arrive as surrogates, which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{shorten(ascii(text), 80)} is not valid Unicode.") from None
