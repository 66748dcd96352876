"""What a file may say of attention patterns: knockouts, another prompt's pattern, a weight read.

A pattern A(q, k) of a head says how much query position q takes from key position k; each query's
weights add up to 1. Heads are named one by one or by a supernode that holds heads, which a rule may
have found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tracer.errors import KeyPath, Problem, unknown
from tracer.hypothesis.declared import Declared, Name
from tracer.hypothesis.heads import find_head

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts


def _heads_tag(value: Any) -> str:
    return "<name>" if isinstance(value, str) else "<list>"


HeadsForm = Annotated[
    Annotated[Name, Tag("<name>")] | Annotated[tuple[str, ...], Tag("<list>")],
    Discriminator(_heads_tag),
]
"""Heads 'layer.head', or the name of a supernode of heads."""


class PatternClamp(Declared):
    """A knockout, `set: 0` from a query to a key, or the pattern of another prompt, `like`."""

    heads: HeadsForm = Field(description="'layer.head', quoted, or the name of a supernode.")
    from_: Name | None = Field(
        default=None,
        alias="from",
        description="Span of the queries; with `like` the default is all of them.",
    )
    to: Name | None = Field(default=None, description="Span of the keys.")
    set: Literal[0] | None = Field(
        default=None, description="0: no query of `from` takes anything from a key of `to`."
    )
    keep: bool = Field(
        default=False,
        description="The other weights stay as they were; else they are what the softmax makes of "
        "the scores that are left, so that they add up to 1.",
    )
    like: Name | None = Field(
        default=None, description="A prompt with as many tokens, whose unclamped pattern is taken."
    )

    def words(self) -> str:
        """As people read it: '9.1, 11.3 last ↛ name', 'movers as on mary_john'."""
        heads = heads_words(self.heads)
        if self.like is not None:
            where = f" at {self.from_}" if self.from_ else ""
            return f"{heads} looking as on {self.like}{where}"
        return f"{heads} {self.from_} ↛ {self.to}"

    def problems(self, parts: Parts, path: KeyPath, prompts: Sequence[str]) -> Iterator[Problem]:
        """What the schema cannot say; `prompts` are those that it is carried out on."""
        yield from heads_problems(parts, (*path, "heads"), self.heads)
        if (self.set is None) == (self.like is None):
            has = "neither `set` nor `like`" if self.set is None else "both `set` and `like`"
            yield Problem(path, f"it has {has}; one of them says what is done")
            return
        if self.like is not None:
            yield from parts.prompt_problems((*path, "like"), (self.like,))
            for key in ("to", "keep"):
                if getattr(self, key):
                    message = "it says nothing beside `like`, which takes whole queries"
                    yield Problem((*path, key), message)
        elif self.from_ is None or self.to is None:
            yield Problem(path, "a knockout is `from` a span of queries `to` a span of keys")
        for key, span in (("from", self.from_), ("to", self.to)):
            if span is not None:
                yield from parts.span_problems((*path, key), span, prompts)


def heads_named(head: str) -> HeadsForm:
    """One head by its id, or the name of a supernode of heads."""
    return head if find_head(head) is None else (head,)


def heads_words(heads: HeadsForm) -> str:
    """As people read them."""
    return heads if isinstance(heads, str) else ", ".join(heads)


def id_problems(path: KeyPath, heads: Sequence[str]) -> Iterator[Problem]:
    """Ids that name no head, or one twice."""
    if not heads:
        yield Problem(path, "the list is empty; one head or more is expected")
    for index, head in enumerate(heads):
        if find_head(head) is None:
            message = f"{head!r} is no head: write 'layer.head', both from 0, e.g. '9.1'"
            yield Problem((*path, index), message)
        elif find_head(head) in map(find_head, heads[:index]):
            yield Problem((*path, index), f"the head {head!r} is named twice")


def heads_problems(parts: Parts, path: KeyPath, heads: HeadsForm) -> Iterator[Problem]:
    """Ids that name none, or a supernode that is not there or holds features."""
    if not isinstance(heads, str):
        yield from id_problems(path, heads)
        return
    node = parts.supernodes.get(heads)
    if heads not in parts.supernodes:
        known = [name for name, each in parts.known_supernodes() if each.is_heads]
        yield Problem(path, unknown("supernode of heads", heads, known))
    elif node is not None and not node.is_heads:
        yield Problem(path, f"the supernode {heads!r} holds features, which attend to nothing")


def named_head_problems(parts: Parts, path: KeyPath, heads: HeadsForm) -> Iterator[Problem]:
    """The same of `heads_named`: where one name is written, a mistake has no place in a list."""
    return (Problem(path, message) for _, message in heads_problems(parts, path, heads))
