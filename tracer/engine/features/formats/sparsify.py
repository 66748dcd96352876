"""eai-sparsify's transcoders: a folder for each MLP, with `cfg.json` and `sae.safetensors`.

A folder is named after the module: `layers.3.mlp`, `h.3.mlp`. A transcoder reads what enters the
module and writes what leaves it, before any norm that follows. The k largest are taken after a
ReLU. Files that say `transcode: true` encode x; earlier ones, told by their skip connection alone,
encode x - b_dec, as autoencoders do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.format import (
    Fetch,
    Format,
    Settings,
    StatedActivation,
    choose_activation,
    in_order,
    parse_settings,
    read_json,
)
from tracer.engine.features.layer_weights import LayerWeights
from tracer.engine.features.tensor_files import open_tensors, take
from tracer.errors import UsageError

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
_MODULE = re.compile(r"(?:\w+\.)*(?:layers|h)\.(0|[1-9][0-9]{0,3})\.mlp")


class SparsifyConfig(Settings):
    """The keys of `cfg.json` that decide how the weights are used."""

    d_in: int = Field(ge=1)
    k: int = Field(ge=1)
    activation: Literal["topk"] = "topk"
    signed: Literal[False] = False
    """Whether the k largest by absolute value are taken; an early choice, not read."""
    skip_connection: bool = False
    transcode: bool = False


def _layer_folders(folder: Path) -> list[Path]:
    """The folder itself where it holds a layer, otherwise its subfolders that do."""
    if (folder / WEIGHTS).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{WEIGHTS}"))


def _read(folder: Path, name: str, _fetch: Fetch) -> Dictionary:
    parts: dict[int, Path] = {}
    for part in _layer_folders(folder):
        layer = _layer(part)
        if layer in parts:
            raise UsageError(
                f"{folder}: layer {layer} is there twice, in {parts[layer].name} and {part.name}."
            )
        parts[layer] = part
    ordered = in_order(folder, parts)
    layers = tuple(_weights(part) for part in ordered)
    files = tuple(part / file for part in ordered for file in (CONFIG, WEIGHTS))
    return Dictionary(name, "transcoders", "mlp_in", "mlp_out", layers, files)


def _layer(part: Path) -> int:
    found = _MODULE.fullmatch(part.name)
    if found is None:
        raise UsageError(
            f"{part}: its name is that of the module it was trained on; only MLPs are read "
            "(layers.N.mlp or h.N.mlp)."
        )
    return int(found[1])


def _weights(part: Path) -> LayerWeights:
    path = part / CONFIG
    config = parse_settings(path, SparsifyConfig, read_json(path))
    if not (config.transcode or config.skip_connection):
        raise UsageError(
            f"{path}: this is an autoencoder; only transcoders are read (transcode: true, or a "
            "skip_connection)."
        )
    file, d_in = open_tensors(part / WEIGHTS), config.d_in
    W_enc = take(file, "encoder.weight", (None, d_in))
    n_features = len(W_enc)
    b_dec = take(file, "b_dec", (d_in,))
    return LayerWeights(
        W_enc=W_enc,
        b_enc=take(file, "encoder.bias", (n_features,)),
        W_dec=take(file, "W_dec", (n_features, d_in))[:, None],
        b_dec=b_dec,
        activation=choose_activation(
            file, StatedActivation("topk", config.k, clipped=True), None, n_features
        ),
        W_skip=take(file, "W_skip", (d_in, d_in)) if config.skip_connection else None,
        centre=None if config.transcode else b_dec,
    )


FORMAT = Format(
    name="sparsify",
    marker=f"subfolders with {WEIGHTS}",
    is_here=lambda folder: bool(_layer_folders(folder)),
    read=_read,
    nested_patterns=tuple(
        f"{name}.*.mlp/{file}" for name in ("layers", "h") for file in (CONFIG, WEIGHTS)
    ),
)
