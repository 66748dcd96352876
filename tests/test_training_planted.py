"""A model whose features are known: the trainer finds them again.

The self-test's models have neurons of a kind that fire together and write one direction: a planted
feature. A trained feature recovers it where their activations correlate by .9 over all tokens of
all sentences. Detectors are left out: each fires at one of 48 cities, where the other relation's
fires as well, so that a dictionary explains the same output by other groups of cities.
"""

import numpy as np
import pytest
import torch

from tests.opened import open_tiny
from tests.test_training import settings
from tracer.cli.selftest.planted import build
from tracer.cli.selftest.world import make_plan
from tracer.engine.corpus.windows import Windows
from tracer.engine.features.open import open_basis
from tracer.engine.model.sites import Site
from tracer.engine.progress import Silent
from tracer.engine.surroundings import environment
from tracer.engine.training import loop
from tracer.engine.training.activations import read_activations
from tracer.engine.training.loop import Rhythm, Training, run
from tracer.engine.training.train import TRAINEES
from tracer.record.training import TrainingRecord, TrainingText

STEPS, ALIKE = 200, 0.9


def correlation(features, signal):
    """Of every feature's activations `[token, feature]` with a signal by token."""
    features = features - features.mean(0)
    signal = signal - signal.mean()
    return (features.T @ signal) / (features.norm(dim=0) * signal.norm()).clamp_min(1e-9)


def planted_signals(planted, model):
    """By planted feature: its layer, and what its neurons write along their common direction."""
    hidden, found = {}, {}
    sites = [Site("mlp_hidden", layer) for layer in range(model.n_layers)]
    model.read(
        planted.sentences.ids,
        [(s, lambda x, s=s: hidden.update({s.layer: x[:, 1:].flatten(0, 1)})) for s in sites],
    )
    for role, places in planted.places.items():
        if role.part != "detector":
            (layer,) = {layer for layer, _ in places}
            index = torch.tensor([index for _, index in places])
            writes = model.W_out(layer)[index]
            found[role] = (layer, hidden[layer][:, index] @ (writes @ writes.sum(0)))
    return found


@pytest.mark.library
@pytest.mark.parametrize("kind", ["transcoders", "cross-layer"])
def test_planted_features_are_recovered(kind, tmp_path, monkeypatch):
    planted = build(make_plan(1, "two_hop"))
    planted.save(tmp_path / "model")
    model = open_tiny(tmp_path / "model")
    ids = planted.sentences.ids.numpy().astype(np.int32)
    windows = Windows(ids, 1, np.arange(len(ids)), ())
    layers = tuple(range(model.n_layers))
    own = settings(
        kind=kind,
        width=128,
        k=8,
        skip=False,
        layers=layers,
        windows=len(ids),
        tokens=STEPS * windows.n_tokens,
        learning_rate=3e-3,
    )
    text = TrainingText(names=(), what=(), tokens=windows.n_tokens, window=6, sha256="")
    record = TrainingRecord(
        model=model.record,
        text=text,
        settings=own,
        steps=STEPS,
        step=0,
        dead_after=own.tokens // 20,
        curve=(),
        environment=environment(1),
        seconds=0,
        peak_bytes=0,
    )
    trainee = TRAINEES[kind](own, model.record.d_model)
    activations = read_activations(model, ids, 1, layers)
    training = Training.begin(trainee, activations, record)
    # Each step reads all sentences, whose activations are the same every time.
    monkeypatch.setattr(loop, "read_activations", lambda *args: activations)
    folder = tmp_path / "set"
    folder.mkdir()
    run(training, model, windows, folder, Rhythm(STEPS, STEPS), Silent())
    basis = open_basis(str(folder), model, Silent()).basis
    acts = {layer: basis.encode(layer, activations.x[layer]) for layer in layers}
    alike = [
        float(correlation(acts[layer], signal).max())
        for layer, signal in planted_signals(planted, model).values()
    ]
    score = np.mean(np.array(alike) >= ALIKE)
    assert len(alike) == 52 and score >= 0.9
