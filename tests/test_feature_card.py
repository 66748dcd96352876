"""What features promote, by products written out; where they are active, by a plain loop."""

from __future__ import annotations

import pytest
import torch

from tests.dictionaries import clt_decoder, write_clt, write_transcoders
from tests.heard import Heard
from tests.opened import open_tiny
from tracer.engine.feature_card import feature_cards
from tracer.engine.progress import Silent
from tracer.engine.session import open_both
from tracer.errors import UsageError
from tracer.hypothesis.spec import ModelSpec
from tracer.record.feature_card import Line, LogitEffect, LogitEffects

LINES = [
    Line(1, "the capital of the state containing Dallas is Austin"),
    Line(3, "Sacramento of California, Tallahassee of Florida."),
    Line(4, "The official language of the country containing Osaka is Japanese"),
]


def cards(folder, features, basis="neurons", lines=None, top=3, progress=None):
    spec = ModelSpec(name=str(folder), device="cpu")
    progress = progress or Silent()
    return feature_cards(open_both(spec, str(basis), progress), features, lines, top, progress)


def inside(model):
    return model._bridge.original_model


def check_spoken(card, logits, tokenizer):
    """Both ends of `logits`, centred and in standard deviations."""
    scores = (logits - logits.mean()) / logits.std(correction=0)
    order = scores.argsort(descending=True).tolist()
    for spoken, ids in ((card.promoted, order[:3]), (card.suppressed, order[::-1][:3])):
        assert [s.token for s in spoken] == [tokenizer.decode([token]) for token in ids]
        assert [s.score for s in spoken] == pytest.approx(scores[ids].tolist(), rel=1e-4)


def test_neurons_go_through_post_norm_last_norm_and_unembedding(tiny):
    model = open_tiny(tiny)
    hf = inside(model)
    [first, second] = cards(tiny, [(0, 5), (1, 9)])
    for card, layer, index in ((first, 0, 5), (second, 1, 9)):
        write = hf.model.layers[layer].mlp.down_proj.weight[:, index]
        post = hf.model.layers[layer].post_feedforward_layernorm.weight
        logits = hf.lm_head.weight @ (write * (1 + post) * (1 + hf.model.norm.weight))
        check_spoken(card, logits, model.tokenizer)
        assert (card.layer, card.index, card.on_text) == (layer, index, None)
        [norm] = card.write_norms
        assert norm == (layer, pytest.approx(float((write**2).sum() ** 0.5), rel=1e-5))


def test_a_norm_that_centres_does(tiny_gpt2_bench):
    model = tiny_gpt2_bench.model
    hf = inside(model)
    [card] = cards(model.record.name, [(1, 4)])
    write = hf.transformer.h[1].mlp.c_proj.weight[4]
    logits = hf.lm_head.weight @ ((write - write.mean()) * hf.transformer.ln_f.weight)
    check_spoken(card, logits, model.tokenizer)


def test_a_cross_layer_feature_writes_to_all_its_layers(tiny, tmp_path):
    model = open_tiny(tiny)
    hf = inside(model)
    [card] = cards(tiny, [(0, 7)], write_clt(tmp_path / "clt"))
    writes = clt_decoder(0, 2)[7]
    logits = hf.lm_head.weight @ (writes.sum(0) * (1 + hf.model.norm.weight))
    check_spoken(card, logits, model.tokenizer)
    assert card.write_norms == (
        (0, pytest.approx(float(writes[0].norm()), rel=1e-5)),
        (1, pytest.approx(float(writes[1].norm()), rel=1e-5)),
    )


def hidden(model, text, layer, index):
    """A hidden unit at every token of a line, by a hook on the down projection; and the tokens."""
    seen = []
    mlp = inside(model).model.layers[layer].mlp
    handle = mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    ids = model.tokenizer(text)["input_ids"]
    with torch.no_grad():
        inside(model)(torch.tensor(ids)[None])
    handle.remove()
    return seen[0][1:, index].tolist(), ids[1:]


@pytest.mark.parametrize("place", [(0, 5), (1, 9)])
def test_the_strongest_places_of_a_text(tiny, place):
    model = open_tiny(tiny)
    [card] = cards(tiny, [place], lines=LINES, top=2)
    values, highest, lowest = [], [], []
    for line in LINES:
        found, ids = hidden(model, line.text, *place)
        values += found
        words = [model.tokenizer.decode([token]) for token in ids]
        highest.append((max(found), line.number, words[found.index(max(found))]))
        lowest.append((min(found), line.number, words[found.index(min(found))]))
    on = card.on_text
    assert on.n_tokens == len(values)
    assert on.n_positive == sum(value > 0 for value in values)
    assert on.n_negative == sum(value < 0 for value in values)
    wanted = sorted(highest, reverse=True)[:2], sorted(lowest)[:2]
    for examples, strongest in zip((on.positive, on.negative), wanted, strict=True):
        assert [(e.line, e.token) for e in examples] == [s[1:] for s in strongest]
        assert [e.activation for e in examples] == pytest.approx([s[0] for s in strongest], 1e-4)
        for example in examples:
            text = next(line.text for line in LINES if line.number == example.line)
            assert example.before + example.token + example.after in text


def test_features_that_are_not_on_have_no_examples(tiny, tmp_path):
    features = [(0, index) for index in range(24)]
    basis = write_transcoders(tmp_path / "relu")
    found = [card.on_text for card in cards(tiny, features, basis, [Line(1, " Dallas")])]
    assert {on.n_tokens for on in found} == {1}
    assert {len(on.positive) for on in found} == {0, 1}
    assert all(on.n_positive == len(on.positive) and not on.negative for on in found)


def test_a_long_line_is_cut_and_that_is_told(tiny):
    heard = Heard()
    [card] = cards(tiny, [(0, 1)], lines=[Line(1, " Dallas" * 300)], progress=heard)
    assert card.on_text.n_tokens == 255
    assert heard.notes == ["lines cut to 256 tokens: 1"]


def test_features_that_are_not_there_are_told_at_once(tiny):
    with pytest.raises(UsageError) as told:
        cards(tiny, [(2, 0), (1, 64), (0, 0)])
    assert str(told.value) == "2_0: the last layer is 1.\n1_64: layer 1 has features 0 to 63."


def test_below_zero_the_ends_of_a_feature_change_places_and_signs():
    effects = LogitEffects(
        (LogitEffect(" Tahoe", 3.0), LogitEffect(" b", 1.0)), (LogitEffect(" x", -2.0),)
    )
    assert effects.at(0.5) == effects.at(0.0) == effects
    below = effects.at(-0.5)
    assert below.promoted == (LogitEffect(" x", 2.0),)
    assert below.suppressed == (LogitEffect(" Tahoe", -3.0), LogitEffect(" b", -1.0))


def test_of_no_features_nothing_is_told(tiny):
    """A pruned graph may have none: tokens lead to the output by their errors alone."""
    assert cards(tiny, []) == []
