"""Prompts by concept: read from a table or from sets, divided by a seed, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.concepts import is_enough, of_sets, of_table, split, with_answers
from tracer.hypothesis.shuffles import agreement_p

TEMPLATE = "the capital of {city} is"
ROWS = """city,state,answer
Dallas,Texas, Austin
El Paso,Texas, Austin
Tyler,Texas, Austin
Irving,Texas, Austin
Ávila,California, Sacramento
Fresno,California, Sacramento
Oakland,California, Sacramento
Burbank,California, Sacramento
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(text: str, name: str = "cities.csv") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_concepts_are_the_answers_or_a_column():
    by_answer, by_state = (of_table(TEMPLATE, table(ROWS), by) for by in (None, "state"))
    assert [(c.name, c.label, c.answer) for c in by_answer.concepts] == [
        ("austin", "Austin", " Austin"),
        ("sacramento", "Sacramento", " Sacramento"),
    ]
    assert [c.label for c in by_state.concepts] == ["Texas", "California"]
    assert by_state.concepts[0].prompts == ("dallas", "el_paso", "tyler", "irving")
    # A column that the template does not ask for is no variable of a prompt.
    assert by_state.prompts["avila"] == {"city": "Ávila", "answer": " Sacramento"}


@pytest.mark.parametrize(
    ("text", "by", "told"),
    [
        ("city,answer\nDallas, Austin\n,x\n", None, "cities.csv:3: no value for 'city'"),
        ("city,answer\nDallas, Austin\nDallas, Austin\n", None, "the same values as on line 2"),
        (
            ROWS + "Dallas,California, Sacramento\n",
            "state",
            "cities.csv:10: dallas_2: the same",
        ),
        ("city,answer\nDallas, Austin\nWaco, Austin\n", None, "every prompt has the same answer"),
        (ROWS.replace("Sacramento", "Austin"), "state", "' Austin' is also that of 'Texas'"),
        (
            ROWS + "Waco,Texas, Hanoi\nPlano,Texas, Hanoi\n",
            "state",
            "that of three quarters",
        ),
        ("town,answer\nDallas, Austin\n", None, "no column 'city'"),
        ("city,state\nDallas,Texas\n", None, "no column 'answer'"),
        (ROWS, "states", "no column 'states'. Did you mean 'state'?"),
        ("last,answer\na, x\nb, y\n", None, "the name 'last' of a column is reserved"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(text: str, by: str | None, told: str):
    template = "{last} is" if "last" in text else TEMPLATE
    with pytest.raises(HypothesisError) as caught:
        of_table(template, table(text), by)
    assert told in str(caught.value)


def test_a_template_without_variables_or_with_wrong_braces_is_refused():
    for template, told in (("the capital is", "no {variable}"), ("{a b}", "is no variable")):
        with pytest.raises(UsageError, match=told):
            of_table(template, table(ROWS), None)
    with pytest.raises(HypothesisError, match="no column `text`"):
        of_table(None, table(ROWS), None)


def test_a_few_rows_may_have_another_answer_and_are_no_part_of_the_concept():
    mixed = ROWS + "Waco,Texas, Sacramento\nPlano,Texas, Austin\n"
    texas, _ = of_table(TEMPLATE, table(mixed), "state").concepts
    assert (texas.answer, texas.prompts[-2:]) == (" Austin", ("waco", "plano"))


def test_the_split_is_seeded_and_covers_each_prompt_once():
    rows = "".join(f"Town {n},{'ab'[n % 2]}, {'ab'[n % 2]}\n" for n in range(24))
    concepts = of_table("{city}", table(f"city,state,answer\n{rows}"), "state")
    one, _ = concepts.concepts
    found = [split(one, one.prompts, {}, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    for each in found:
        assert len(each.discovery) == 4 and len(each.held_out) == 8
        assert set(each.discovery) | set(each.held_out) == set(one.prompts)
    sizes = {4: (2, 2), 6: (2, 4), 7: (2, 5), 8: (3, 5), 9: (4, 5), 11: (4, 7)}
    for n, wanted in sizes.items():
        few = split(one, one.prompts[:n], {}, 0)
        assert (len(few.discovery), len(few.held_out)) == wanted and is_enough(few)
    assert not is_enough(split(one, one.prompts[:3], {}, 0))


def test_a_group_is_not_divided():
    rows = "".join(f"Town {n},{'ab'[n % 2]}, {'ab'[n % 2]},g{n // 6}\n" for n in range(24))
    concepts = of_table("{city}", table(f"city,state,answer,group\n{rows}"), "state")
    groups, (one, _) = concepts.groups, concepts.concepts
    for seed in range(10):
        found = split(one, one.prompts, groups, seed)
        assert len(found.discovery) == 6 and len(found.held_out) == 6
        assert not {groups[n] for n in found.discovery} & {groups[n] for n in found.held_out}
    assert not is_enough(split(one, one.prompts, dict.fromkeys(one.prompts, "g"), 0))


def test_shuffled_labels_agree_as_often_as_chance_has_it():
    answers = [*"aaaabbbb"]
    # Of the 70 ways to give out four a and four b one agrees everywhere: p is 1 / 70, estimated.
    assert agreement_p(answers, answers, by_answer=True) == pytest.approx(1 / 70, abs=0.012)
    assert agreement_p(answers, [*"abababab"], by_answer=True) > 0.5
    # Sets that the model answers in two ways, whichever two; only two of the 70 are as clear.
    sets, said = [*"ssssrrrr"], [*"xxxxyyyy"]
    assert agreement_p(sets, said, by_answer=False) == pytest.approx(2 / 70, abs=0.015)
    assert agreement_p(sets, [*"xyxyxyxy"], by_answer=False) == 1.0
    assert agreement_p(sets, ["x"] * 8, by_answer=False) == 1.0


def test_sets_are_files_and_take_the_answer_that_the_model_gives_most():
    good, bad = Path("good news.txt"), Path("bad.jsonl")
    good.write_text("a {b}\nc\n\nd\ng\n", encoding="utf-8")
    bad.write_text("".join(f'{{"text": "{n}"}}\n' for n in "efhi"), encoding="utf-8")
    found = of_sets([good, bad])
    assert [c.name for c in found.concepts] == ["good_news", "bad"]
    assert found.prompts["good_news_1"] == {"text": "a {{b}}"}  # a line has no variables
    said = dict.fromkeys(found.prompts, " glad") | {
        "good_news_3": " x",
        **{f"bad_{n}": " s" for n in range(1, 5)},
    }
    with_them = with_answers(found, said)
    assert [c.answer for c in with_them.concepts] == [" glad", " s"]
    assert with_them.answers["good_news_3"] == " glad"
    with pytest.raises(HypothesisError, match="is also that of"):
        with_answers(found, dict.fromkeys(found.prompts, " glad"))


def test_sets_that_cannot_be_used_are_told():
    one, two = Path("one.txt"), Path("two.txt")
    one.write_text("a\nb\nd\ne\n", encoding="utf-8")
    with pytest.raises(UsageError, match="twice or more"):
        of_sets([one])
    two.write_text("\n", encoding="utf-8")
    with pytest.raises(HypothesisError, match="two.txt: there is no prompt in it"):
        of_sets([one, two])
    two.write_text("a\nc\n", encoding="utf-8")
    with pytest.raises(HypothesisError, match="two_1: the same prompt as one_1"):
        of_sets([one, two])
    Path("three.csv").write_text("text,answer\nx, y\n", encoding="utf-8")
    with pytest.raises(HypothesisError, match="one_1: no answer, where other prompts have one"):
        of_sets([one, Path("three.csv")])
