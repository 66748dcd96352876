import pytest

from tracer.evidence.measures.language import language_of


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("English", " the team that won the game last year"),
        ("French", " la saison après le printemps est l'été"),
        ("Spanish", " el contrario de pequeño es grande, no"),
        ("German", " ein großes Haus und das ist gut"),
        ("Portuguese", " não é pequeno, é muito grande"),
        ("Chinese", "的反义词是大"),
        ("Japanese", "日本の首都は東京です"),
        ("Russian", " большой дом стоит на улице города"),
    ],
)
def test_clear_texts_are_told(language, text):
    told = language_of(text)
    assert (told.language, told.reason) == (language, None)


@pytest.mark.parametrize("text", ["", " 12 34", " grand", "大"])
def test_short_texts_are_not(text):
    assert "too short" in language_of(text).reason


def test_names_are_no_language():
    assert "not clear" in language_of(" Sacramento. Michael Jordan").reason
