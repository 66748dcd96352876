"""Other tools' settings as a hypothesis says them."""

import json

import pytest
from command import call

from tracer.cli.convert import fragment, read_settings
from tracer.errors import UsageError
from tracer.hypothesis.load import read
from tracer.hypothesis.yaml_text import parse

HEAD = 'hypothesis: h\nclaim: "c"\n'
EXPECT = "    expect: [{top: ' x'}]\n"


def made(folder, data):
    path = folder / "in.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return fragment(read_settings(path), "p")


def declared(folder, found):
    """The fragment as a whole hypothesis, read back: it is valid but for what it must do."""
    text = found.yaml()
    prompts = "" if "p" in found.prompts else "prompts: {p: {text: some text}}\n"
    if found.prompts and prompts:
        text = text.replace("prompts:\n", "prompts:\n  p:\n    text: some text\n", 1)
        prompts = ""
    file = folder / "h.yaml"
    file.write_text(HEAD + prompts + text + EXPECT)
    return read(str(file)).hypothesis


def test_values_are_set_as_they_are_and_the_last_wins(tmp_path):
    rows = [[20, 6, 1454, 0], [20, 6, 341, 272.0], [3, -1, 5, 272], [3, -2, 5, 1], [20, 6, 1454, 1]]
    found = made(tmp_path, rows)
    hypothesis = declared(tmp_path, found)
    assert {n: s.features for n, s in hypothesis.supernodes.items()} == {
        "set_to_1": ("20_1454_6",),
        "set_to_272": ("20_341_6", "3_5"),
    }
    spec = hypothesis.interventions["imported"]
    amounts = {name: clamp.amount for name, clamp in spec.clamp.items()}
    assert amounts == {"set_to_1": ("to", 1.0), "set_to_272": ("to", 272.0)}
    assert spec.freeze == "attention"
    notes = "\n".join(found.notes)
    assert "given twice: the later value stands" in notes
    assert "left out: feature 3_5 at position -2" in notes
    assert "freezes attention unless told otherwise" in notes


def test_a_scaling_factor_multiplies_the_prompts_own_activation_or_its_sources(tmp_path):
    found = made(
        tmp_path,
        {
            "interventions": [
                {"supernode": "Texas", "features": ["20_15589_9", [19, 9, 7477]],
                 "scaling_factor": -2},
                {"supernode": "Say {x}", "features": [[1, 2, 3]], "scaling_factor": 2,
                 "prompt": "the {state} of Oakland"},
            ],
            "freeze_attention": False,
        },
    )  # fmt: skip
    hypothesis = declared(tmp_path, found)
    spec = hypothesis.interventions["imported"]
    assert hypothesis.supernodes["Texas"].features == ("20_15589_9", "19_7477_9")
    assert spec.clamp["Texas"].amount == ("times", -2.0)
    assert spec.clamp["Texas"].from_ == ("here",)
    assert spec.clamp["Say_x"] == 2.0
    [source] = hypothesis.supernodes["Say_x"].source
    assert hypothesis.prompts[source].text == "the {{state}} of Oakland"
    assert spec.freeze == "none"


def test_neuronpedia_adds_multiples_of_the_maximum(tmp_path):
    found = made(
        tmp_path,
        {
            "prompt": "some text",
            "features": [
                {"layer": "20-gemmascope-transcoder-16k", "index": 15589, "strength": -2,
                 "maxActApprox": 35.2, "position": 9},
                {"layer": 3, "index": 4, "strength": 1.5, "steer_generated_tokens": True},
                {"layer": 3, "index": 5, "ablate": True, "position": 2},
                {"layer": 3, "index": 6, "delta": 12.5, "position": 2, "colour": "red"},
            ],
            "temperature": 1,
        },
    )  # fmt: skip
    hypothesis = declared(tmp_path, found)
    spec = hypothesis.interventions["imported"]
    adds = hypothesis.supernodes["add_-2"]
    assert (adds.features, adds.maxima) == (("20_15589_9",), {"20_15589": 35.2})
    assert spec.clamp["add_-2"].amount == ("add", -2.0)
    assert spec.clamp["times_0"] == 0
    assert hypothesis.supernodes["add_12_5"].maxima == {"3_6": 1.0}
    notes = "\n".join(found.notes)
    for told in ("'temperature' has no counterpart", "'colour' has no", "3_4 has no maximum",
                 "server's own API does not", "its delta is in activations"):  # fmt: skip
        assert told in notes


def test_labels_and_notes_stay_text(tmp_path):
    found = made(
        tmp_path,
        [{"supernode": "a: b\n# c", "features": [[1, 2, 3]], "scaling_factor": 1, "x\ny: z": 1}],
    )
    text = found.yaml()
    assert list(parse(text).data["supernodes"]) == ["a_b_c"]
    assert all(line.startswith("#") for line in text.splitlines()[:3])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{", "cut short, or no JSON"),
        ("3", "a list or a mapping is expected"),
        ("{}", "it has nothing"),
        ("[]", "at least 1"),
        ('{"features": [], "interventions": []}', "it has 'features', 'interventions'"),
        ("[[1, 2, 3]]", "in.json: interventions[0][3]: field required."),
        ('[{"layer": 1}]', "in.json: interventions[0].supernode: field required; "),
        ("[[1, 2, 3, NaN]]", "cut short, or no JSON"),
        ("[[99999, 2, 3, 1]]", "less than"),
        ('{"features": [{"layer": 1}]}', "in.json: features[0].index: field required."),
        ('{"features": [{"layer": 1, "index": 2, "strength": 1, "max": 0}]}', "greater than 0"),
        ("[" * 10_000, "cut short, or no JSON"),
    ],
)
def test_what_is_neither_is_a_sentence(tmp_path, data, sentence):
    with pytest.raises(UsageError) as caught:
        made(tmp_path, data)
    assert sentence in str(caught.value)
    assert not any(word in str(caught.value) for word in ("pydantic", "function-", "list of ["))


def test_from_the_shell(tmp_path, capfd):
    file = tmp_path / "in.json"
    file.write_text("[[1, 2, 3, 4.5]]")
    done = call(capfd, "convert", str(file), "--prompt", "dallas")
    assert done.code == 0
    assert "prompts: [dallas]" in done.out or "- dallas" in done.out
    assert "to: 4.5" in done.out
    assert "freezes attention" in done.err
    bad = call(capfd, "convert", str(file), "--prompt", "a b")
    assert (bad.code, "a name is letters" in bad.err) == (4, True)
