"""What `graphs.py` measures on: models with their features, and prompts ready for their edges.

SmolLM2's features are random ReLU transcoders in circuit-tracer's format, with biases such that
some twenty fire at a position and layer.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen, freeze
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.nodes import ChosenFeatures, chosen, most_relevant, relevance
from tracer.engine.attribution.targets import Targets, salient
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.model.model import Model
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Silent
from tracer.hypothesis.spec import ModelSpec

TEXT = (
    "Fact: Austin is the capital of Texas, Sacramento of California, Tallahassee of Florida and "
    "Columbus of Ohio. The capital of the state containing Miami is Tallahassee. The capital of "
    "the state containing Dallas, a city known for its football team, is the city of"
)
WIDTH, FIRING = 4096, 20


class Task(NamedTuple):
    """A prompt that is frozen, with the features that its graph has: where both ways start."""

    model: Model
    basis: FeatureBasis
    frozen: Frozen
    chosen: ChosenFeatures
    targets: Targets
    picked: Tensor
    """The features' rows as a graph takes them: the most relevant first; all, in their order."""

    @property
    def graph(self) -> FrozenGraph:
        """What the sweep starts from."""
        return FrozenGraph(self.basis, self.frozen, self.chosen, self.targets)

    @property
    def n_targets(self) -> int:
        """Rows of the edges."""
        return self.chosen.n + len(self.targets.logits)


def open_model(name: str) -> Model:
    """A model on the CPU whose weights need no gradients."""
    weights = open_weights(ModelSpec(name=name, device="cpu"), Silent())
    weights.hf_model.requires_grad_(False)
    return Model(weights)


@contextmanager
def opened(name: str) -> Generator[tuple[Model, FeatureBasis]]:
    """A model with its features: Gemma's neurons, or random transcoders."""
    model = open_model(name)
    if name.startswith("gemma"):
        yield model, NeuronBasis(model)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_transcoders(Path(folder), model)
        yield model, open_basis(folder, model, Silent()).basis


def write_transcoders(folder: Path, model: Model) -> None:
    """Random ReLU transcoders in circuit-tracer's format, by what stands at the MLPs' inputs."""
    frozen = freeze(model, NeuronBasis(model), prompt(model, TEXT, 40))
    config = {"model_kind": "transcoder_set", "activation": "relu"}
    hooks = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "mlp.hook_out"}
    (folder / "config.yaml").write_text(json.dumps(config | hooks))
    random = torch.Generator().manual_seed(0)
    for layer, x in enumerate(frozen.inputs):
        d_model = x.shape[1]
        W_enc = torch.randn(WIDTH, d_model, generator=random) / d_model**0.5
        W_dec = torch.randn(WIDTH, d_model, generator=random) / d_model**0.5
        pre = (x[1:] @ W_enc.T).flatten()
        least = pre.kthvalue(round(len(pre) * (1 - FIRING / WIDTH))).values
        tensors = {"W_enc": W_enc, "W_dec": W_dec, "b_enc": -least.repeat(WIDTH)}
        tensors["b_dec"] = torch.randn(d_model, generator=random) / 10
        save_file(tensors, folder / f"layer_{layer}.safetensors")


def prompt(model: Model, text: str, n: int) -> Tensor:
    """The first tokens of a text."""
    encoded = model.tokenizer(text, add_special_tokens=True, return_offsets_mapping=False)
    ids = encoded["input_ids"][:n]
    assert len(ids) == n
    return torch.tensor(ids)


def toward(model: Model, frozen: Frozen) -> Targets:
    """What the graphs explain."""
    return salient(frozen, model.tokenizer)


def start(model: Model, basis: FeatureBasis, n_tokens: int, n_features: int | None) -> Task:
    """Freeze the prompt and choose the features; None keeps all that reach a target."""
    frozen = freeze(model, basis, prompt(model, TEXT, n_tokens))
    targets = toward(model, frozen)
    relevant = relevance(basis, frozen, targets)
    n = sum(map(len, relevant)) if n_features is None else n_features
    places = most_relevant(frozen, relevant, n)
    row = {place: row for row, place in enumerate(sorted(places))}
    picked = torch.tensor([row[place] for place in places])
    if n_features is None:
        picked = picked.sort().values
    return Task(model, basis, frozen, chosen(frozen, places), targets, picked)
