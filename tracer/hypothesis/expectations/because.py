"""Why a head looks where it looks, by the nodes of an attribution graph: `because`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.attention import HeadsForm, heads_named, named_head_problems
from tracer.hypothesis.declared import Name
from tracer.hypothesis.expectations.base import GraphExpectation
from tracer.hypothesis.expectations.head_share import HeadShareTest

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

MEAN: Final = "mean"
"""In `against`: the mean over all keys, as the head weights them."""


class BecauseTest(HeadShareTest):
    """A score of a head, and the supernodes that are said to make it."""

    head: str = Field(description="'layer.head', quoted, or the name of a supernode of heads.")
    from_: Name = Field(alias="from", description="Span whose last token is the query.")
    to: Name = Field(description="Span whose last token is the key.")
    against: Name = Field(
        default=MEAN,
        description="What is subtracted: the score of another key, the last token of this span, or "
        "`mean`, that of all keys by the head's pattern.",
    )
    query: str | None = Field(
        default=None, description="Supernode on the query side; default: all that is there."
    )
    key: str | None = Field(default=None, description="The same on the key side.")

    @property
    def heads(self) -> HeadsForm:
        """The head that is meant by its id, or the supernode whose heads are."""
        return heads_named(self.head)

    @property
    def supernode(self) -> str | None:
        """The supernode whose heads are meant; None for a head by its id."""
        return self.heads if isinstance(self.heads, str) else None

    @property
    def sides(self) -> tuple[str, ...]:
        """The supernodes that are named, query side first."""
        return tuple(name for name in (self.query, self.key) if name is not None)

    @property
    def score(self) -> str:
        """What is explained: '9.1 last → name (minus mean)'."""
        return f"{self.head} {self.from_} → {self.to} (minus {self.against})"

    @property
    def name(self) -> str:
        """What it is called where it is recorded: its score and what makes it."""
        return f"{self.score}: {self.query or 'all'} × {self.key or 'all'}"


class Because(GraphExpectation):
    """How much of a head's score comes from one supernode at the query and one at the key.

    The score S(q, k) before the softmax, minus that of another key or of the mean over the keys, is
    a sum over pairs of nodes; the share is that of the pairs between the two supernodes.
    """

    KEY: ClassVar[str] = "because"
    because: BecauseTest

    def supernodes(self) -> tuple[str, ...]:
        """Those of the two sides, and that of the heads, if it has one."""
        heads = self.because.supernode
        return self.because.sides if heads is None else (*self.because.sides, heads)

    def head_ids(self) -> Iterator[tuple[KeyPath, str]]:
        """The one that is given by its id."""
        if self.because.supernode is None:
            yield ("because", "head"), self.because.head

    def graph_problems(
        self, parts: Parts, path: KeyPath, prompts: Sequence[str]
    ) -> Iterator[Problem]:
        """A head, a span or a supernode that is not there, and tests that no share can pass."""
        path, asked = (*path, "because"), self.because
        yield from named_head_problems(parts, (*path, "head"), asked.heads)
        spans = {"from": asked.from_, "to": asked.to}
        if asked.against != MEAN:
            spans["against"] = asked.against
        for key, span in spans.items():
            yield from parts.span_problems((*path, key), span, prompts)
        if asked.against == asked.to:
            yield Problem((*path, "against"), "it is the same key, so the difference is 0")
        if not asked.sides:
            yield Problem(path, "it names no reason: `query`, `key` or both are expected")
        for side, name in (("query", asked.query), ("key", asked.key)):
            if name is not None:
                yield from parts.supernode_problems((*path, side), name, prompts)
                yield from parts.head_problems((*path, side), name, "an attribution graph is of")
        yield from asked.share_problems(path)
