import pytest

from tracer.evidence.measures import rhyme
from tracer.evidence.measures.rhyme import CannotTell, rhymes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("His hunger was like a starving rabbit", "grab it"),
        ("habit", "RABBIT!"),
        ("green", "seen"),
        ("nation", "station"),
        ("there", "their"),
    ],
)
def test_rhymes(first, second):
    assert rhymes(first, second)
    assert rhymes(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("but", "rabbit"),  # its last vowel is not stressed
        ("orange", "door"),
        ("to grab it", "have it"),  # the same word
        ("habit", "hat"),
    ],
)
def test_does_not_rhyme(first, second):
    assert not rhymes(first, second)
    assert not rhymes(second, first)


def test_what_cannot_be_told_is_said():
    with pytest.raises(CannotTell, match="'baloncesto' is not in the pronouncing dictionary"):
        rhymes("el baloncesto", "testo")
    with pytest.raises(CannotTell, match="no word in '42!'"):
        rhymes("cat", "42!")


def test_without_the_dictionary_nothing_is_told(monkeypatch):
    monkeypatch.setattr(rhyme, "PACKAGE", "no-such-package-of-ours")
    rhyme._dictionary.cache_clear()
    with pytest.raises(CannotTell, match=r"install tracer-circuits\[rhymes\]"):
        rhymes("cat", "hat")
