"""The request for attribution graphs, made before a model is opened, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tracer.engine.progress import Progress
from tracer.errors import UsageError, shorten, unknown
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.names import require_possible
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.studies.graph import KEPT_FEATURES, MAX_FEATURES, MAX_HEADS, GraphSpec
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.head_reason import HeadReason
from tracer.record.trials import FeatureTokens

if TYPE_CHECKING:
    from tracer.engine.attribution.graph import Attributed

N_READ = 150
"""Features of a graph that are told of: what they promote."""
DescribeFeatures = Callable[[AttributionGraph, Progress], Mapping[str, FeatureTokens]]
"""Of what a pruning left of a graph, what its most influential features promote, by id."""


@dataclass(frozen=True)
class WhyRequest:
    """Which head's attention is to be told the reason of."""

    head: HeadName
    query: str
    """From which token: its text, its position, `last`, or a span of the prompt."""
    key: str
    """At which token."""
    against: str | None = None
    """Another one whose score is subtracted, or `mean`."""


@dataclass(frozen=True)
class GraphRequest:
    """One text, or prompts of a hypothesis, and what their graphs are to explain.

    What is not said here, the hypothesis's `graph:` section says, where there is one.
    """

    source: str | HypothesisFile
    model: ModelSpec
    features: str
    prompts: tuple[str, ...] = ()
    """Names of the file's prompts; none means those of the section, or all of them."""
    toward: tuple[str, ...] = ()
    """Tokens to explain; none means what the section explains on its prompts, and elsewhere the
    most probable ones and a prompt's answer."""
    against: str | None = None
    """With exactly one token in `toward`: the difference of the two logits."""
    max_features: int | None = None
    max_heads: int | None = None
    why: WhyRequest | None = None

    @property
    def section(self) -> GraphSpec | None:
        """What the file says of graphs."""
        return None if isinstance(self.source, str) else self.source.hypothesis.graph

    @property
    def names(self) -> tuple[str, ...]:
        """The file's prompts to take graphs of, each once; none of a text."""
        if isinstance(self.source, str):
            return ()
        of_section = self.section.prompts if self.section else ()
        return tuple(dict.fromkeys(self.prompts or of_section or self.source.hypothesis.prompts))

    @property
    def kept_features(self) -> int:
        """So many of the active features are kept, the most relevant."""
        if self.max_features is not None:
            return self.max_features
        return self.section.max_features if self.section else KEPT_FEATURES

    @property
    def kept_heads(self) -> int:
        """So many heads of attention at positions are nodes, the most relevant; 0 for none."""
        if self.max_heads is not None:
            return self.max_heads
        return self.section.heads if self.section else 0

    @property
    def _named_tokens(self) -> tuple[str | None, ...]:
        why = self.why
        return () if why is None else (why.query, why.key, why.against)

    def check(self) -> None:
        """Refuse what no model could answer.

        Raises:
            UsageError: A prompt the file does not have, unknown features, too many features or
                heads, tokens that do not go together, or a text that is none.
        """
        if self.against is not None and len(self.toward) != 1:
            raise UsageError("`against` goes with exactly one token in `toward`.")
        n = self.kept_features
        if not 1 <= n <= MAX_FEATURES:
            raise UsageError(f"from 1 to {MAX_FEATURES:,} features can be kept, not {n}.")
        if not 0 <= self.kept_heads <= MAX_HEADS:
            raise UsageError(f"from 0 to {MAX_HEADS:,} heads can be nodes, not {self.kept_heads}.")
        require_possible(self.features)
        for text in (*self.toward, *filter(None, [self.against, *self._named_tokens])):
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
    describe: DescribeFeatures
    taken: Attributed
    """The same graph with the frozen prompt, off which more can be read."""
    reason: HeadReason | None
    """Where it was asked why a head looks somewhere."""


class NamedConsensus(NamedTuple):
    """What is there on most of some prompts."""

    name: str
    """The hypothesis's."""
    graph: AttributionGraph
    token_ids: tuple[tuple[int, ...], ...]
    """By prompt that was counted."""
    describe: DescribeFeatures


def _require_text(text: str) -> None:
    """Bytes of an argument that are no UTF-8 arrive as surrogates, which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{shorten(ascii(text), 80)} is not valid Unicode.") from None
