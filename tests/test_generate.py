"""Text under clamps against the plain way: the whole text passed again for every token."""

import dataclasses
import hashlib
import warnings

import numpy as np
import pytest
import torch

from tests.bench import TINY, make_bench
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clamps import GoingOn, assign, going_on, resolve_clamps
from tracer.engine.clean import clean_run
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.generate import TextRow, write
from tracer.engine.measure.prompts import measure_prompt
from tracer.engine.measure.texts import n_texts, with_texts
from tracer.engine.model.sites import Site
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.tokens import TokenizedPrompt

TEXT = "the capital of the state containing Dallas is in the city of"
N = 10
CLAMPS = [
    ({}, GoingOn({}, {})),
    ({(0, 7, 3): 2.5, (1, 7, 5): -3.0}, GoingOn({}, {})),
    ({(1, 9, 5): 3.0, (0, 11, 2): 4.0}, GoingOn({(1, 5): 3.0, (0, 2): 4.0}, {})),
    ({(1, 12, 7): 3.0}, GoingOn({(1, 5): -3.0}, {(1, 7): 2.0, (0, 4): 5.0})),
]
"""Values on the prompt, and what goes on after it."""


def clean_of(model):
    ids = tuple(model.tokenizer(TEXT)["input_ids"])
    prompt = TokenizedPrompt(
        "p", TEXT, ids, tuple(map(str, ids)), {"last": (len(ids) - 1, len(ids))}, None, {}
    )
    basis = NeuronBasis(model)
    return basis, clean_run(model, basis, prompt, range(len(ids)))


def rows_of(temperature=0.0, freeze="none"):
    return [
        TextRow(Row(values, freeze), onward, N, temperature, f"draws/{sample}")
        for values, onward in CLAMPS
        for sample in range(2 if temperature else 1)
    ]


def held_patterns(model, clean):
    """Hooks that hold the prompt's own patterns in a pass over a longer text."""
    seen, n = {}, len(clean.ids)

    def keep(layer):
        return lambda x: seen.__setitem__(layer, x)

    def hold(layer):
        def hook(x):
            out = x.clone()
            out[:, :, :n, :n] = seen[layer]
            return out

        return hook

    layers = range(model.n_layers)
    model.forward(clean.ids, [(Site("pattern", layer), keep(layer)) for layer in layers])
    return [(Site("pattern", layer), hold(layer)) for layer in layers]


def setter(text, layer, n):
    """Writes a layer's neurons of prompt and text down."""

    def hook(x):
        out = x.clone()
        for (at, pos, index), value in text.row.values.items():
            if at == layer:
                out[0, pos, index] = value
        for (at, index), value in text.onward.values.items():
            if at == layer:
                out[0, n:, index] = value
        for (at, index), value in text.onward.added.items():
            if at == layer:
                out[0, n:, index] += value
        return out

    return hook


def plainly(model, clean, text):
    """No cache: every token by a pass over all tokens, neurons set by writing them down."""
    ids, n = clean.ids.tolist(), len(clean.ids)
    rng = np.random.default_rng(list(hashlib.sha256(text.draws.encode()).digest()))
    hooks = [(Site("mlp_hidden", layer), setter(text, layer, n)) for layer in range(model.n_layers)]
    hooks += held_patterns(model, clean) if text.row.freeze == "attention" else []
    while len(ids) < n + text.n_tokens:
        with torch.no_grad():
            logits = model.forward(torch.tensor(ids), hooks)[0]
        if text.temperature == 0:
            token = int(logits.argmax())
        else:
            shares = np.exp((logits - logits.max()).double().numpy() / text.temperature)
            token = int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), "right"))
        if token in model.stop_ids:
            return tuple(ids[n:]), True
        ids.append(token)
    return tuple(ids[n:]), False


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_equals_passing_the_whole_text_again(each_model, temperature):
    basis, clean = clean_of(each_model)
    rows = rows_of(temperature)
    found = write(each_model, basis, clean, rows, BatchLimit(64))
    assert found == [plainly(each_model, clean, text) for text in rows]
    assert len({text.ids for text in found}) > 1


