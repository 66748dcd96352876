"""A word for features is refused before any model is loaded, wherever it is said."""

from __future__ import annotations

import pytest

from tests.bench import TINY
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.names import misnamed, require_possible
from tracer.hypothesis.spec import Hypothesis


@pytest.mark.parametrize(
    "name", ["neurons", "clt-gemma-2-2b-426k", "owner/name", "owner/name/a@main", "./x", "~/x"]
)
def test_known_names_addresses_and_folders_may_be_features(name: str):
    assert misnamed(name) is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("neuron", r"unknown features 'neuron'\. Did you mean 'neurons'\? Known names: neurons, "),
        ("CLT-gemma-2-2b-426k", r"Did you mean 'clt-gemma-2-2b-426k'\?"),
        ("", "unknown features ''. Known names"),
        ("a\0b", "unknown features"),
        ("x" * 10**6, "^.{0,2000}$"),
    ],
)
def test_another_word_is_told_with_the_nearest_and_all_known(name: str, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        require_possible(name)


def test_a_hypothesis_is_told_the_same():
    with pytest.raises(HypothesisError) as told:
        from_hypothesis(Hypothesis.model_validate(TINY | {"features": "neuron"}))
    assert f"features: {misnamed('neuron')}" in str(told.value)
