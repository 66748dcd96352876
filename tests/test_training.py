"""Training dictionaries: what is written is what was trained, and stopping changes nothing."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import MambaConfig

from tests.opened import open_tiny
from tests.tiny_models import TEXT, save, tiny_tokenizer
from tracer.engine.corpus.sampled import WHAT
from tracer.engine.corpus.windows import Windows
from tracer.engine.model.sites import Site
from tracer.engine.progress import Silent
from tracer.engine.training import checkpoint, loop
from tracer.engine.training.activations import batches, read_activations, windows_of_step
from tracer.engine.training.checkpoint import STATE, read_state
from tracer.engine.training.optimiser import rate_factor
from tracer.engine.training.train import TrainingRequest, train
from tracer.engine.training.trainee import Activations, auxk_loss, scales
from tracer.engine.training.transcoders import Transcoders, sparsify
from tracer.errors import EngineError, ModelUnavailable, UsageError
from tracer.hypothesis.spec import ModelSpec
from tracer.record.training import TrainingSettings, read_training

TOKENS = 6000


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT * 60)
    return path


@pytest.fixture
def asked(tiny, text, tmp_path):
    return TrainingRequest(
        model=ModelSpec(name=str(tiny), device="cpu"),
        texts=[str(text)],
        folder=tmp_path / "set",
        kind="transcoders",
        width=48,
        activation="topk",
        k=4,
        skip=True,
        layers=None,
        tokens=TOKENS,
        learning_rate=None,
        seed=3,
        checkpoint_tokens=1500,
    )


def trained(asked):
    return train(asked, lambda plan, record: True, Silent())


def test_a_model_without_mlps_is_refused_by_what_it_lacks(asked, tmp_path):
    sizes = {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "intermediate_size": 64}
    tokenizer = tiny_tokenizer()
    mamba = save(MambaConfig(vocab_size=len(tokenizer), **sizes), tokenizer, tmp_path / "mamba")
    model = ModelSpec(name=str(mamba), device="cpu")
    with pytest.raises(ModelUnavailable, match=r"needs mlp_in, mlp_out.*MambaForCausalLM"):
        trained(asked._replace(model=model))
    assert not asked.folder.exists()


def settings(**changed):
    usual = {
        "kind": "transcoders",
        "width": 24,
        "activation": "topk",
        "k": 3,
        "skip": True,
        "layers": (0, 1),
        "tokens": 1000,
        "windows": 4,
        "learning_rate": 1e-2,
        "seed": 0,
    }
    return TrainingSettings.model_validate({**usual, **changed})


def contents(folder: Path):
    files = [path for path in folder.rglob("*") if path.is_file()]
    own = {p.relative_to(folder): p.read_bytes() for p in files if "training" not in p.name}
    record = json.loads((folder / "training.json").read_text())
    return own, {k: v for k, v in record.items() if k not in ("seconds", "peak_bytes")}


def random_activations(d=16, tokens=40):
    generator = torch.Generator().manual_seed(5)
    x = 3 + 7 * torch.randn(2, tokens, d, generator=generator)
    return Activations(x, 0.01 * torch.randn(2, tokens, d, generator=generator) - 0.02)


def test_what_is_written_gives_the_output_that_was_trained(asked):
    record = trained(asked)
    assert record.is_finished and record == read_training(asked.folder)
    model = open_tiny(Path(asked.model.name))
    ids = torch.arange(20)[None]
    seen = {}
    sites = [Site(kind, layer) for kind in ("mlp_in", "mlp_out") for layer in (0, 1)]
    model.read(ids, [(site, lambda x, s=site: seen.__setitem__(s, x[0])) for site in sites])
    for layer in (0, 1):
        coder = sparsify().SparseCoder.load_from_disk(asked.folder / f"layers.{layer}.mlp")
        x, y = seen[Site("mlp_in", layer)], seen[Site("mlp_out", layer)]
        out = coder(x, y)
        weights = load_file(asked.folder / f"layers.{layer}.mlp" / "sae.safetensors")
        acts = (x @ weights["encoder.weight"].T + weights["encoder.bias"]).relu()
        acts[acts < acts.topk(4).values[:, -1:]] = 0
        own = acts @ weights["W_dec"] + weights["b_dec"] + x @ weights["W_skip"].T
        assert torch.allclose(own, out.sae_out, atol=1e-5)
    first, last = record.curve[0], record.curve[-1]
    assert max(last.fvu) < 0.5 * min(first.fvu)


@pytest.mark.parametrize(
    ("kind", "activation"), [("transcoders", "topk"), ("cross-layer", "jumprelu")]
)
def test_a_training_that_was_stopped_ends_with_the_same_bytes(
    kind, activation, asked, monkeypatch, tmp_path
):
    asked = asked._replace(kind=kind, activation=activation)
    whole = asked._replace(folder=tmp_path / "whole", checkpoint_tokens=10**6)
    trained(whole)
    stopped = Stopping(monkeypatch, at=6)
    with pytest.raises(KeyboardInterrupt):
        trained(asked)
    begun = read_state(asked.folder).record
    assert 0 < begun.step < begun.steps and not read_training(asked.folder).is_finished
    stopped.goes_on()
    trained(asked)
    assert contents(asked.folder) == contents(whole.folder) and contents(asked.folder)[0]
    assert not (asked.folder / STATE).exists()


class Stopping:
    """Steps that stop before one of them, as a kill would."""

    def __init__(self, monkeypatch, at):
        self.at, self.taken = at, 0
        own = loop.read_activations

        def read(*args):
            self.taken += 1
            if self.taken == self.at:
                raise KeyboardInterrupt
            return own(*args)

        monkeypatch.setattr(loop, "read_activations", read)

    def goes_on(self):
        self.at = -1


def test_gradients_and_losses_are_those_of_sparsify():
    batch = random_activations()
    trainee = Transcoders(settings(), 16)
    trainee.begin(batch)
    for coder in trainee.coders:
        torch.nn.init.normal_(coder.W_dec)
    reading = trainee.backward(batch, torch.zeros(2, 24, dtype=torch.bool))
    sx, sy = scales(batch.x), scales(batch.y)
    for n, coder in enumerate(trainee.coders):
        mine = {name: p.grad.clone() for name, p in coder.named_parameters()}
        coder.zero_grad()
        out = coder(batch.x[n] * sx[n], batch.y[n] * sy[n])
        out.fvu.backward()
        assert torch.allclose(out.fvu, reading.fvu[n])
        for name, parameter in coder.named_parameters():
            assert torch.allclose(parameter.grad, mine[name], atol=1e-6), name


def test_tokens_in_parts_give_the_same_gradients():
    batch = random_activations()
    dead = torch.zeros(2, 24, dtype=torch.bool)
    dead[:, ::2] = True
    found = []
    for chunk in (7, 1000):
        trainee = Transcoders(settings(), 16)
        trainee.begin(batch)
        trainee._chunk = chunk
        reading = trainee.backward(batch, dead)
        found.append([*reading, *(p.grad for p in trainee.parameters())])
    for one, other in zip(*found, strict=True):
        assert (
            torch.allclose(one, other, atol=1e-6)
            if one.is_floating_point()
            else (one == other).all()
        )


def test_the_loss_of_dead_features_is_sparsifys_and_moves_their_encoder():
    batch = random_activations()
    coder = Transcoders(settings(width=64), 16).coders[0]
    torch.nn.init.normal_(coder.W_dec)
    x, y = batch.x[0], batch.y[0]
    dead = torch.zeros(64, dtype=torch.bool)
    for some in (slice(0, 5), slice(0, 30)):
        dead[some] = True
        out = coder(x, y, dead_mask=dead)
        weights = (coder.encoder.weight, coder.encoder.bias, coder.W_dec)
        mine = auxk_loss(x, y - out.sae_out, dead.nonzero()[:, 0], *weights)
        variance = (y - y.mean(0)).square().sum()
        assert torch.allclose(mine / variance, out.auxk_loss, rtol=1e-4)
    coder.zero_grad()
    mine.backward()
    moved = coder.encoder.weight.grad.abs().sum(1) > 0
    assert moved[dead].any() and not moved[~dead].any()


def test_only_tokens_behind_the_special_ones_are_learned_from(tiny):
    model = open_tiny(tiny)
    ids = np.array([[2, 7, 8, 9], [2, 9, 8, 7]], np.int32)
    seen = {}
    model.read(torch.tensor(ids).long(), [(Site("mlp_out", 1), lambda y: seen.update(y=y))])
    found = read_activations(model, ids, 1, [1])
    assert found.x.shape == (1, 6, 32)
    assert torch.equal(found.y[0], seen["y"][:, 1:].reshape(6, 32))


def test_every_window_is_read_once_before_any_is_read_twice():
    numbered = Windows(np.arange(10)[:, None], 0, np.arange(10), ())
    order = list(np.concatenate([*batches(numbered, 4, 1, range(5))]).ravel())
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]
    assert order[8:] == list(np.concatenate([*batches(numbered, 4, 1, range(2, 5))]).ravel())


def test_steps_are_bounded_in_number_and_memory():
    assert windows_of_step(3_000_000, 128, 640, 18) == 8
    assert windows_of_step(1000, 128, 640, 18) == 4
    assert windows_of_step(10**9, 128, 640, 18) == 64
    assert windows_of_step(10**9, 128, 4096, 32) == 8


def test_the_learning_rate_rises_stays_and_falls():
    factors = [rate_factor(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.2) and factors[5:50] == [1.0] * 45
    assert factors[75] == pytest.approx(0.5) and factors[-1] == pytest.approx(0.02)
    assert 0 < rate_factor(0, 1) <= 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"k": 5}, "--k was 4, is 5"),
        ({"skip": False}, "--skip was on, is off"),
        ({"layers": [1]}, r"--layers was 0 to 1 \(2 layers\), is 1 to 1"),
        ({"learning_rate": 0.5}, "--learning-rate was 0.0131, is 0.5"),
    ],
)
def test_other_settings_are_refused_and_nothing_is_lost(asked, changed, sentence, monkeypatch):
    Stopping(monkeypatch, at=6)
    with pytest.raises(KeyboardInterrupt):
        trained(asked)
    before = contents(asked.folder)
    with pytest.raises(UsageError, match=f"other settings.*{sentence}"):
        trained(asked._replace(**changed))
    assert contents(asked.folder) == before and (asked.folder / STATE).exists()


def test_a_loss_that_is_no_number_stops_it_and_the_checkpoint_stands(asked, monkeypatch):
    own, taken = loop.read_activations, []

    def read(*args):
        taken.append(own(*args))
        return taken[-1]._replace(y=taken[-1].y * math.nan) if len(taken) == 6 else taken[-1]

    monkeypatch.setattr(loop, "read_activations", read)
    with pytest.raises(EngineError, match=r"step 6 of 12: the loss is nan.*after step 3 .*kept"):
        trained(asked)
    assert read_state(asked.folder).record.step == 3
    assert all(bool(w.isfinite().all()) for w in load_file(asked.folder / STATE).values())


def test_a_full_disk_leaves_the_checkpoint_before(asked, monkeypatch):
    own, written = checkpoint.save_file, []

    def save(tensors, path, about):
        written.append(path)
        if len(written) > 3:
            Path(path).write_bytes(b"some of it")
            raise OSError(28, "No space left on device", str(path))
        own(tensors, path, about)

    monkeypatch.setattr(checkpoint, "save_file", save)
    with pytest.raises(OSError, match="No space left"):
        trained(asked)
    assert read_state(asked.folder).record.step == 3
    assert not list(asked.folder.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"k": 49}, "--k 49 is over the width, 48"),
        ({"layers": [0, 2]}, "--layers: 2 is no layer of .*, whose layers are 0 to 1"),
        ({"texts": ["no-such-text"]}, "neither a file or folder"),
    ],
)
def test_settings_that_cannot_be_are_told(asked, changed, sentence):
    with pytest.raises(UsageError, match=sentence):
        trained(asked._replace(**changed))
    assert not asked.folder.exists()


def test_a_text_shorter_than_a_window_is_told(asked, tmp_path):
    (tmp_path / "short.txt").write_text("the capital of Texas")
    with pytest.raises(UsageError, match="one window takes 127"):
        trained(asked._replace(texts=[str(tmp_path / "short.txt")]))


def test_a_folder_that_holds_something_else_is_left_alone(asked):
    asked.folder.mkdir()
    (asked.folder / "config.yaml").write_text("model_kind: transcoder_set")
    with pytest.raises(UsageError, match=r"holds config\.yaml and no training"):
        trained(asked)
    assert [path.name for path in asked.folder.iterdir()] == ["config.yaml"]


def test_the_text_may_be_the_models_own(asked):
    record = trained(asked._replace(texts=["model"], tokens=600))
    assert record.is_finished and record.text.names == ("model",)
    assert record.text.what == (WHAT,) and record.text.tokens >= 600
    with pytest.raises(UsageError, match="is a text alone"):
        trained(asked._replace(texts=["model", *asked.texts]))
