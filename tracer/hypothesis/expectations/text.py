"""What generated text says, in which language, what it rhymes with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.expectations.base import Expectation, Share

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

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


class TextExpectation(Expectation):
    """Base of what is expected of generated text."""

    of_samples: Share = Field(
        default=1.0, description="Share of a prompt's samples it must hold in."
    )

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """No text to read, one sample of which a share is asked, or no word to look for."""
        if spec.generate is None:
            message = "no text is generated: give the intervention `generate`, {tokens: …}"
            yield Problem((*path, self.KEY), message)
        elif self.of_samples < 1 and spec.generate.samples == 1:
            message = "it says nothing: there is one sample of each prompt"
            yield Problem((*path, "of_samples"), message)
        for key, words in self.words().items():
            if not any(char.isalnum() for char in words):
                yield Problem((*path, key), f"found {words!r}; a word or more is expected")


class Says(TextExpectation):
    """The text contains these words, whatever their case, between word borders."""

    KEY: ClassVar[str] = "says"
    says: str

    def words(self) -> dict[str, str]:
        """The words."""
        return {"says": self.says}


class SaysNot(TextExpectation):
    """The text does not contain these words."""

    KEY: ClassVar[str] = "says_not"
    says_not: str

    def words(self) -> dict[str, str]:
        """The words."""
        return {"says_not": self.says_not}


class InLanguage(TextExpectation):
    """The text is in this language, as a classifier of short texts tells it."""

    KEY: ClassVar[str] = "language"
    language: Language


class RhymesWith(TextExpectation):
    """The text's first line rhymes with these words, as American English pronounces them."""

    KEY: ClassVar[str] = "rhymes_with"
    rhymes_with: str

    def words(self) -> dict[str, str]:
        """The words."""
        return {"rhymes_with": self.rhymes_with}
