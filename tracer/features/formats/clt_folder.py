"""Cross-layer transcoders: a pair of files per layer, or Gemma Scope 2's one file per layer.

In the pairs, `W_dec_{i}` holds only the layers from i on; in Gemma Scope 2 all layers, of which
those before the feature's own are unused. Both store the skip matrix for `x @ W`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracer.features.activations import JumpReLU, ReLU
from tracer.features.dictionary import LayerWeights
from tracer.features.formats.numbered import numbered_files
from tracer.features.tensor_file import open_tensors, take, take_if_there


def encoder_files(folder: Path) -> list[Path]:
    """The encoders' files, one per layer.

    Raises:
        UsageError: One is missing.
    """
    return numbered_files(folder, "W_enc_")


def decoder_file(encoder_file: Path) -> Path:
    """The decoder's file beside an encoder's."""
    return encoder_file.with_name(encoder_file.name.replace("W_enc_", "W_dec_"))


def read_pair(encoder_file: Path, layer: int, n_layers: int) -> LayerWeights:
    """A layer of a cross-layer transcoder of `n_layers`.

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


def read_gemma_scope_2(paths: Sequence[Path]) -> tuple[LayerWeights, ...]:
    """Gemma Scope 2's files, the first being layer 0's.

    Raises:
        UsageError: A file or tensor is missing or has a wrong shape or type.
    """
    return tuple(_read_one(path, layer, len(paths)) for layer, path in enumerate(paths))


def _read_one(path: Path, layer: int, n_layers: int) -> LayerWeights:
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
