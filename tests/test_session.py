"""A session, against TransformerLens and Hugging Face by hand on the same weights."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer

import tracer
from tests.tiny_file import write_tiny
from tracer.errors import HypothesisError, UsageError

TEXT = "the capital of the state containing Dallas is"
TEMPLATE = "the capital of {city} is"
PROMPTS = {
    "dallas": {"city": "Dallas", "answer": " Austin"},
    "oakland": {"city": "Oakland", "answer": " Sacramento"},
}
RULE = {"by": "activation", "on": ["dallas"], "against": ["oakland"], "at": "city", "top": 5}
POST = "blocks.{}.mlp.hook_post"
ATOL = 1e-5


@pytest.fixture
def held(tiny: Path):
    return AutoModelForCausalLM.from_pretrained(tiny)


@pytest.fixture(scope="module")
def tokenizer(tiny: Path):
    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture
def bridge(tiny: Path, held, tokenizer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TransformerBridge.boot_transformers(
            "Gemma3ForCausalLM", hf_model=held.eval(), tokenizer=tokenizer
        )


@pytest.fixture
def session(held, tokenizer):
    return tracer.Session(held, tokenizer=tokenizer, name="mine")


def last_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1]


def hooked(bridge, tokenizer, text, values):
    """Logits with neurons set by TransformerLens hooks, layer by layer."""

    def hook(layer):
        def put(x, hook):
            for (at, pos, index), value in values.items():
                if at == layer:
                    x[0, pos, index] = value
            return x

        return put

    ids = torch.tensor([tokenizer(text)["input_ids"]])
    layers = sorted({layer for layer, _, _ in values})
    with torch.no_grad():
        return bridge.run_with_hooks(ids, fwd_hooks=[(POST.format(n), hook(n)) for n in layers])[
            0, -1
        ]


def neurons(bridge, tokenizer, text):
    """Activations by layer, [pos, neuron]."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids)
    return [cache[POST.format(n)][0] for n in range(2)]


def test_ask_gives_the_model_s_own_probabilities(session, held, tokenizer):
    [answer] = session.ask(TEXT)
    ids = tokenizer(TEXT)["input_ids"]
    probabilities = last_logits(held, ids).softmax(-1)
    best = probabilities.topk(10)
    assert list(answer.token_ids) == ids
    assert answer.tokens == tuple(tokenizer.decode([n]) for n in ids)
    assert [each.id for each in answer.top] == best.indices.tolist()
    found = torch.tensor([each.probability for each in answer.top])
    assert torch.allclose(found, best.values, atol=ATOL)


def test_ask_says_whether_the_answer_comes_first(session, held, tokenizer):
    ids = tokenizer("the capital of Dallas is")["input_ids"]
    first = tokenizer.decode([int(last_logits(held, ids).argmax())])
    right = session.ask({"a": {"city": "Dallas", "answer": first}}, template=TEMPLATE)[0]
    wrong = session.ask({"a": {"city": "Dallas", "answer": " Austin"}}, template=TEMPLATE)[0]
    assert (right.is_right, wrong.is_right) == (True, False)
    assert "✔" in repr(right)
    assert f"' Austin' is number {wrong.reading.tokens[' Austin'].rank:,}" in repr(wrong)
    assert session.ask(TEXT)[0].is_right is None


def test_a_plain_text_keeps_its_braces(session):
    [answer] = session.ask("a {b} c")
    assert answer.text == "a {b} c"


def test_nothing_of_a_model_in_memory_is_copied_or_changed(held, tokenizer):
    held.train()
    before = (list(held.state_dict()), held.config.to_dict(), held(torch.tensor([[2, 9]])).logits)
    session = tracer.Session(held, tokenizer=tokenizer)
    session.clamp(TEXT, {"1_7": 0})
    assert list(held.state_dict()) == before[0]
    assert held.config.to_dict() == before[1]
    assert torch.equal(held(torch.tensor([[2, 9]])).logits, before[2])
    assert held.training
    theirs = {each.data_ptr() for each in held.parameters()}
    ours = {each.data_ptr() for each in session._held.hf_model.parameters()}
    assert ours == theirs


