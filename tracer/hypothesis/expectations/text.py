"""Predicates on generated text: what it says, in which language, what it rhymes with.

The languages that a generated text can be expected in, by their English names.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.expectations.base import Expected, Share

Language = Literal[
    "Arabic", "Bengali", "Bulgarian", "Catalan", "Chinese", "Croatian", "Czech", "Danish", "Dutch",
    "English", "Estonian", "Finnish", "French", "German", "Greek", "Hebrew", "Hindi", "Hungarian",
    "Indonesian", "Italian", "Japanese", "Korean", "Latvian", "Lithuanian", "Norwegian", "Persian",
    "Polish", "Portuguese", "Romanian", "Russian", "Serbian", "Slovak", "Slovenian", "Spanish",
    "Swahili", "Swedish", "Tamil", "Telugu", "Thai", "Turkish", "Ukrainian", "Urdu", "Vietnamese",
]  # fmt: skip
"""The classifier chooses among these alone: rare neighbours (Venetian, Galician, Cantonese) would
only take from the likelihood of what was meant."""

CODES: dict[Language, str] = {
    "Arabic": "ar", "Bengali": "bn", "Bulgarian": "bg", "Catalan": "ca", "Chinese": "zh",
    "Croatian": "hr", "Czech": "cs", "Danish": "da", "Dutch": "nl", "English": "en",
    "Estonian": "et", "Finnish": "fi", "French": "fr", "German": "de", "Greek": "el",
    "Hebrew": "he", "Hindi": "hi", "Hungarian": "hu", "Indonesian": "id", "Italian": "it",
    "Japanese": "ja", "Korean": "ko", "Latvian": "lv", "Lithuanian": "lt", "Norwegian": "no",
    "Persian": "fa", "Polish": "pl", "Portuguese": "pt", "Romanian": "ro", "Russian": "ru",
    "Serbian": "sr", "Slovak": "sk", "Slovenian": "sl", "Spanish": "es", "Swahili": "sw",
    "Swedish": "sv", "Tamil": "ta", "Telugu": "te", "Thai": "th", "Turkish": "tr",
    "Ukrainian": "uk", "Urdu": "ur", "Vietnamese": "vi",
}  # fmt: skip
"""ISO 639-1."""


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
