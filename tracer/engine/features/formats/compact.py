"""A dictionary written with int8 weights: circuit-tracer's files, a quarter of float32's size.

A row of the encoder, the decoder (one for each target) or the skip matrix becomes whole numbers
from -127 to 127, `W.int8`, and one factor, `W.scale` = max |row| / 127, so that each weight is off
by half a factor at most. Biases and thresholds stay as they are. The names differ from those of
floating-point weights, so that a reader who knows nothing of factors finds no weights.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int8
from safetensors.torch import save_file
from torch import Tensor

from tracer.engine.features.basis import JumpReLU, ReLU, TopK
from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.circuit_tracer import CONFIG, DECODER, ENCODER
from tracer.engine.features.formats.format import INPUTS, OUTPUTS, THRESHOLD
from tracer.engine.features.layer_weights import AT_ONCE, LayerWeights, read_encoder
from tracer.engine.features.tensor_files import codes_key, scale_key
from tracer.engine.progress import Progress
from tracer.errors import UsageError
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.training import FILE as TRAINING

LARGEST = 127


def write_compact(dictionary: Dictionary, folder: Path, progress: Progress) -> Path:
    """Write a dictionary into a new folder, layer by layer; the folder appears when it is whole.

    Raises:
        UsageError: The folder is there already, or the dictionary is one that the format has no
            place for.
    """
    if folder.exists():
        raise UsageError(f"{folder} is there already; name a folder that is not.")
    config = _config(dictionary)
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (begun / CONFIG).write_text(to_yaml(config), encoding="utf-8")
        write = _write_layer if dictionary.kind == "transcoders" else _write_pair
        with progress.task("writing int8 weights, layers", dictionary.n_layers) as advance:
            for layer, weights in enumerate(dictionary.layers):
                write(begun, layer, weights)
                advance(1)
        _take_along(dictionary.files, begun)
        begun.chmod(0o755)
        begun.rename(folder)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    return folder


def _take_along(files: Sequence[Path], folder: Path) -> None:
    """The training record, which lies in the folder that all of the set is in."""
    record = Path(os.path.commonpath([path.parent for path in files])) / TRAINING
    if record.is_file():
        shutil.copyfile(record, folder / TRAINING)


def _config(dictionary: Dictionary) -> dict[str, Any]:
    kind = "transcoder_set" if dictionary.kind == "transcoders" else "cross_layer_transcoder"
    config: dict[str, Any] = {
        "model_kind": kind,
        "feature_input_hook": _hook(INPUTS, dictionary.reads),
        "feature_output_hook": _hook(OUTPUTS, dictionary.writes),
    }
    if any(weights.gated_by_norm for weights in dictionary.layers):
        raise UsageError(
            f"{dictionary.name}: the norms of its decoder decide which features are on, and the "
            "format of int8 weights has no place to say so."
        )
    activations = {_activation(weights) for weights in dictionary.layers}
    if len(activations) > 1:
        raise UsageError(f"{dictionary.name}: its layers have different activation functions.")
    return config | dict(activations.pop())


def _hook(names: Mapping[str, str], kind: str) -> str:
    return next(name for name, known in names.items() if known == kind)


def _activation(weights: LayerWeights) -> tuple[tuple[str, Any], ...]:
    match weights.activation:
        case JumpReLU():
            return (("activation", "jump_relu"),)
        case ReLU():
            return (("activation", "relu"),)
        case TopK(k, clipped):
            return (("activation", "topk"), ("k", k), ("topk_after_relu", clipped))


def _write_layer(folder: Path, layer: int, weights: LayerWeights) -> None:
    tensors = _encoder(weights, "W_enc") | _quantised("W_dec", _rows(weights, 0))
    tensors |= {"b_enc": _bias(weights), "b_dec": weights.b_dec}
    if isinstance(weights.activation, JumpReLU):
        tensors[THRESHOLD] = weights.activation.threshold
    if (skip := weights.skip()) is not None:
        tensors |= _quantised("W_skip", skip)
    _save(tensors, folder / f"layer_{layer}.safetensors")


def _write_pair(folder: Path, layer: int, weights: LayerWeights) -> None:
    """As circuit-tracer names them; the skip matrix is stored for `x @ W`."""
    tensors = _encoder(weights, f"W_enc_{layer}")
    tensors |= {f"b_enc_{layer}": _bias(weights), f"b_dec_{layer}": weights.b_dec}
    if isinstance(weights.activation, JumpReLU):
        tensors[f"threshold_{layer}"] = weights.activation.threshold
    if (skip := weights.skip()) is not None:
        tensors |= _quantised(f"W_skip_{layer}", skip.T)
    _save(tensors, folder / f"{ENCODER}{layer}.safetensors")
    name = f"W_dec_{layer}"
    targets = [_quantised(name, _rows(weights, to)) for to in range(weights.W_dec.shape[1])]
    decoder = {key: torch.stack([each[key] for each in targets], 1) for key in targets[0]}
    _save(decoder, folder / f"{DECODER}{layer}.safetensors")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)


def _encoder(weights: LayerWeights, name: str) -> dict[str, Tensor]:
    return _quantised(name, read_encoder(weights, None).rows(torch.float32))


def _bias(weights: LayerWeights) -> Float[Tensor, " feature"]:
    """The encoder's, a centre taken into it."""
    return read_encoder(weights, None).b


def _rows(weights: LayerWeights, target: int) -> Float[Tensor, "feature d_model"]:
    return weights.decoder(torch.arange(len(weights.b_enc)), target)


def _quantised(name: str, rows: Float[Tensor, "row d_model"]) -> dict[str, Tensor]:
    """Whole numbers and factors of a weight, under their names; a row of zeros has the factor 0."""
    scale = rows.abs().amax(-1).float() / LARGEST
    some = zip(rows.split(AT_ONCE), scale.split(AT_ONCE), strict=True)
    codes = torch.cat([_codes(part, factor) for part, factor in some])
    return {codes_key(name): codes, scale_key(name): scale}


def _codes(
    rows: Float[Tensor, "row d_model"], scale: Float[Tensor, " row"]
) -> Int8[Tensor, "row d_model"]:
    divisor = torch.where(scale == 0, 1, scale)[:, None]
    return (rows.float() / divisor).round().clamp(-LARGEST, LARGEST).to(torch.int8)