def test_clamp_of_a_feature_is_a_transformer_lens_hook(session, bridge, tokenizer):
    clamped = session.clamp(TEXT, {"0_3": {"to": 2.5}, "1_7_4": {"to": -1.0}}, read=["1_8"])
    end = len(clamped.tokens) - 1
    values = {(0, end, 3): 2.5, (1, 4, 7): -1.0}
    assert torch.allclose(clamped.logits, hooked(bridge, tokenizer, TEXT, values), atol=ATOL)
    assert torch.allclose(clamped.unclamped, hooked(bridge, tokenizer, TEXT, {}), atol=ATOL)
    active = neurons(bridge, tokenizer, TEXT)
    assert clamped.activations["0_3"].tolist() == [2.5]
    assert clamped.before["0_3"].item() == pytest.approx(float(active[0][end, 3]), abs=ATOL)
    assert clamped.activations["1_8"].item() != pytest.approx(float(active[1][end, 8]), abs=1e-4)


def test_a_bridge_is_used_as_it_is(bridge, tokenizer):
    session = tracer.Session(bridge)
    found = session.clamp(TEXT, {"1_7": {"to": 4.0}}).logits
    end = len(tokenizer(TEXT)["input_ids"]) - 1
    assert torch.allclose(found, hooked(bridge, tokenizer, TEXT, {(1, end, 7): 4.0}), atol=ATOL)
    assert session._opened.model._bridge is bridge
    assert not any(point.fwd_hooks for point in bridge.hook_dict.values())


def by_hand(bridge, tokenizer):
    """The rule's scores: |activation on Dallas − on Oakland| · ‖W_out‖, [layer, neuron]."""
    on, against = (
        neurons(bridge, tokenizer, TEMPLATE.format(city=city)) for city in ("Dallas", "Oakland")
    )
    at = tokenizer(TEMPLATE.format(city="Dallas"))["input_ids"].index(
        tokenizer(" Dallas", add_special_tokens=False)["input_ids"][0]
    )
    norms = [bridge.blocks[n].mlp.W_out.detach().norm(dim=-1) for n in range(2)]
    scores = torch.stack([(on[n][at] - against[n][at]).abs() * norms[n] for n in range(2)])
    return scores, at, on


def test_find_is_the_rule_by_hand(session, bridge, tokenizer):
    texas = session.find(RULE, PROMPTS, template=TEMPLATE, name="texas")
    scores, _, _ = by_hand(bridge, tokenizer)
    order = scores.flatten().argsort(descending=True)[:5]
    width = scores.shape[1]
    assert texas.features == tuple(f"{n // width}_{n % width}" for n in order.tolist())
    frame = texas.to_pandas()
    assert list(frame.columns) == ["layer", "index", "offset", "score"]
    assert frame["score"].to_list() == pytest.approx(scores.flatten()[order].tolist(), abs=ATOL)


def test_clamp_of_a_supernode_takes_its_own_activation(session, bridge, tokenizer):
    texas = session.find(RULE, PROMPTS, template=TEMPLATE, name="texas")
    clamped = session.clamp({"city": "Oakland"}, {texas: 1.5})
    _, at, on = by_hand(bridge, tokenizer)
    members = [(each.layer, each.index) for each in texas.record.features]
    values = {(layer, at, index): 1.5 * float(on[layer][at, index]) for layer, index in members}
    text = TEMPLATE.format(city="Oakland")
    assert torch.allclose(clamped.logits, hooked(bridge, tokenizer, text, values), atol=ATOL)
    assert clamped.activations["texas"].tolist() == pytest.approx(list(values.values()), abs=ATOL)


def test_clamps_are_checked_as_those_of_a_file(session):
    texas = session.find(RULE, PROMPTS, template=TEMPLATE)
    with pytest.raises(UsageError, match="nothing is clamped"):
        session.clamp(TEXT, {})
    with pytest.raises(UsageError, match="'Texas' is no feature id"):
        session.clamp(TEXT, {"Texas": 0})
    with pytest.raises(HypothesisError, match="no span 'city'"):
        session.clamp(TEXT, {texas: 0})
    with pytest.raises(HypothesisError, match=r"times: …, from: \[here\]"):
        session.clamp(TEXT, {"1_7": 2})
    with pytest.raises(HypothesisError, match="layer 9 is out of range"):
        session.clamp(TEXT, {"9_7": 0})
    with pytest.raises(UsageError, match="two supernodes are named 'found'"):
        again = session.find(RULE, PROMPTS, template=TEMPLATE)
        session.clamp({"city": "Oakland"}, {texas: 0, again: 0})


