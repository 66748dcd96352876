import pytest

from tests.declared import accepted, assert_mistake, mistakes

GOOD = """\
hypothesis: small_big
claim: Translations share features.
prompts:
  en_small: {text: "the small house"}
  fr_small: {text: "la petite maison"}
  en_hot: {text: "the hot day"}
  fr_hot: {text: "le jour chaud"}
  en_old: {text: "the old man", held_out: true}
  fr_old: {text: "le vieil homme", held_out: true}
  en_new: {text: "the new car", held_out: true}
  fr_new: {text: "la voiture neuve", held_out: true}
shared:
  opposites:
    translations: [[en_small, fr_small], [en_hot, fr_hot], [en_old, fr_old], [en_new, fr_new]]
    expect:
      - {overlap: [0, 1], exceeds_unrelated: 0.05}
      - {overlap: [1, 1], above: 0.2}
"""


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_a_file_may_be_about_shared_representation_alone(tmp_path):
    accepted(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "where", "sentence"),
    [
        ("[en_hot, fr_hot]", "[en_hot, fr_hat]", "translations[1][1]", "Did you mean 'fr_hot'"),
        ("fr_small], [en_hot, fr_hot]", "fr_small, en_hot]", "translations[1]", "first list has 3"),
        ("[en_small, fr_small]", "[en_small]", "translations[0]", "two languages or more"),
        ("[en_hot, fr_hot]", "[en_hot, fr_small]", "translations[1]", "in an earlier list"),
        ("[en_hot, fr_hot], [en_old", "[en_hot, fr_old], [en_old", "translations[1]", "held out"),
        ("[0, 1]", "[3, 1]", "expect[0].overlap", "found [3, 1]"),
        (", above: 0.2", "", "expect[1]", "it has no test"),
        ("above: 0.2", "above: 0.2, exceeds_unrelated: 0.1", "expect[1]", "both"),
        ("    expect:", "    at: city\n    expect:", "at", "city"),
    ],
)
def test_mistakes_have_their_lines(tmp_path, old, new, where, sentence):
    text = changed(old, new)
    assert_mistake(tmp_path, text, f"shared.opposites.{where}", sentence)


def test_a_file_expects_something(tmp_path):
    text = GOOD[: GOOD.index("shared:")]
    assert any("claims nothing that can be tested" in m.message for m in mistakes(tmp_path, text))
