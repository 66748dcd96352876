"""The straight line of a graph, against the pieces it is made of and the model itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from heard import Heard

import tracer
from tests.bench import TINY
from tests.opened import TEXT, edges_by_autograd, ids_of, open_tiny, relative_error
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.graph_request import GraphRequest
from tracer.engine.graphs import OPENED, graphs
from tracer.engine.model.sources import named_model
from tracer.engine.progress import Silent
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis
from tracer.record.graph.files import read, write
from tracer.record.graph.prune import prune


@pytest.fixture(scope="module")
def model(tiny):
    return open_tiny(tiny)


def probabilities(model, ids):
    with torch.no_grad():
        logits = model._bridge.original_model(ids[None]).logits[0, -1]
    return logits.softmax(0)


def graph_of(tiny, prompt=TEXT, **more):
    more = {"model": str(tiny), "device": "cpu", "max_features": 30, "prune": None} | more
    return tracer.attribution_graph(prompt, **more)


def of_file(tiny, prompts=(), answer=None, section=None, **more):
    data = TINY | {"prompts": {n: dict(p) for n, p in TINY["prompts"].items()}, "graph": section}
    data["prompts"]["dallas"]["answer"] = answer
    file = from_hypothesis(Hypothesis.model_validate(data))
    request = GraphRequest(file, named_model(str(tiny), "cpu"), "neurons", prompts, **more)
    return list(graphs(request, Silent()))


def test_its_edges_are_the_model_s_gradients(tiny, model):
    graph = graph_of(tiny)
    wanted = edges_by_autograd(model, NeuronBasis(model), graph, ids_of(model))
    assert graph.nodes.n_features == 30
    assert relative_error(graph.edges, wanted) < 1e-4


def test_the_most_probable_tokens_are_explained_when_none_is_named(tiny, model):
    found = probabilities(model, ids_of(model))
    top = found.topk(10)
    logits = graph_of(tiny).nodes.logits
    assert [logit.token for logit in logits] == top.indices.tolist()
    assert [logit.weight for logit in logits] == pytest.approx(top.values.tolist(), rel=1e-4)


def test_named_tokens_and_a_difference(tiny, model):
    found = probabilities(model, ids_of(model))
    austin, texas = (model.tokenizer.convert_tokens_to_ids(f"Ġ{w}") for w in ("Austin", "Texas"))
    two = graph_of(tiny, toward=[" Austin", " Texas", " Austin"])
    assert [logit.token for logit in two.nodes.logits] == [austin, texas]
    assert two.nodes.logits[0].weight == pytest.approx(float(found[austin]), rel=1e-4)
    one = graph_of(tiny, toward=" Austin", against=" Texas")
    [logit] = one.nodes.logits
    assert (logit.token, logit.weight) == (None, 1.0)
    wanted = float(found[austin].log() - found[texas].log())
    assert float(one.values[one.nodes.logit_rows][0]) == pytest.approx(wanted, abs=1e-4)


def test_it_is_pruned_unless_asked_otherwise(tiny):
    whole, pruned = graph_of(tiny), graph_of(tiny, prune=(0.5, 0.9))
    wanted = prune(whole, 0.5, 0.9)
    assert pruned.pruning == wanted.pruning
    np.testing.assert_array_equal(pruned.nodes.features, wanted.nodes.features)
    np.testing.assert_array_equal(pruned.edges, wanted.edges)


def test_the_door_stands_beside_the_package_of_graphs(tiny, tmp_path):
    path = write(tmp_path / "graph.json", graph_of(tiny))
    assert read(path).subject.tokens[:3] == ("<bos>", "the", " capital")


def test_prompts_of_a_hypothesis_have_their_answers_explained(tiny, model):
    [first, second] = of_file(tiny, ("oakland", "dallas"), answer=" Sacramento")
    assert (first.name, second.name) == ("tiny-oakland", "tiny-dallas")
    assert first.graph.subject.prompt == "<bos>the capital of Oakland is"
    answer = model.tokenizer.convert_tokens_to_ids("ĠSacramento")
    top = probabilities(model, ids_of(model, "the capital of Dallas is")).topk(10)
    assert answer not in top.indices.tolist()
    labels = [logit.token for logit in second.graph.nodes.logits]
    assert labels == [*top.indices.tolist(), answer]
    assert len(of_file(tiny)) == len(TINY["prompts"])


def test_an_answer_among_the_most_probable_is_not_explained_twice(tiny, model):
    ids = ids_of(model, "the capital of Dallas is")
    answer = model.tokenizer.decode([int(probabilities(model, ids).argmax())])
    [found] = of_file(tiny, ("dallas",), answer=answer)
    assert len(found.graph.nodes.logits) == 10


@pytest.mark.parametrize(
    ("toward", "asked", "explained"),
    [
        ("answer", {}, ["Sacramento"]),
        ({"token": " Austin"}, {}, ["Austin"]),
        ({"token": " Austin"}, {"toward": (" Texas", " Austin")}, ["Texas", "Austin"]),
    ],
)
def test_a_section_says_what_is_explained_on_its_prompts(tiny, model, toward, asked, explained):
    section = {"prompts": ["dallas"], "toward": toward, "max_features": 7}
    [found] = of_file(tiny, answer=" Sacramento", section=section, **asked)
    assert (found.name, found.graph.nodes.n_features) == ("tiny-dallas", 7)
    wanted = [model.tokenizer.convert_tokens_to_ids(f"Ġ{word}") for word in explained]
    assert [logit.token for logit in found.graph.nodes.logits] == wanted


def test_a_section_may_explain_a_difference_or_the_salient(tiny, model):
    section = {"prompts": ["dallas"], "toward": {"logit_diff": [" Austin", " Texas"]}}
    [found] = of_file(tiny, section=section, max_features=5)
    [logit] = found.graph.nodes.logits
    assert (logit.label, found.graph.nodes.n_features) == (" Austin − Texas", 5)
    [found] = of_file(tiny, answer=" Sacramento", section={"prompts": ["dallas"]}, max_features=5)
    top = probabilities(model, ids_of(model, "the capital of Dallas is")).topk(10)
    assert [logit.token for logit in found.graph.nodes.logits] == top.indices.tolist()


def test_a_section_says_nothing_of_other_prompts(tiny):
    section = {"prompts": ["dallas"], "toward": {"token": " Austin"}, "max_features": 7}
    [other, its] = of_file(tiny, ("oakland", "dallas"), section=section)
    assert (len(other.graph.nodes.logits), len(its.graph.nodes.logits)) == (10, 1)


@pytest.mark.parametrize(
    ("prompt", "more", "sentence"),
    [
        ("", {}, "of the prompt in tokens, special ones included, is 1; a graph needs at least 2"),
        ("Dallas " * 300, {}, "and 256 fit the model"),
        (TEXT, {"toward": " Austin Texas"}, "is 2 tokens, ' Austin', ' Texas'; exactly one"),
        (TEXT, {"against": " Texas"}, "`against` goes with exactly one token"),
        (TEXT, {"toward": [" Austin", " of"], "against": " Texas"}, "`against` goes with exactly"),
        (TEXT, {"toward": " Texas", "against": " Texas"}, "against itself is no difference"),
        (TEXT, {"max_features": 0}, "from 1 to 50,000 features can be kept, not 0"),
        (TEXT, {"max_features": 10**9}, "from 1 to 50,000 features"),
        (TEXT, {"max_heads": -1}, "from 0 to 10,000 heads can be nodes, not -1"),
        ("\udc80", {}, r"'\\udc80' is not valid Unicode"),
        (TEXT, {"toward": "\udc80"}, "is not valid Unicode"),
        (TEXT, {"features": "neuron"}, "Did you mean 'neurons'"),
        (TEXT, {"dtype": "int3"}, "dtype 'int3' is not known; choose 'float32'"),
        (TEXT, {"model": ""}, "name is empty"),
        (TEXT, {"prune": (0.5, 1.5)}, "must be between 0 and 1, not 1.5"),
    ],
)
def test_mistakes_are_sentences(tiny, prompt, more, sentence):
    with pytest.raises(UsageError, match=sentence):
        graph_of(tiny, prompt, **more)


def test_mistakes_in_a_hypothesis(tiny):
    with pytest.raises(UsageError, match="no prompt 'dalas'. Did you mean 'dallas'"):
        of_file(tiny, ("dalas",))
    with pytest.raises(HypothesisError, match="answer: ' Austin Texas' is 2 tokens"):
        of_file(tiny, answer=" Austin Texas")
    request = GraphRequest(TEXT, named_model(str(tiny)), "neurons", ("dallas",))
    with pytest.raises(UsageError, match="a text was given"):
        request.check()


def test_a_text_that_begins_with_bos_has_the_graph_of_the_text(tiny):
    heard = Heard()
    again = graph_of(tiny, "<bos>" + TEXT, progress=heard)
    plain = graph_of(tiny)
    assert again.subject.token_ids == plain.subject.token_ids
    assert (again.edges == plain.edges).all()
    assert heard.notes == [OPENED]
