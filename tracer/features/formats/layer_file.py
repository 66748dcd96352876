"""One layer's transcoder in one file, whichever of the three ways its tensors are called.

circuit-tracer stores the encoder by features and a skip matrix that multiplies from the left;
Gemma Scope (npz) and Gemma Scope 2 (lower-case names) store both the other way round.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tracer.errors import UsageError
from tracer.features.activations import Activation, JumpReLU, ReLU, TopK
from tracer.features.dictionary import LayerWeights
from tracer.features.tensor_file import TensorFile, open_tensors, take, take_count, take_if_there

THRESHOLD = "activation_function.threshold"


def read_layer_file(path: Path, activation: str | None, k: int | None) -> LayerWeights:
    """A layer, its activation being what `activation` says or, with None, what the file shows.

    A threshold makes it JumpReLU, a stored `k` TopK, and neither ReLU.

    Args:
        path: A `.safetensors` or `.npz` file.
        activation: `relu`, `jump_relu`, `topk` or None.
        k: For TopK, where the file does not have it.

    Raises:
        UsageError: Tensors are missing or of a wrong shape or type, or contradict `activation`.
    """
    file = open_tensors(path)
    if file.has("w_enc"):
        return _gemma_scope_2(file, activation)
    if path.suffix == ".npz":
        return _gemma_scope(file, activation)
    return _circuit_tracer(file, activation, k)


def layer_weights(
    file: TensorFile, W_enc: Tensor, W_dec: str, activation: Activation, W_skip: Tensor | None
) -> LayerWeights:
    """Put a per-layer transcoder together, `W_enc` by features; the decoder has one target.

    Raises:
        UsageError: Decoder or biases do not fit the encoder.
    """
    n_features, d_model = W_enc.shape
    return LayerWeights(
        W_enc,
        take(file, "b_enc", (n_features,)),
        take(file, W_dec, (n_features, d_model))[:, None],
        take(file, "b_dec", (d_model,)),
        activation,
        W_skip,
    )


def _circuit_tracer(file: TensorFile, activation: str | None, k: int | None) -> LayerWeights:
    W_enc = take(file, "W_enc", (None, None))
    n_features, d_model = W_enc.shape
    W_skip = take_if_there(file, "W_skip", (d_model, d_model))
    threshold = take_if_there(file, THRESHOLD, (n_features,))
    act = choose_activation(file, activation, threshold, _count(file, k), n_features)
    return layer_weights(file, W_enc, "W_dec", act, W_skip)


def _gemma_scope(file: TensorFile, activation: str | None) -> LayerWeights:
    W_enc = take(file, "W_enc", (None, None)).T
    threshold = take(file, "threshold", (len(W_enc),))
    act = choose_activation(file, activation, threshold, None, len(W_enc))
    return layer_weights(file, W_enc, "W_dec", act, None)


def _gemma_scope_2(file: TensorFile, activation: str | None) -> LayerWeights:
    W_enc = take(file, "w_enc", (None, None)).T
    n_features, d_model = W_enc.shape
    threshold = take(file, "threshold", (n_features,))
    skip = take_if_there(file, "affine_skip_connection", (d_model, d_model))
    act = choose_activation(file, activation, threshold, None, n_features)
    return layer_weights(file, W_enc, "w_dec", act, None if skip is None else skip.T)


def choose_activation(
    file: TensorFile,
    asked: str | None,
    threshold: Tensor | None,
    k: int | None,
    n_features: int,
) -> Activation:
    """The activation function that configuration and file agree on.

    Raises:
        UsageError: They contradict each other, or TopK has no usable k.
    """
    if asked is None:
        asked = "jump_relu" if threshold is not None else "topk" if k is not None else "relu"
    if (asked == "jump_relu") != (threshold is not None):
        has = "has no threshold" if threshold is None else "has a threshold"
        raise UsageError(f"{file.path} {has}, but the configuration says activation: {asked}.")
    if threshold is not None:
        return JumpReLU(threshold)
    if asked == "relu":
        return ReLU()
    if k is None or not 1 <= k <= n_features:
        raise UsageError(f"{file.path}: TopK needs a k from 1 to {n_features}; found {k}.")
    return TopK(k)


def _count(file: TensorFile, k: int | None) -> int | None:
    stored = take_count(file, "k")
    if None not in (stored, k) and stored != k:
        raise UsageError(f"{file.path}: k is {stored} here and {k} in the configuration.")
    return k if stored is None else stored
