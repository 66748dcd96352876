from __future__ import annotations

from pathlib import Path

import pytest
from declared import GOOD, changed, mistakes

from tracer.errors import HypothesisError, Mistake
from tracer.hypothesis.load import FROM_PYTHON, dump, from_hypothesis, read
from tracer.hypothesis.parts import validated
from tracer.hypothesis.source import parse
from tracer.hypothesis.spec import Hypothesis


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
