"""Layers of a cross-layer transcoder: a pair of files each, or Gemma Scope 2's one file each.

In the pairs, `W_dec_{i}` holds only the layers from i on; in Gemma Scope 2 all layers, of which
those before the feature's own are unused. Both store the skip matrix for `x @ W`.
"""

from __future__ import annotations

from pathlib import Path

from tracer.engine.features.activation import JumpReLU, ReLU
from tracer.engine.features.dictionary import LayerWeights
from tracer.engine.features.tensor_files import open_tensors, take, take_if_there

ENCODER, DECODER = "W_enc_", "W_dec_"


def decoder_file(encoder_file: Path) -> Path:
    """The decoder's file beside an encoder's."""
    return encoder_file.with_name(encoder_file.name.replace(ENCODER, DECODER))


def read_pair(encoder_file: Path, layer: int, n_layers: int) -> LayerWeights:
    """A layer of `n_layers`, from its encoder's file and the decoder's beside it.

    Raises:
        UsageError: A file or tensor is missing or has a wrong shape or type.
    """
    encoder, decoder = open_tensors(encoder_file), open_tensors(decoder_file(encoder_file))
    W_enc = take(encoder, f"W_enc_{layer}", (None, None))
    n_features, d_model = W_enc.shape
    threshold = take_if_there(encoder, f"threshold_{layer}", (n_features,))
    skip = take_if_there(encoder, f"W_skip_{layer}", (d_model, d_model))
    return LayerWeights(
        W_enc,
        take(encoder, f"b_enc_{layer}", (n_features,)),
        take(decoder, f"W_dec_{layer}", (n_features, n_layers - layer, d_model)),
        take(encoder, f"b_dec_{layer}", (d_model,)),
        ReLU() if threshold is None else JumpReLU(threshold),
        None if skip is None else skip.T,
    )


def read_gemma_scope_2(path: Path, layer: int, n_layers: int) -> LayerWeights:
    """A layer of `n_layers`, from Gemma Scope 2's file.

    Raises:
        UsageError: The file or a tensor is missing or has a wrong shape or type.
    """
    file = open_tensors(path)
    W_enc = take(file, "w_enc", (None, None)).T
    n_features, d_model = W_enc.shape
    skip = take_if_there(file, "affine_skip_connection", (d_model, d_model))
    return LayerWeights(
        W_enc,
        take(file, "b_enc", (n_features,)),
        take(file, "w_dec", (n_features, n_layers, d_model))[:, layer:],
        take(file, "b_dec", (d_model,)),
        JumpReLU(take(file, "threshold", (n_features,))),
        None if skip is None else skip.T,
    )
