"""What may stand in the graph section, and what its mistakes are told as."""

import pytest
from pydantic import ValidationError

from tests.bench import TINY
from tracer.errors import HypothesisError
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.graph import KEPT_HEADS, MAX_FEATURES, MAX_HEADS, GraphSpec
from tracer.record.graph.format import Counts
from tracer.record.graph.soundness import too_large


def told(graph, **changes):
    data = TINY | changes | {"graph": graph}
    try:
        from_hypothesis(Hypothesis.model_validate(data))
    except HypothesisError as error:
        return str(error)
    return ""


def expecting(**edge):
    return {"prompts": ["dallas"], "expect": [{"edge": edge}]}


def test_a_section_asks_for_no_more_than_a_graph_may_have():
    sound = {"prompts": ["dallas"], "max_features": MAX_FEATURES}
    assert told(sound) == ""
    with pytest.raises(ValidationError, match="less than or equal to 50000"):
        told(sound | {"max_features": MAX_FEATURES + 1})
    features, others = MAX_FEATURES, MAX_FEATURES - 20
    counts = Counts(features=features, errors=others, tokens=0, logits=10, edges=0)
    assert too_large(counts) is None


@pytest.mark.parametrize(("written", "n"), [(True, KEPT_HEADS), (False, 0), (0, 0), (12, 12)])
def test_heads_are_asked_for_by_number_or_not(written, n):
    section = GraphSpec.model_validate({"prompts": ["dallas"], "heads": written})
    assert section.heads == n
    assert GraphSpec.model_validate(section.model_dump()) == section


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("many", "found 'many'; true or a whole number is expected"),
        (2.5, "found 2.5; true or a whole number is expected"),
        (-1, "greater than or equal to 0"),
        (MAX_HEADS + 1, "less than or equal to 10000"),
    ],
)
def test_no_other_number_of_heads_is_taken(written, sentence):
    with pytest.raises(ValidationError, match=sentence):
        told({"prompts": ["dallas"], "heads": written})


def test_a_sound_section_is_accepted():
    assert told(expecting(**{"from": "texas", "to": "output", "above": 0})) == ""


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        ({"prompts": ["dalas"]}, "no prompt 'dalas'"),
        ({"prompts": ["dallas"], "toward": "answer"}, "`answer` has no meaning on prompt 'dallas'"),
        (expecting(**{"from": "texs", "to": "output", "above": 0}), "no supernode 'texs'"),
        (expecting(**{"from": "texas", "to": "outptu", "above": 0}), "no supernode 'outptu'"),
        (expecting(**{"from": "texas", "to": "output"}), "it tests nothing"),
        (expecting(**{"from": "texas", "to": "output", "above": 2}), "a share, from -1 to 1"),
        (expecting(**{"from": "texas", "to": "output", "above": 0.5, "below": 0.1}), "no edge"),
    ],
)
def test_mistakes_are_told(graph, sentence):
    assert sentence in told(graph)


def carrying(edge=None, **more):
    test = {"edge": edge or {"from": "texas", "to": "output"}, "heads": ["1.2"], "share_above": 0}
    return {"prompts": ["dallas"], "expect": [{"carried": test | more}]}


def reasoning(**more):
    test = {"head": "1.2", "from": "last", "to": "city", "key": "texas", "share_above": 0.1}
    return {"prompts": ["dallas"], "expect": [{"because": test | more}]}


def looking(head="1.2", to="city", **tests):
    asked = {"head": head, "from": "last", "to": to}
    return {"prompts": ["dallas"], "expect": [{"attends": asked, **(tests or {"above": 0.1})}]}


def test_claims_about_heads_are_accepted():
    assert told(carrying()) == "" and told(reasoning()) == ""
    assert told(looking()) == "" and told(looking(beats_controls=0.3)) == ""
    compared = {"share_above": None, "beats_controls": 0.3}
    assert told(carrying(**compared)) == "" and told(reasoning(**compared)) == ""
    found = {"heads": ["1.2"], "at": "last"}
    nodes = TINY["supernodes"] | {"found": found}
    assert told(carrying(heads="found"), supernodes=nodes) == ""
    assert told(reasoning(head="found"), supernodes=nodes) == ""
    wrong = told(reasoning(key="found"), supernodes=nodes)
    assert "the supernode 'found' holds heads" in wrong


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (carrying({"from": "texs", "to": "output"}), "no supernode 'texs'"),
        (carrying({"from": "texas", "to": "outptu"}), "no supernode 'outptu'"),
        (carrying({"from": "texas", "to": "texas"}), "two different supernodes"),
        (carrying(heads=["nine"]), "'nine' is no head"),
        (carrying(heads=["1.2", "1.2"]), "is named twice"),
        (carrying(heads=[]), "the list is empty"),
        (carrying(heads="texas"), "the supernode 'texas' holds features"),
        (carrying(share_above=None), "`share_above` or `share_below` is expected"),
        (carrying(share_above=0.5, share_below=0.1), "no share can be both"),
        (carrying(beats_controls=0.1, undercuts_controls=0.1), "both above its controls"),
        (reasoning(head="nine"), "no supernode of heads 'nine'"),
        (reasoning(to="town"), "no span 'town'"),
        (reasoning(against="town"), "no span 'town'"),
        (reasoning(against="city"), "the difference is 0"),
        (reasoning(key=None), "it names no reason"),
        (reasoning(query="texs"), "no supernode 'texs'"),
        (looking(head="nine"), "no supernode of heads 'nine'"),
        (looking(to="town"), "no span 'town'"),
        (looking(above=1.5), "a weight is a share, from 0 to 1"),
        (looking(above=0.1, below=0.2), "it has 2 tests, 'above', 'below'; one is expected"),
        (looking(rises_by=0.1), "nothing is clamped here, so no weight changes: 'above', 'below'"),
        (looking(above=None), "it tests nothing: one of 'above'"),
    ],
)
def test_mistakes_about_heads_are_told(graph, sentence):
    assert sentence in told(graph)


def test_an_unknown_basis_is_told_with_the_nearest_word():
    sentence = told({"prompts": ["dallas"]}, features="neuron")
    assert "'neuron'" in sentence and "'neurons'" in sentence and "Hugging Face id" in sentence
    assert told({"prompts": ["dallas"]}, features="mwhanna/gemma-scope-transcoders") == ""


def test_supernodes_from_an_address():
    url = (
        "https://www.neuronpedia.org/gemma-2-2b/graph?slug=x&supernodes="
        "%5B%5B%22Texas%22%2C%221_2_3%22%2C%22E_5_2%22%5D%5D"
    )
    node = {"neuronpedia": {"url": url, "group": "Texas"}, "source": ["dallas"]}
    supernodes = TINY["supernodes"] | {"texas": node}
    assert told({"prompts": ["dallas"]}, supernodes=supernodes) == ""
    node = {"neuronpedia": {"url": url, "group": "Ohio"}, "source": ["dallas"]}
    wrong = told({"prompts": ["dallas"]}, supernodes=TINY["supernodes"] | {"texas": node})
    assert "no supernode 'Ohio'" in wrong and "'Texas'" in wrong
