"""Mean ablation against plain PyTorch hooks, and against dense masks over whole passes."""

import pytest
import torch

from tests.bench import ATOL
from tests.dictionaries import write_clt, write_transcoders
from tests.opened import open_tiny
from tracer.engine.ablation import Kept, mean_of, observe
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clean import clean_run
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.forward import run_rows
from tracer.engine.progress import Silent
from tracer.hypothesis.tokens import TokenizedPrompt

TEXTS = [
    f"the capital of the state containing {city} is" for city in ("Dallas", "Oakland", "Miami")
]
START, LAYERS = 6, range(2)


def prompt_of(model, text):
    ids = tuple(model.tokenizer(text)["input_ids"])
    return TokenizedPrompt(text, text, ids, tuple(map(str, ids)), {}, None, {})


def base_of(model, basis, layers=LAYERS, start=START):
    prompts = [prompt_of(model, text) for text in TEXTS]
    stop = len(prompts[0].ids)
    seen = [observe(model, basis, p.ids, layers, range(start, stop)) for p in prompts[1:]]
    return prompts[0], mean_of(seen)


def logits_of(model, basis, prompt, kept, limit=8):
    clean = clean_run(model, basis, prompt, [])
    rows = [Row({}, kept=each) for each in kept]
    found = clean.logits.new_zeros(len(rows), clean.logits.numel())
    for measured in run_rows(model, basis, clean, rows, BatchLimit(limit)):
        found[measured.rows] = measured.logits
    return clean, found


def by_hand(bench, prompt, base, kept):
    """Hidden units put to their means by pre-hooks, those that are kept left as they come."""
    blocks = bench.model._bridge.original_model.model.layers

    def setter(layer):
        def hook(module, args):
            hidden = args[0].clone()
            here = slice(base.start, base.stop)
            live = hidden[0].clone()
            hidden[0, here] = base.features[layer]
            for pos, index in kept.get(layer, torch.zeros(0, 2).long()).tolist():
                hidden[0, pos, index] = live[pos, index]
            return (hidden, *args[1:])

        return hook

    handles = [blocks[n].mlp.down_proj.register_forward_pre_hook(setter(n)) for n in base.outputs]
    ids = torch.tensor(prompt.ids)[None]
    with torch.no_grad():
        logits = bench.model._bridge.original_model(ids).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits


def everything(base, widths):
    positions = range(base.start, base.stop)
    return {
        n: torch.cartesian_prod(torch.tensor(list(positions)), torch.arange(widths(n)))
        for n in base.outputs
    }


KEPT = [
    {},
    {0: torch.tensor([[6, 1], [7, 40]]), 1: torch.tensor([[7, 3]])},
    {1: torch.tensor([[6, 0], [6, 63], [7, 9]])},
]


def test_kept_neurons_react_and_all_others_stand_at_their_means(bench):
    model, basis = bench.model, bench.basis
    prompt, base = base_of(model, basis)
    assert base.start == START and base.stop == len(prompt.ids)
    _, ours = logits_of(model, basis, prompt, [Kept(base, kept) for kept in KEPT])
    theirs = torch.stack([by_hand(bench, prompt, base, kept) for kept in KEPT])
    torch.testing.assert_close(ours, theirs, atol=ATOL, rtol=0)
    assert (ours[0] - ours[1]).abs().max() > 1e-3


def test_one_layer_and_one_position(bench):
    model, basis = bench.model, bench.basis
    prompt, base = base_of(model, basis, range(1, 2))
    base = base.between(7, 8)
    kept = {1: torch.tensor([[7, 3]])}
    _, ours = logits_of(model, basis, prompt, [Kept(base, kept), Kept(base, {})], limit=1)
    torch.testing.assert_close(ours[0], by_hand(bench, prompt, base, kept), atol=ATOL, rtol=0)
    torch.testing.assert_close(ours[1], by_hand(bench, prompt, base, {}), atol=ATOL, rtol=0)


@pytest.mark.parametrize("fixture", ["bench", "tiny_gpt2_bench"])
def test_every_neuron_kept_is_the_model_itself(fixture, request):
    bench = request.getfixturevalue(fixture)
    model, basis = bench.model, bench.basis
    prompt, base = base_of(model, basis)
    clean, (whole,) = logits_of(
        model, basis, prompt, [Kept(base, everything(base, basis.n_features))]
    )
    torch.testing.assert_close(whole, clean.logits, atol=ATOL, rtol=0)


@pytest.mark.parametrize("write", [write_transcoders, write_clt])
def test_features_of_a_dictionary_add_what_differs_from_their_means(tiny, tmp_path, write):
    model = open_tiny(tiny, "float64")
    basis = open_basis(str(write(tmp_path / "set")), model, Silent()).basis
    prompt, base = base_of(model, basis)
    kept = {0: torch.tensor([[6, 1], [7, 5], [7, 9]]), 1: torch.tensor([[7, 2], [6, 2]])}
    _, (ours,) = logits_of(model, basis, prompt, [Kept(base, kept)])
    changes = {}

    def read(layer):
        def hook(x):
            mask = torch.zeros(x.shape[1], basis.n_features(layer), dtype=x.dtype)
            mask[kept[layer][:, 0], kept[layer][:, 1]] = 1
            mean = torch.zeros_like(mask)
            mean[base.start : base.stop] = base.features[layer]
            changes[layer] = (basis.encode(layer, x[0]) - mean) * mask

        return hook

    def write_out(layer):
        def hook(x):
            out = x.clone()
            out[0, base.start : base.stop] = base.outputs[layer]
            for source in LAYERS:
                if layer in basis.write_layers(source):
                    every = torch.arange(basis.n_features(source))
                    out[0] += changes[source] @ basis.W_dec(source, every, layer).to(x.dtype)
            return out

        return hook

    hooks = [(basis.read_site(n), read(n)) for n in LAYERS]
    hooks += [(basis.output_site(n), write_out(n)) for n in LAYERS]
    theirs = model.clean(torch.tensor([prompt.ids]), hooks).logits[0]
    torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=0)


def test_rows_with_and_without_an_ablation_do_not_mix(bench):
    model, basis = bench.model, bench.basis
    prompt, base = base_of(model, basis)
    clean = clean_run(model, basis, prompt, [])
    rows = [Row({(0, 6, 1): 2.0}), Row({}, kept=Kept(base, KEPT[1])), Row({(1, 7, 1): 2.0})]
    batches = [m.rows for m in run_rows(model, basis, clean, rows, BatchLimit(8))]
    assert sorted(map(sorted, batches)) == [[0, 2], [1]]


def test_the_mean_is_over_the_prompts(bench):
    model = bench.model
    seen = [
        observe(model, NeuronBasis(model), prompt_of(model, text).ids, LAYERS, range(6, 8))
        for text in TEXTS
    ]
    mean = mean_of(seen)
    expected = sum(each.features[1] for each in seen) / 3
    torch.testing.assert_close(mean.features[1], expected)
