"""What `tracer features index` and `tracer features search` tell programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.cli.documents.document import Document
from tracer.engine.feature_index.entries import IndexAbout
from tracer.record.files import Recorded


class IndexFacts(Document, IndexAbout):
    """What was indexed."""

    schema_: Literal["tracer.index/1"] = Field(default="tracer.index/1", alias="schema")
    n_silent: int = Field(description="Features that are active nowhere in it.")


class FeatureThatFires(Recorded):
    """A feature that fires on the text that was searched for."""

    id: str = Field(description="`layer_index`.")
    label: str | None
    token: str = Field(description="Where it is strongest.")
    position: int
    activation: float
    share: float = Field(description="Of the indexed tokens, those where it is as strong.")


class FeatureThatPromotes(Recorded):
    """A feature that promotes the token that was searched for."""

    id: str = Field(description="`layer_index`.")
    label: str | None = Field(description="Null without an index.")
    token: str
    score: float = Field(description="In standard deviations over the vocabulary.")


class FoundFeatures(Document):
    """Features found by a text."""

    schema_: Literal["tracer.search/1"] = Field(default="tracer.search/1", alias="schema")
    model: str
    basis: str = Field(description="`neurons`, or the dictionary.")
    text: str
    n_indexed: int | None = Field(description="Tokens of the index; null without one.")
    fires: tuple[FeatureThatFires, ...] = Field(description="Rarest first; empty without an index.")
    promotes: tuple[FeatureThatPromotes, ...] = Field(description="Of a text that is one token.")
