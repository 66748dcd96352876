import pytest

from tests.declared import DIFF, SWAP, TOP, accepted, assert_mistake, changed

GENERATE = "\n    generate: {tokens: 8"


def with_text(*, expect='{says: " Sacramento"}', more="", clamp=SWAP):
    return changed((SWAP, clamp + GENERATE + more + "}"), (TOP, f"      - {expect}"))


@pytest.mark.parametrize(
    "expect",
    [
        '{says: "{answer} in {city}"}',
        "{says_not: Austin, mostly: 0.5}",
        "{language: French}",
        '{rhymes_with: "grab it"}',
    ],
)
def test_text_can_be_expected(tmp_path, expect):
    accepted(tmp_path, with_text(expect=expect))


def test_samples_have_settings(tmp_path):
    sampled = "{says: Austin, of_samples: 0.8}"
    accepted(tmp_path, with_text(expect=sampled, more=", temperature: 0.7, samples: 5, seed: 3"))
    where = "interventions.swap.generate.samples"
    assert_mistake(tmp_path, with_text(more=", samples: 5"), where, "every sample is the same")
    where = "interventions.swap.expect[0].of_samples"
    assert_mistake(tmp_path, with_text(expect=sampled), where, "there is one sample")


def test_a_clamp_may_go_on(tmp_path):
    clamp = "    clamp: {texas: {times: 0, onward: true}, california: 1}"
    accepted(tmp_path, with_text(clamp=clamp))


def test_text_needs_to_be_generated(tmp_path):
    text = changed((TOP, "      - {says: Austin}"))
    where = "interventions.swap.expect[0].says"
    assert_mistake(tmp_path, text, where, "no text is generated")


def test_direct_effects_write_nothing(tmp_path):
    text = with_text(clamp=SWAP + "\n    freeze: all")
    assert_mistake(tmp_path, text, "interventions.swap.freeze", "no text can be generated")


def test_words_have_letters_and_languages_names(tmp_path):
    where = "interventions.swap.expect[0]"
    assert_mistake(tmp_path, with_text(expect='{says: " "}'), f"{where}.says", "a word or more")
    unknown = with_text(expect="{language: Frensh}")
    assert_mistake(tmp_path, unknown, f"{where}.language", "Did you mean 'French'")
    missing = with_text(expect='{says: "{state}"}')
    assert_mistake(tmp_path, missing, f"{where}.says", "state")
    assert DIFF in missing
