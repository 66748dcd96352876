"""Which language a short text is in, as far as that can be told.

A naive-Bayes classifier over byte n-grams (Lui & Baldwin 2012, in the re-trained and calibrated
form of py3langid) gives each of the languages a file may name its likelihood. Only a clear one is
taken: a name or two words, names in another language, or close neighbours (Danish and Norwegian,
Croatian and Serbian) stay undecided.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from tracer.hypothesis.expectations.text import CODES

CLEAR = 0.8
"""Least likelihood of a language that is taken for the text's."""
MIN_LETTERS = 10
"""Fewest letters of a text; one of Chinese, Japanese or Korean counts for five of them."""
_WEIGHT = 5
_DENSE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")


class Told(NamedTuple):
    """The likeliest language and its likelihood; `reason` says why it is not to be taken."""

    language: str
    likelihood: float
    reason: str | None


def language_of(text: str) -> Told:
    """The language of a text."""
    code, likelihood = _identifier().rank(text)[0]
    language = next(name for name, known in CODES.items() if known == code)
    reason = None
    if _size(text) < MIN_LETTERS:
        reason = f"the text is too short to tell its language: fewer than {MIN_LETTERS} letters"
    elif likelihood < CLEAR:
        reason = (
            f"the text's language is not clear: {language} is likeliest, "
            f"with {likelihood:.2f} of {CLEAR:g} needed"
        )
    return Told(language, float(likelihood), reason)


def _size(text: str) -> int:
    return sum(_WEIGHT if _is_dense(char) else 1 for char in text if char.isalpha())


def _is_dense(char: str) -> bool:
    return unicodedata.name(char, "").startswith(_DENSE)


@cache
def _identifier() -> LanguageIdentifier:
    """The classifier, read when it is first asked."""
    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(list(CODES.values()))
    return found
