"""The cross-layer transcoder in training: files, losses and gradients, each got another way."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.test_training import random_activations, settings
from tracer.engine.features.basis import JumpReLU
from tracer.engine.features.dictionary import DictionaryBasis
from tracer.engine.features.formats.registry import read_dictionary
from tracer.engine.training.cross_layer import BANDWIDTH, CrossLayerTranscoder
from tracer.engine.training.trainee import AUXK_WEIGHT, StepReading

NONE_DEAD = torch.zeros(2, 24, dtype=torch.bool)


def made(activation, *, skip=True):
    """One whose decoder is not zero any more, and what it read."""
    own = settings(kind="cross-layer", activation=activation, skip=skip)
    trainee, batch = CrossLayerTranscoder(own, 16), random_activations()
    trainee.begin(batch)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in (*trainee.W_dec.values(), *trainee.W_skip):
            each.copy_(torch.randn(each.shape, generator=generator))
    return trainee, batch


def written(trainee, folder):
    folder.mkdir()
    for path, content in trainee.files():
        if isinstance(content, str):
            (folder / path).write_text(content)
        else:
            cross_layer_file(folder / path, content)
    return folder


def cross_layer_file(path, tensors):

    save_file({name: each.detach().contiguous() for name, each in tensors.items()}, path)


def dense_fvu(folder, batch):
    """FVU of what the files say, by whole matrices."""
    config = json.loads((folder / "config.yaml").read_text())
    acts, found = [], []
    for layer in (0, 1):
        w = load_file(folder / f"W_enc_{layer}.safetensors")
        pre = batch.x[layer] @ w[f"W_enc_{layer}"].T + w[f"b_enc_{layer}"]
        if config["activation"] == "topk":
            on = pre.relu()
            on[on < on.topk(config["k"]).values[:, -1:]] = 0
        else:
            on = JumpReLU(w[f"threshold_{layer}"])(pre)
        acts.append(on)
        out = w[f"b_dec_{layer}"] + batch.x[layer] @ w.get(f"W_skip_{layer}", torch.zeros(16, 16))
        for source in range(layer + 1):
            W_dec = load_file(folder / f"W_dec_{source}.safetensors")[f"W_dec_{source}"]
            out = out + acts[source] @ W_dec[:, layer - source]
        y = batch.y[layer]
        found.append((y - out).square().sum() / (y - y.mean(0)).square().sum())
    return torch.stack(found)


@pytest.mark.parametrize("activation", ["topk", "jumprelu"])
@pytest.mark.parametrize("skip", [True, False])
def test_the_files_have_the_fvu_that_the_training_saw(activation, skip, tmp_path):
    trainee, batch = made(activation, skip=skip)
    with torch.no_grad():
        for each in trainee.log_threshold:  # which begins at one of these very pre-activations
            each.add_(torch.linspace(-0.1, 0.2, 24))
    reading = trainee.backward(batch, NONE_DEAD)
    folder = written(trainee, tmp_path / "set")
    assert torch.allclose(dense_fvu(folder, batch), reading.fvu, rtol=1e-4)


def test_the_engine_reads_what_was_written(tmp_path):
    trainee, batch = made("jumprelu")
    dictionary = read_dictionary(written(trainee, tmp_path / "set"), "mine", lambda files: ())
    assert dictionary.kind == "cross-layer transcoders"
    assert (dictionary.reads, dictionary.writes) == ("mlp_in", "mlp_out")
    basis = DictionaryBasis(dictionary, torch.device("cpu"))
    own = trainee.b_enc[1] + batch.x[1] * trainee.x_scale[1] @ trainee.W_enc[1].T
    assert torch.allclose(
        basis.encode(1, batch.x[1]), JumpReLU(trainee.log_threshold[1].exp())(own), atol=1e-5
    )
    index = torch.arange(24)
    assert torch.allclose(
        basis.W_dec(0, index, 1) * trainee.y_scale[1], trainee.W_dec["0_1"], atol=1e-6
    )


def test_gradients_are_those_of_whole_matrices():
    trainee, batch = made("topk")
    dead = NONE_DEAD.clone()
    dead[1, :5] = True
    trainee.backward(batch, dead)
    mine = {name: p.grad.clone() for name, p in trainee.named_parameters()}
    trainee.zero_grad()
    x, y = batch.x * trainee.x_scale[:, None, None], batch.y * trainee.y_scale[:, None, None]
    acts, loss = [], 0
    for n in (0, 1):
        pre = (x[n] @ trainee.W_enc[n].T + trainee.b_enc[n]).relu()
        acts.append(pre * (pre >= pre.topk(3).values[:, -1:]))
        out = trainee.b_dec[n] + x[n] @ trainee.W_skip[n].T
        out = out + sum(acts[m] @ trainee.W_dec[f"{m}_{n}"] for m in range(n + 1))
        variance = (y[n] - y[n].mean(0)).square().sum()
        error = y[n] - out
        loss = loss + error.square().sum() / variance
        if n == 1:  # five dead features: fewer than half of 16 dimensions
            left = error.detach() - pre[:, :5] @ trainee.W_dec["1_1"][:5]
            loss = loss + AUXK_WEIGHT * 5 / 8 * left.square().sum() / variance
    loss.backward()
    for name, parameter in trainee.named_parameters():
        assert torch.allclose(parameter.grad, mine[name], rtol=1e-3, atol=1e-5), name


def test_a_threshold_is_pushed_by_the_rectangle_around_it():
    trainee, batch = made("jumprelu", skip=False)
    trainee.backward(batch, NONE_DEAD)
    mine = trainee.log_threshold[1].grad.clone()
    x, y = batch.x * trainee.x_scale[:, None, None], batch.y * trainee.y_scale[:, None, None]
    threshold = [each.detach().exp() for each in trainee.log_threshold]
    pre = [(x[n] @ trainee.W_enc[n].T + trainee.b_enc[n]).detach() for n in (0, 1)]
    on = [torch.where(pre[n] > threshold[n], pre[n], 0) for n in (0, 1)]
    out = trainee.b_dec[1] + on[0] @ trainee.W_dec["0_1"] + on[1] @ trainee.W_dec["1_1"]
    variance = (y[1] - y[1].mean(0)).square().sum()
    by_act = (-2 * (y[1] - out) / variance) @ trainee.W_dec["1_1"].T
    near = ((pre[1] - threshold[1]).abs() < BANDWIDTH / 2).float()
    l0 = (pre[1] > threshold[1]).sum() / len(pre[1])
    by_l0 = 2 * (l0 / 3 - 1) / 3 / len(pre[1])
    expected = -(near * (threshold[1] * by_act + by_l0)).sum(0) / BANDWIDTH * threshold[1]
    assert near.sum() > 5 and torch.allclose(mine, expected.detach(), rtol=1e-3, atol=1e-5)


def test_thresholds_begin_where_k_features_are_on():
    trainee, batch = made("jumprelu")
    reading = trainee.backward(batch, NONE_DEAD)
    assert isinstance(reading, StepReading)
    x = batch.x * trainee.x_scale[:, None, None]
    for n in (0, 1):
        pre = x[n] @ trainee.W_enc[n].T + trainee.b_enc[n]
        l0 = (pre > trainee.log_threshold[n].exp()).sum(1).float().mean()
        assert l0.item() == pytest.approx(3, abs=0.05)


def test_tokens_in_parts_give_the_same_gradients():
    found = []
    for chunk in (7, 1000):
        trainee, batch = made("topk")
        trainee._chunk = chunk
        reading = trainee.backward(batch, NONE_DEAD)
        found.append([*reading, *(p.grad for p in trainee.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5)
