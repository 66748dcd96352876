"""What an evaluation of dictionaries is asked for, checked before a model is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.engine.corpus.passages import TextSource
from tracer.engine.graph_request import GraphRequest
from tracer.errors import UsageError
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.names import require_possible
from tracer.hypothesis.spec import ModelSpec

N_TOKENS = 20_000
N_REPLACED = 1_024
"""The default: each layer takes a pass of its own over these, and logits of every token."""


@dataclass(frozen=True)
class EvaluationRequest:
    """Dictionaries of one model, and what they are measured on."""

    model: ModelSpec
    features: tuple[str, ...]
    """Names as in a hypothesis; `neurons` too."""
    text: tuple[TextSource, ...]
    is_held_out: bool = False
    """Whether the whole text is: then all of it is read, and not only the passages that training
    leaves out."""
    n_tokens: int = N_TOKENS
    """What is explained, and which features are dead, is measured on so many."""
    n_replaced: int = N_REPLACED
    """Next tokens with MLPs replaced on so many of these."""
    prompts: tuple[str | HypothesisFile, ...] = ()
    """Of which graphs are taken."""
    max_features: int | None = None
    """So many features are nodes of a graph; None is as many as a file says, or the default."""

    def graphs(self, features: str) -> Iterator[GraphRequest]:
        """The graphs to take in a basis, one request for each text or file."""
        for each in self.prompts:
            yield GraphRequest(each, self.model, features, max_features=self.max_features)

    def check(self) -> None:
        """Refuse what no model could answer.

        Raises:
            UsageError: Features named twice or not known, no tokens, or what graphs refuse.
        """
        for n, name in enumerate(self.features):
            if name in self.features[:n]:
                raise UsageError(f"features {name!r} are given twice.")
            require_possible(name)
            for graph in self.graphs(name):
                graph.check()
        for option, n in (("--tokens", self.n_tokens), ("--replaced", self.n_replaced)):
            if n < 1:
                raise UsageError(f"{option} {n}: at least one token is measured on.")
