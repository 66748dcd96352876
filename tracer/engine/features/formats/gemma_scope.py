"""Gemma Scope 2 as published: a folder per layer, with `config.json` and `params.safetensors`.

The same tensors also come as autoencoders of other places, so the configuration must say that they
read the MLP's input and write its output. The first Gemma Scope (`params.npz`) says nothing of the
kind; it is read where circuit-tracer's `config.yaml` names its files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.format import (
    Fetch,
    Format,
    Settings,
    StatedActivation,
    in_order,
    parse_settings,
    read_json,
    read_layer_file,
)
from tracer.engine.model.sites import SiteKind
from tracer.errors import UsageError

CONFIG, WEIGHTS = "config.json", "params.safetensors"
_POINT = re.compile(r"(?:.*\.)?layers\.([0-9]{1,4})\.(.+)")
_READS: Mapping[str, SiteKind] = {"pre_feedforward_layernorm.output": "mlp_in"}
_WRITES: Mapping[str, SiteKind] = {"post_feedforward_layernorm.output": "mlp_resid"}


class GemmaScopeConfig(Settings):
    """Where a layer's transcoder reads and writes."""

    hf_hook_point_in: str
    hf_hook_point_out: str


def _layer_folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{WEIGHTS}"))


def _read(folder: Path, name: str, _fetch: Fetch) -> Dictionary:
    folders: dict[int, Path] = {}
    for part in _layer_folders(folder):
        layer = _layer(part / CONFIG)
        if layer in folders:
            raise UsageError(
                f"{folder}: layer {layer} is there twice, in {folders[layer].name} and "
                f"{part.name}; keep one width and sparsity per folder."
            )
        folders[layer] = part
    parts = in_order(folder, folders)
    layers = tuple(read_layer_file(part / WEIGHTS, StatedActivation()) for part in parts)
    files = [part / file for part in parts for file in (CONFIG, WEIGHTS)]
    return Dictionary(name, "transcoders", "mlp_in", "mlp_resid", layers, tuple(files))


def _layer(path: Path) -> int:
    config = parse_settings(path, GemmaScopeConfig, read_json(path))
    read_at = _place(path, "hf_hook_point_in", config.hf_hook_point_in, _READS)
    written_at = _place(path, "hf_hook_point_out", config.hf_hook_point_out, _WRITES)
    if read_at != written_at:
        raise UsageError(f"{path}: it reads layer {read_at} and writes layer {written_at}.")
    return read_at


def _place(path: Path, key: str, point: str, allowed: Mapping[str, SiteKind]) -> int:
    found = _POINT.fullmatch(point)
    if found is None or found[2] not in allowed:
        raise UsageError(
            f"{path}: {key} is {point[:80]!r}; a transcoder of an MLP has …layers.N.{min(allowed)}."
        )
    return int(found[1])


FORMAT = Format(
    name="Gemma Scope 2",
    marker=f"subfolders with {WEIGHTS}",
    is_here=lambda folder: bool(_layer_folders(folder)),
    read=_read,
)
