"""What may stand in the circuit section, and what its mistakes are told as."""

import pytest

from tests.bench import TINY
from tracer.errors import HypothesisError
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis

SOUND = {
    "supernodes": ["texas"],
    "prompts": ["dallas", "plano"],
    "reference": ["oakland"],
    "metric": {"logit_diff": [" Austin", " Sacramento"]},
    "within": {"at": "city", "layers": [0, 1]},
    "expect": [
        {"faithfulness": {"above": 0.3}, "mostly": 0.5},
        {"completeness": {"below": 0.5}},
        {"sufficient": 0.05},
        {"partially_necessary": 0.05, "share": 0.8},
        {"minimal": 0.05},
    ],
}


def told(name="states", **changes):
    circuit = {key: value for key, value in (SOUND | changes).items() if value is not None}
    try:
        from_hypothesis(Hypothesis.model_validate(TINY | {"circuit": {name: circuit}}))
    except HypothesisError as error:
        return str(error)
    return ""


def expecting(*expectations, **changes):
    return told(expect=list(expectations), **changes)


def test_a_sound_section_is_accepted_and_counts_as_use():
    assert told() == ""
    supernodes = TINY["supernodes"] | {"more": TINY["supernodes"]["texas"]}
    circuit = {"states": SOUND | {"supernodes": ["more"]}}
    from_hypothesis(
        Hypothesis.model_validate(TINY | {"supernodes": supernodes, "circuit": circuit})
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"supernodes": ["texs"]}, "circuit.states.supernodes[0]: no supernode 'texs'"),
        ({"supernodes": ["texas", "texas"]}, "named twice"),
        ({"prompts": ["dalas"]}, "no prompt 'dalas'"),
        ({"reference": ["plano"]}, "held out, so it may not be a reference"),
        ({"prompts": ["oakland"]}, "'oakland' alone is its own mean"),
        ({"metric": None}, "`metric: answer` has no meaning on prompts 'dallas', 'plano'"),
        ({"metric": {"token": "{city"}}, "circuit.states.metric"),
        ({"within": {"at": "town"}}, "no span 'town'"),
        ({"within": {"layers": [3, 1]}}, "the first and the last layer"),
        ({"name": "swap"}, "'swap' is taken"),
        ({"name": "graph"}, "'graph' stands for the attribution graph"),
    ],
)
def test_mistakes_are_told(changes, sentence):
    assert sentence in told(**changes)


@pytest.mark.parametrize(
    ("expectation", "changes", "sentence"),
    [
        ({"faithfulness": {}}, {}, "`above` or `below`"),
        ({"completeness": {"above": 0.5, "below": 0.1}}, {}, "no score can be both"),
        ({"sufficient": 0.05}, {"random": 28}, "`random: 29` is the least"),
        ({"partially_necessary": 0.01}, {"random": 40}, "`random: 44` is the least"),
        ({"minimal": 0.05}, {"random": 0}, "`random` is 0"),
        ({"minimal": 0.05}, {"groups": 0}, "`groups` is 0"),
        ({"equivalent": 0.05}, {}, "it needs 76 prompts of each split"),
        ({"equivalent": 0.05, "margin": 0.2}, {}, "`prompts` has 1 held-out ones"),
        ({"independent": 0.05}, {}, "it needs 20 prompts of each split"),
    ],
)
def test_what_nobody_could_pass_is_told(expectation, changes, sentence):
    assert sentence in expecting(expectation, **changes)


def test_an_expectation_is_one_of_the_known_ones():
    with pytest.raises(ValueError, match="a circuit's expectation needs one of: faithfulness"):
        Hypothesis.model_validate(TINY | {"circuit": {"it": SOUND | {"expect": [{"top": " x"}]}}})