def test_frozen_attention_holds_the_prompt_alone(each_model):
    basis, clean = clean_of(each_model)
    rows = rows_of(freeze="attention")
    found = write(each_model, basis, clean, rows, BatchLimit(64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found == [plainly(each_model, clean, text) for text in rows]


def test_one_by_one_writes_the_same(each_model):
    basis, clean = clean_of(each_model)
    rows = rows_of(1.0)
    together = write(each_model, basis, clean, rows, BatchLimit(64))
    assert write(each_model, basis, clean, rows, BatchLimit(1)) == together


def clamped(bench, **clamp):
    spec = InterventionSpec.model_validate({"prompts": ["dallas"], "clamp": clamp})
    clamps = resolve_clamps(spec, bench.supernodes, bench.clean, "dallas")
    clean = bench.clean["dallas"]
    return assign(clamps, clean).values, going_on(clamps, clean)


def test_a_clamp_goes_on_from_each_feature_to_the_end_of_the_prompt(bench):
    own, nothing = clamped(bench, texas={"times": 2})
    values, onward = clamped(bench, texas={"times": 2, "onward": True})
    n = len(bench.clean["dallas"].ids)
    assert nothing == ({}, {})
    assert values == {
        (layer, p, index): value
        for (layer, pos, index), value in own.items()
        for p in range(pos, n)
    }
    assert onward.values == {(layer, index): value for (layer, _, index), value in own.items()}


def test_the_nearest_position_on_the_left_decides(bench):
    """One neuron at two positions of a span: each holds until the next begins."""
    told = bench.supernodes["texas"]
    refs = [told.features[0].model_copy(update={"position": pos}) for pos in (2, 4)]
    two = told.model_copy(update={"features": tuple(refs), "source": ("oakland",)})
    layer, index = refs[0].layer, refs[0].index
    wide = dataclasses.replace(bench, supernodes={"texas": two})
    values, onward = clamped(wide, texas={"times": 3, "onward": True})
    source = [3 * float(bench.clean["oakland"].activation(layer, p)[index]) for p in (2, 4)]
    n = len(bench.clean["dallas"].ids)
    assert [values[layer, p, index] for p in range(2, n)] == [source[0]] * 2 + [source[1]] * (n - 4)
    assert onward == ({(layer, index): source[1]}, {})


def test_what_is_added_goes_on_being_added(bench):
    told = bench.supernodes["texas"]
    refs = [ref.model_copy(update={"maximum": 2.0 + n}) for n, ref in enumerate(told.features)]
    known = told.model_copy(update={"features": tuple(refs)})
    values, onward = clamped(
        dataclasses.replace(bench, supernodes={"texas": known}), texas={"add": 3, "onward": True}
    )
    clean = bench.clean["dallas"]
    for (layer, pos, index), value in values.items():
        before = float(clean.activation(layer, pos)[index])
        assert value == pytest.approx(before + onward.added[layer, index])
    assert onward.added == {(r.layer, r.index): 3.0 * (2 + n) for n, r in enumerate(refs)}
    assert onward.values == {}


def test_a_prompts_texts_are_recorded_beside_its_trials(tiny):
    generate = {"tokens": 5, "temperature": 1.0, "samples": 3, "seed": 4}
    swap = TINY["interventions"]["swap"] | {"generate": generate}
    bench = make_bench(tiny, hypothesis=TINY | {"interventions": {"swap": swap, "same": swap}})
    limit = BatchLimit(8)
    found = measure_prompt(bench, "dallas", limit, lambda n: None)
    trials = with_texts(bench, "dallas", found, limit, lambda n: None).trials
    texts = trials["swap"].generated
    assert texts == trials["same"].generated
    assert len(texts.clamped) == len(texts.clean) == 3
    assert texts.clamped != texts.clean
    assert all(len(text.token_ids) == 5 or text.stopped for text in texts.clamped)
    assert n_texts(bench.hypothesis, "dallas") == 9
    [one] = [text for text in texts.clean[:1]]
    whole = bench.model.tokenizer.decode([*bench.clean["dallas"].ids.tolist(), *one.token_ids])
    assert whole.endswith(one.text)
    assert with_texts(bench, "dallas", found, limit, lambda n: None).trials == trials
