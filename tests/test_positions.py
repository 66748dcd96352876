"""Positions of ids and addresses against the tokens of the prompts they are used on."""

from __future__ import annotations

import pytest
from declared import TEXAS, changed
from test_neuronpedia import url
from test_tokens import declared, sentences, small_tokenizer

from tests.bench import TINY
from tracer.engine.progress import Silent
from tracer.engine.resolve import address_notes, open_context
from tracer.errors import HypothesisError
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.neuronpedia import foreign, read_url
from tracer.hypothesis.positions import position_mistakes, position_notes, shift_of
from tracer.hypothesis.spec import Hypothesis, SupernodeSpec
from tracer.hypothesis.tokens import tokenize

IDS = [0, 11, 12, 13]
"""A prompt of four tokens."""


def address(*ids: str, pinned: str = "", page: str = "https://x.org/tiny/graph") -> str:
    return url([["g", *ids]], page, pinnedIds=pinned)


def test_a_position_that_a_prompt_does_not_have_is_a_mistake_at_its_line():
    text = changed((TEXAS, '    features: ["0_6", "0_6_40", "0_7_2"]\n    source: [dallas]'))
    [found] = sentences(text, small_tokenizer())
    assert found == (
        "h.yaml:10:23: supernodes.texas.features[1]: '0_6_40' is at position 40, but prompt "
        "'dallas' has 36 tokens, counted from 0"
    )


def test_the_last_position_is_one():
    n = len(tokenize(declared(changed()), small_tokenizer(), 1000)["plano"].ids)
    for pos, is_there in ((n - 1, True), (n, False)):
        text = changed((TEXAS, f'    features: ["0_6_{pos}"]\n    source: [plano]'))
        text = text.replace("prompts: [dallas, plano]", "prompts: [plano]")
        file = declared(text)
        ids = {"plano": range(n)}
        assert (list(position_mistakes(file, ids)) == []) is is_there


@pytest.mark.parametrize(
    ("pinned", "shift"),
    [
        ("", 0),
        ("E_11_1,E_13_3", 0),
        ("E_11_2,E_13_4", 1),
        ("E_11_0", -1),
        ("E_99_1", None),
        ("E_11_1,E_13_2", None),
        ("4_7_3", 0),
        ("4_7_4", 1),
        ("4_7_9", None),
        ("3_7_9", 0),
    ],
)
def test_tokens_and_logits_tell_how_an_address_counts(pinned: str, shift: int | None):
    link = read_url(address("0_1_1", pinned=pinned))
    assert shift_of(link, IDS, n_layers=3) == shift


def of_address(link: str, **prompts: object) -> Hypothesis:
    node = {"neuronpedia": {"url": link, "group": "g"}, "source": ["dallas"]}
    nodes = {"texas": node, "california": TINY["supernodes"]["california"]}
    return Hypothesis.model_validate(TINY | {"supernodes": nodes} | prompts)


def opened(bench, link: str):
    file = from_hypothesis(of_address(link))
    prompts = tokenize(file, bench.model.tokenizer, bench.model.context)
    return open_context(file, bench.model, bench.basis, prompts, None, Silent())


def test_an_address_that_counts_one_token_more_is_a_mistake(bench):
    ids = bench.clean["dallas"].prompt.ids
    with pytest.raises(HypothesisError) as caught:
        opened(bench, address("0_1_1", pinned=f"E_{ids[2]}_3"))
    assert "neuronpedia.url: the address counts other tokens than the model" in str(caught.value)
    assert f"'E_{ids[2]}_3' stands at position 2, so every position is off by +1" in str(
        caught.value
    )


def test_logits_one_place_beyond_the_prompt_are_a_mistake_too(bench):
    n, last = bench.basis.n_layers, len(bench.clean["dallas"].prompt.ids) - 1
    with pytest.raises(HypothesisError, match=f"position {last + 1}, the last token at {last}"):
        opened(bench, address("0_1_1", pinned=f"{n + 1}_5_{last + 1}"))
    opened(bench, address("0_1_1", pinned=f"{n + 1}_5_{last}"))


def test_what_an_address_has_beyond_a_prompt_is_a_caveat(bench):
    notes = address_notes(opened(bench, address("0_1_1", "0_2_40")))
    [left_out] = [note for note in notes if "position 40" in note]
    n = len(bench.clean["dallas"].prompt.ids)
    assert left_out == (
        f"supernode 'g': '0_2_40' is at position 40, but prompts 'dallas', 'plano' have as few as "
        f"{n} tokens, counted from 0: left out there."
    )


def test_an_address_of_other_tokens_is_a_caveat():
    hypothesis = of_address(address("0_1_1", pinned="E_11_1"))
    ids = {"dallas": IDS, "plano": [0, 99, 12, 13]}
    assert list(position_notes(hypothesis, ids, 3)) == [
        "supernode 'g': its address was made on other tokens than those of prompt 'plano'."
    ]


@pytest.mark.parametrize(
    ("page", "model", "is_foreign"),
    [
        ("https://x.org/gemma-2-2b/graph", "google/gemma-2-2b", False),
        ("https://x.org/gpt2-small/graph", "openai-community/gpt2", False),
        ("https://x.org/llama3.1-8b/graph", "meta-llama/Llama-3.1-8B", False),
        ("https://x.org/gemma-2-2b/graph", "google/gemma-2-2b-it", True),
        ("https://x.org/gemma-2-2b/graph", "gemma-3-270m", True),
        ("https://x.org/index.html", "gemma-3-270m", False),
        ("HTTPS://X.ORG:443//Gemma-2-2B/%67raph/", "gemma-3-270m", True),
        ("http://localhost:3000/en/gemma-2-2b/Graph", "gemma-3-270m", True),
        ("https://x.org/google%2Fgemma-2-2b/graph", "/models/gemma-2-2b/", False),
        ("https://x.org/gemma-2-2b/graph", "C:\\models\\gemma-2-2b", False),
    ],
)
def test_the_address_of_another_model_is_told(page: str, model: str, is_foreign: bool):
    node = {"neuronpedia": {"url": address("0_1_1", page=page), "group": "g"}}
    assert bool(list(foreign(SupernodeSpec.model_validate(node), model))) is is_foreign


def test_ids_of_another_model_that_do_not_fit_are_a_mistake(bench):
    page = "https://www.neuronpedia.org/gemma-2-2b/graph"
    notes = address_notes(opened(bench, address("0_1_1", page=page)))
    [told] = [note for note in notes if "gemma-2-2b" in note]
    assert told.startswith("supernode 'g': its address is of a graph of 'gemma-2-2b', the model is")
    with pytest.raises(HypothesisError) as caught:
        opened(bench, address("0_1_1", "20_15589_1", page=page))
    assert "gemma-2-2b" in str(caught.value)
    assert "Of 2 features in this group the model has 1." in str(caught.value)


def test_an_address_of_which_nothing_fits_is_a_mistake_of_the_file(bench):
    with pytest.raises(HypothesisError, match=r"url: Of 1 features .* the model has 0\."):
        opened(bench, address("20_15589_1", page="https://x.org/page"))
