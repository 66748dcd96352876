from __future__ import annotations

from pathlib import Path

import pytest
from declared import GOOD, changed, mistakes

from tracer.errors import HypothesisError, Mistake
from tracer.hypothesis.load import FROM_PYTHON, MOST_TOLD, check, dump, from_hypothesis, read
from tracer.hypothesis.partial import validated
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import parse


def test_a_good_file_is_read_with_its_text_and_places(tmp_path: Path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    file = read(str(path))
    assert file.text == GOOD
    assert file.hypothesis.prompts["dallas"].variables == {"city": "Dallas"}
    assert file.mistake(("prompts", "dallas", "answer"), "m") == Mistake(
        5, 26, "prompts.dallas.answer", "m"
    )
    assert file.mistake(("prompts", "dallas", "spans", "x"), "m").line == 5
    assert file.mistake((), "m") == Mistake(None, None, "", "m")


def test_free_text_is_left_alone(tmp_path: Path):
    claim = '<script>alert("{{ 7*7 }}")</script> {% raw %} עברית 🐄'
    path = tmp_path / "good.yaml"
    path.write_text(changed(("The capital goes through the state.", f"'{claim}'")), "utf-8")
    assert read(str(path)).hypothesis.claim == claim


def test_a_hypothesis_made_in_python_is_checked_the_same_and_its_text_reads_back():
    hypothesis = validated(Hypothesis, parse(GOOD).data)
    file = from_hypothesis(hypothesis)
    assert (file.path, file.overrides) == (FROM_PYTHON, ())
    assert file.text == dump(hypothesis)
    assert validated(Hypothesis, parse(file.text).data) == hypothesis
    assert "{on: " not in file.text and "'on'" not in file.text
    broken = hypothesis.model_copy(update={"supernodes": {}})
    with pytest.raises(HypothesisError, match=r"interventions\.swap\.clamp\.texas: no supernode"):
        from_hypothesis(broken)


def test_every_kind_of_mistake_is_told_at_once_in_the_order_of_lines(tmp_path: Path):
    text = changed(
        ("claim:", "clam:"),
        ('answer: " Austin"}', 'anwser: " Austin"}'),
        ("on: [dallas]", "on: [dalas]"),
        ("texas: 0", "texs: 0"),
        ("above: 1.0", "above: x"),
    )
    found = mistakes(tmp_path, text + "hypothesis: again\n")
    assert [(m.line, m.where) for m in found] == [
        (1, "hypothesis"),
        (2, "clam"),
        (5, "prompts.dallas.anwser"),
        (10, "supernodes.texas.select.on[0]"),
        (16, "interventions.swap.clamp.texs"),
        (19, "interventions.swap.expect[1].above"),
    ]


def test_bad_yaml_names_the_file_line_and_column(tmp_path: Path):
    [mistake] = mistakes(tmp_path, "hypothesis: x\n\tclaim: y\n")
    assert mistake.line == 2
    assert "a tab cannot indent" in mistake.message


def test_of_very_many_mistakes_the_first_are_told_and_it_takes_no_minute():
    names = [f"p_{n}" for n in range(1_000)]
    lines = [f"  {name}: {{text: x, answer: ' y'}}" for name in names]
    wrong = ", ".join(f"q_{n}" for n in range(5_000))
    text = "\n".join(
        ["hypothesis: x", "claim: y", "prompts:", *lines]
        + ["supernodes: {s: {features: ['0_1']}}", "interventions:"]
        + [f"  i: {{prompts: [{wrong}], clamp: {{s: 0}}, expect: [{{top: ' z'}}]}}"]
    )
    with pytest.raises(HypothesisError) as caught:
        check("many.yaml", text)
    found = caught.value.mistakes
    assert len(found) == MOST_TOLD + 1
    assert found[0].message.startswith("more than 200 mistakes: here are the first")
    assert found[1].message.startswith("no prompt 'q_0'. Known: 'p_0', ")


def test_a_mistake_in_a_very_long_text_is_a_short_sentence():
    head = "hypothesis: x\nclaim: y\nprompts: {a: {text: b, spans: {z: '"
    with pytest.raises(HypothesisError, match="does not occur in") as caught:
        check("long.yaml", head + "c" * 500_000 + "'}}}")
    assert len(str(caught.value)) < 5_000
