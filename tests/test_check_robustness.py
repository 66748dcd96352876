"""Mistakes in `robustness`: variations that do not exist, do not fit, or vary nothing."""

import pytest

from tests.declared import DOSES, TOP, accepted, assert_mistake, changed, mistakes

SEEDED = (
    TOP,
    f'{TOP}\n      - {{logit_diff: [" Sacramento", "{{answer}}"], beats_controls: 0.05}}',
)


def with_section(section: str, *changes: tuple[str, str]) -> str:
    return changed(*changes) + f"robustness: {section}\n"


def test_every_kind_is_accepted(tmp_path):
    templates = '{short: "{city} lies in a state with the capital", long: "Where is {city}? In"}'
    section = f"{{templates: {templates}, seeds: [1, 2], sizes: [10, 80], expect: [{{same: 0.8}}]}}"
    accepted(tmp_path, with_section(section, SEEDED))
    section = "{sizes: [10], of: [texas], interventions: [swap]}"
    accepted(tmp_path, with_section(section))


@pytest.mark.parametrize(
    ("section", "where", "sentence"),
    [
        ("{expect: [{same: 0.8}]}", "", "it varies nothing: give it one of 'templates', 'seeds'"),
        ("{templates: {a: 'the same'}}", ".templates.a", "it lacks '{city}', which the template"),
        (
            "{templates: {a: '{city} {town}'}}",
            ".templates.a",
            "it breaks prompts.dallas (and 2 more): ",
        ),
        ("{templates: {a: '{city'}}", ".templates.a", "{"),
        ("{templates: {a: ' '}}", ".templates.a", "the text is empty"),
        (
            "{templates: {a: 'The capital of the state containing {city} is'}}",
            ".templates.a",
            "it is the same text as the template of the file",
        ),
        ("{templates: {a: '{city} is', b: '{city} is'}}", ".templates.b", "the same text as 'a'"),
        ("{seeds: [1]}", ".seeds", "so every seed gives the same"),
        ("{sizes: [10, 10]}", ".sizes[1]", "10 is given twice"),
        ("{sizes: [10], of: [texs]}", ".of[0]", "no supernode 'texs'"),
        ("{of: [texas], sizes: []}", ".of", "nothing uses it: it is for `sizes`"),
        ("{leave_one_out: true}", ".leave_one_out", "so none can be left out"),
        (
            "{sizes: [10], interventions: [swop]}",
            ".interventions[0]",
            "no intervention 'swop'",
        ),
    ],
)
def test_mistakes_are_told_where_they_are(tmp_path, section, where, sentence):
    assert_mistake(tmp_path, with_section(section), f"robustness{where}", sentence)


def test_sizes_need_a_rule_with_top(tmp_path):
    rule = "select: {on: [dallas], against: [oakland], at: city, top: 40}"
    other = "select: {on: [oakland], against: [dallas], at: city, top: 40}"
    text = with_section("{sizes: [10]}", (rule, "features: ['1_2']"), (other, "features: ['1_3']"))
    assert_mistake(tmp_path, text, "robustness.sizes", "no supernode has a rule with `top`")


def test_a_seed_is_told_apart_where_something_is_drawn(tmp_path):
    accepted(tmp_path, with_section("{seeds: [1]}", SEEDED))
    factors = (DOSES, DOSES.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5, 6, 7, 8]"))
    accepted(tmp_path, with_section("{seeds: [1]}", factors))


def test_no_paraphrase_without_a_template(tmp_path):
    found = mistakes(
        tmp_path,
        with_section("{templates: {a: 'x'}}").replace(
            'template: "The capital of the state containing {city} is"\n', ""
        ),
    )
    sentences = [m.message for m in found if m.where == "robustness.templates"]
    assert sentences == ["the file has no `template` that a paraphrase could replace"]


def test_the_name_is_taken(tmp_path):
    text = with_section("{sizes: [10]}").replace("  swap:", "  robustness:")
    assert_mistake(tmp_path, text, "interventions.robustness", "stands for the variations")
