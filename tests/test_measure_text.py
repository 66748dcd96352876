"""What is expected of generated text, judged from the record alone."""

import pytest

from tests.judging import SWAP, expecting, only
from tests.records import change, make_record
from tracer.evidence.judge import judge_run
from tracer.evidence.measures.text import first_line, says
from tracer.record.trials import Generated, GeneratedText


def text(words, *, stopped=False):
    return GeneratedText(text=words, token_ids=tuple(map(ord, words)), stopped=stopped)


def written(expectation, *clamped, clean=" Austin, Texas", stopped=False, **generate):
    """The one outcome of an intervention whose texts on dallas are these."""
    keys = expecting(expectation)
    keys["interventions"][SWAP]["generate"] = {"tokens": 8, **generate}
    record, arrays = make_record(hypothesis=keys)
    texts = Generated(
        clamped=tuple(text(one, stopped=stopped) for one in clamped),
        clean=tuple(text(clean) for _ in clamped),
    )
    record = change(record, f"interventions.{SWAP}.trials.dallas.generated", texts)
    return only(judge_run(record, arrays))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (" Sacramento", True),
        ("sacramento", True),
        ("Sacra", False),
        ("in Sacramento", True),
        ("cramento", False),
        ("Los Angeles", False),
        ("大", True),
    ],
)
def test_words_are_found_between_their_borders(words, found):
    assert says("It is in\nSACRAMENTO, 很大的", words) == found


def test_says_and_says_not():
    held = written({"says": " Sacramento"}, " Sacramento, which is")
    assert held.outcome == "held"
    assert held.expectation == "generated text"
    assert held.observed == "' Sacramento, which is' (unclamped: ' Austin, Texas')"
    assert written({"says": "Sacramento"}, " Sacramentos").outcome == "failed"
    assert written({"says_not": "{answer}"}, " Austin").outcome == "failed"
    assert written({"says_not": "{answer}"}, " Dallas").outcome == "held"


def test_what_was_said_unclamped_too_is_told():
    assert "(unclamped too: " in written({"says": "Austin"}, " austin").observed


def test_enough_samples_must_hold():
    samples = (" Sacramento", " Sacramento", " Dallas")
    most = {"says": "Sacramento", "of_samples": 0.6}
    how = {"samples": 3, "temperature": 1}
    held = written(most, *samples, **how)
    assert (held.outcome, held.observed) == ("held", "2 of 3 samples (0 unclamped)")
    assert held.prompts[0].value == pytest.approx(2 / 3)
    assert written({"says": "Sacramento"}, *samples, **how).outcome == "failed"


def test_a_language_that_is_not_clear_is_untested():
    french = " la saison après le printemps est l'été"
    assert written({"language": "French"}, french).outcome == "held"
    assert written({"language": "English"}, french).outcome == "failed"
    unclear = written({"language": "French"}, " Paris")
    assert unclear.outcome == "untested"
    assert "too short" in unclear.reason


def test_untested_samples_count_for_neither_side():
    french = " la saison après le printemps est l'été"
    how = {"samples": 2, "temperature": 1}
    half = {"language": "French", "of_samples": 0.5}
    assert written(half, french, " oh", **how).outcome == "held"
    assert written({"language": "French"}, french, " oh", **how).outcome == "untested"
    english = " the team that won the game last year"
    assert written({"language": "French"}, english, " oh", **how).outcome == "failed"


def test_the_first_line_rhymes():
    assert written({"rhymes_with": "grab it"}, "\nlike a rabbit\nand").outcome == "held"
    assert written({"rhymes_with": "grab it"}, " like a carrot.").outcome == "failed"
    cut = written({"rhymes_with": "grab it"}, " like a rabbit")
    assert cut.outcome == "untested"
    assert "did not end" in cut.reason
    assert written({"rhymes_with": "grab it"}, " like a rabbit", stopped=True).outcome == "held"


def test_a_line_ends_with_a_break_a_mark_or_the_text():
    assert first_line(text(" \n\n one two\nthree")) == "one two"
    assert first_line(text(" one two")) is None
    assert first_line(text(" one two?")) == "one two?"
    assert first_line(text(" one two", stopped=True)) == "one two"


def test_without_text_nothing_is_judged():
    keys = expecting({"says": "Sacramento"})
    keys["interventions"][SWAP]["generate"] = {"tokens": 8}
    outcome = only(judge_run(*make_record(hypothesis=keys)))
    assert (outcome.outcome, outcome.reason) == ("untested", "no text was generated")