def test_a_run_on_a_model_in_memory_measures_what_a_run_of_its_files_does(session, tiny, tmp_path):
    file, reports = write_tiny(tmp_path, tiny), tmp_path / "reports"
    mine = session.run(file, reports=reports, cache=False)
    theirs = tracer.run(file, reports=reports, cache=False)
    assert (mine.record.model.name, mine.record.model.source) == ("mine", "in memory")
    assert mine.record.model.fingerprint != theirs.record.model.fingerprint
    assert mine.record.hypothesis.model_spec.name == "mine"
    assert 'model.name="mine"' in mine.record.overrides
    for name, trial in mine.record.interventions["swap"].trials.items():
        other = theirs.record.interventions["swap"].trials[name]
        assert trial.reading.tokens[" Austin"].logit == pytest.approx(
            other.reading.tokens[" Austin"].logit, abs=ATOL
        )
    assert mine.verdict.verdict == theirs.verdict.verdict
    assert tracer.Run.open(mine.path).verdict == mine.verdict


def test_weights_that_changed_are_another_model(session, held, tiny, tmp_path):
    file, reports = write_tiny(tmp_path, tiny), tmp_path / "reports"
    first = session.run(file, reports=reports, fresh=True)
    again = session.run(file, reports=reports, fresh=True)
    with torch.no_grad():
        held.model.layers[0].mlp.down_proj.weight[3, 5] += 0.5
    changed = session.run(file, reports=reports, fresh=True)
    assert first.record.model.fingerprint == again.record.model.fingerprint
    assert (first.record.cached == (), again.record.cached == ()) == (True, False)
    assert changed.record.model.fingerprint != first.record.model.fingerprint
    assert changed.record.cached == ()


def test_a_session_leaves_no_second_place_to_name_the_model(session, tiny, tmp_path):
    with pytest.raises(UsageError, match="leave out model, device and dtype"):
        tracer.run(write_tiny(tmp_path, tiny), session=session, model="gemma-3-270m")
    with pytest.raises(UsageError, match="tokenizer is for a model in memory"):
        tracer.Session(str(tiny), tokenizer=session.tokenizer)


def test_what_would_not_compute_what_its_weights_say_is_refused(held, bridge, tokenizer):
    with pytest.raises(UsageError, match="model is 7 .*TransformerBridge is expected"):
        tracer.Session(7)
    with pytest.raises(UsageError, match="needs its tokenizer"):
        tracer.Session(copy.deepcopy(held))
    with pytest.raises(UsageError, match="a fast Hugging Face one is expected"):
        tracer.Session(bridge, tokenizer="gemma")
    session = tracer.Session(bridge)
    bridge.add_hook(POST.format(0), lambda x, hook: x * 2)
    with pytest.raises(UsageError, match="hooks are left on the model, at blocks.0"):
        session.ask(TEXT)
    bridge.reset_hooks()
    bridge.train()
    with pytest.raises(UsageError, match="training mode"):
        session.ask(TEXT)
    bridge.eval()
    bridge.enable_compatibility_mode(disable_warnings=True)
    with pytest.raises(UsageError, match="weights were folded"):
        session.clamp(TEXT, {"1_7": 0})


def test_hooks_on_a_hugging_face_model_are_refused(held, tokenizer):
    held.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    with pytest.raises(UsageError, match=r"hooks are left on the model, at model.layers.1.mlp"):
        tracer.Session(held, tokenizer=tokenizer)


def test_it_shows_itself_briefly_and_safely(session):
    evil = {"a": {"text": "<script>x</script> is", "answer": " Austin"}}
    texas = session.find(RULE, PROMPTS, template=TEMPLATE, name="texas")
    answers = session.ask(evil)
    shown = answers._repr_html_() + session.clamp("<script> is", {"1_7": 0})._repr_html_()
    assert "<script>" not in shown
    assert repr(session) == "Session(mine, neurons, float32 on cpu)"
    assert repr(texas).startswith("Supernode(texas: 5 features in layers 0 to 1, at 'city'")
    assert "\x1b" not in repr(session.ask("a \x1b[31m b"))
    frame = answers.to_pandas()
    assert len(frame) == 10
    assert frame["probability"].to_list() == [each.probability for each in answers[0].top]
