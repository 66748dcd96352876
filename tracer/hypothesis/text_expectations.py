"""Predicates on generated text: what it says, in which language, what it rhymes with."""

from __future__ import annotations

from pydantic import Field

from tracer.hypothesis.expected import Expected, Share
from tracer.hypothesis.languages import Language


class OfText(Expected):
    """Base of what is expected of generated text."""

    of_samples: Share = Field(
        default=1.0, description="Share of a prompt's samples it must hold in."
    )


class Says(OfText):
    """The text contains these words, whatever their case, between word borders."""

    says: str


class SaysNot(OfText):
    """The text does not contain these words."""

    says_not: str


class InLanguage(OfText):
    """The text is in this language, as a classifier of short texts tells it."""

    language: Language


class RhymesWith(OfText):
    """The text's first line rhymes with these words, as American English pronounces them."""

    rhymes_with: str


TextExpectation = Says | SaysNot | InLanguage | RhymesWith


def words_of(expectation: TextExpectation) -> dict[str, str]:
    """The words an expectation names, by the key that holds them, variables unfilled."""
    match expectation:
        case Says():
            return {"says": expectation.says}
        case SaysNot():
            return {"says_not": expectation.says_not}
        case RhymesWith():
            return {"rhymes_with": expectation.rhymes_with}
        case InLanguage():
            return {}
