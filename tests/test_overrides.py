from __future__ import annotations

from pathlib import Path

import pytest
from declared import GOOD, mistakes

from tracer.hypothesis.clamps import ClampSpec
from tracer.hypothesis.load import read
from tracer.hypothesis.overrides import apply_overrides, parse_override
from tracer.hypothesis.spec import Hypothesis


def loaded(folder: Path, *overrides: str) -> Hypothesis:
    path = folder / "good.yaml"
    path.write_text(GOOD)
    file = read(str(path), overrides)
    assert file.overrides == overrides
    assert file.text == GOOD
    return file.hypothesis


def test_values_are_yaml_and_absent_sections_are_made(tmp_path: Path):
    hypothesis = loaded(
        tmp_path,
        "controls.random=19",
        "interventions.swap.clamp.texas=-1",
        'interventions.swap.expect.0.top=" Austin"',
        "interventions.swap.doses.factors[1]=1.5",
        "tags=[a, b]",
        "prompts.dallas.city=Houston",
    )
    swap = hypothesis.interventions["swap"]
    assert hypothesis.controls.random == 19
    assert swap.clamp["texas"] == -1
    assert swap.expect[0].model_dump(exclude_defaults=True) == {"top": " Austin"}
    assert swap.doses is not None and swap.doses.factors == (0, 1.5, 2)
    assert hypothesis.tags == ("a", "b")
    assert hypothesis.prompts["dallas"].variables == {"city": "Houston"}


def test_a_short_form_is_opened_by_a_key_of_its_long_form(tmp_path: Path):
    hypothesis = loaded(
        tmp_path,
        "model=me/x",
        "model.dtype=bfloat16",
        "interventions.swap.clamp.california.from=[here]",
    )
    assert (hypothesis.model_spec.name, hypothesis.model_spec.dtype) == ("me/x", "bfloat16")
    clamp = hypothesis.interventions["swap"].clamp["california"]
    assert clamp == ClampSpec.model_validate({"times": 1, "from": ("here",)})


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("controls", "--set controls: write path=value"),
        ("=3", "--set =3: write path=value"),
        ("a..b=3", "write path=value"),
        ("controlls.random=1", "the file has no key 'controlls'. Did you mean 'controls'?"),
        (
            "controls.randm=1",
            "'controls' has no key 'randm'. Did you mean 'random'? "
            "Known: 'random', 'matched', 'donors', 'answers', 'rivals'.",
        ),
        ("supernodes.texs.label=x", "'supernodes' has no key 'texs'. Did you mean 'texas'?"),
        ("prompts.dallas.cty=x", "'prompts.dallas' has no key 'cty'. Did you mean 'city'?"),
        ("interventions.swap.expect.7.top=x", "is a list of 2; an index from 0 to 1 is expected"),
        ("interventions.swap.expect.x=1", "is a list of 2; an index from 0 to 1"),
        ("claim.x=1", "'claim' is 'The capital goes through the state.', nothing is in it"),
        ("claim=[1", "--set claim=[1: the value is not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_applied_is_a_sentence(
    tmp_path: Path, override: str, sentence: str
):
    [mistake] = mistakes(tmp_path, GOOD, override)
    assert mistake.line is None
    assert sentence in mistake.message


def test_a_mistake_caused_by_an_override_names_it_and_no_line(tmp_path: Path):
    found = mistakes(tmp_path, GOOD, "controls.random=-1", "interventions.swap.prompts=[dalas]")
    assert {(m.line, m.where) for m in found} == {
        (None, "controls.random"),
        (None, "interventions.swap.prompts[0]"),
        (7, "prompts.plano"),
    }
    assert found[0].message == "found -1; 0 or more is expected. (from --set controls.random=-1)"


def test_values_are_told_as_they_are_spelled_in_the_file_and_in_overrides(tmp_path: Path):
    text = GOOD.replace("{city: Dallas,", "{city: 02134,").replace("{city: Oakland,", "{city: 1e3,")
    found = mistakes(tmp_path, text, "prompts.oakland.city=007", "claim=null", "seed=1")
    assert [m.message.partition(" (from")[0] for m in found] == [
        "found null; text is expected: put it in quotes, 'null'.",
        "found 007; text is expected: put it in quotes, '007'.",
        "found 02134; text is expected: put it in quotes, '02134'.",
    ]


def test_later_overrides_see_earlier_ones():
    data = {"controls": None}
    assert not apply_overrides(data, ["controls.random=1", "controls.random=2"])
    assert data == {"controls": {"random": 2}}
    assert parse_override("a[0].b=x").path == ("a", 0, "b")


def test_an_override_inside_a_model_the_file_leaves_out_keeps_the_default(tmp_path: Path):
    path = tmp_path / "default.yaml"
    path.write_text("".join(li for li in GOOD.splitlines(True) if not li.startswith("model:")))
    spec = read(str(path), ["model.device=cpu"]).hypothesis.model_spec
    assert (spec.name, spec.device) == ("gemma-3-270m", "cpu")
