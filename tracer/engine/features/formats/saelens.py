"""SAELens's transcoders: `cfg.json` and `sae_weights.safetensors`, for each layer in a folder.

Older versions keep the hook points beside the other keys, newer ones under `metadata`. JumpReLU
is there a ReLU as well, so that a threshold below 0 counts as 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats.format import (
    INPUTS,
    OUTPUTS,
    Fetch,
    Format,
    Settings,
    StatedActivation,
    choose_activation,
    in_layer,
    in_order,
    layer_weights,
    parse_settings,
    read_json,
    site_kind,
)
from tracer.engine.features.layer_weights import LayerWeights
from tracer.engine.features.tensor_files import open_tensors, take
from tracer.engine.model.sites import SiteKind
from tracer.errors import UsageError

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"


class Hooks(Settings):
    """Where a transcoder reads and writes."""

    hook_name: str
    hook_name_out: str


class SaelensConfig(Settings):
    """The keys of `cfg.json` that decide how the weights are used."""

    architecture: Literal[
        "transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"
    ]
    d_in: int = Field(ge=1)
    d_sae: int = Field(ge=1)
    d_out: int = Field(ge=1)
    """Must equal `d_in`, which the decoder's shape is checked against."""
    normalize_activations: Literal["none"] | None = None
    reshape_activations: Literal["none"] | None = None
    activation_fn: Literal["relu"] | None = None


def _layer_folders(folder: Path) -> list[Path]:
    """The folder itself where it holds a layer, otherwise its subfolders that do."""
    if (folder / CONFIG).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))


def _read(folder: Path, name: str, _fetch: Fetch) -> Dictionary:
    places: set[tuple[SiteKind, SiteKind]] = set()
    layers: dict[int, LayerWeights] = {}
    files: list[Path] = []
    for part in _layer_folders(folder):
        path = part / CONFIG
        data = read_json(path)
        layer, reads, writes = _place(path, data)
        if layer in layers:
            raise UsageError(f"{folder}: layer {layer} is there twice, the second in {part.name}.")
        layers[layer] = _weights(part / WEIGHTS, parse_settings(path, SaelensConfig, data))
        places.add((reads, writes))
        files += [path, part / WEIGHTS]
    if len(places) > 1:
        raise UsageError(f"{folder}: its layers do not all read and write at the same places.")
    (reads, writes) = places.pop()
    ordered = in_order(folder, layers)
    return Dictionary(name, "transcoders", reads, writes, ordered, tuple(files))


def _place(path: Path, data: dict[str, Any]) -> tuple[int, SiteKind, SiteKind]:
    """The layer a transcoder belongs to, and the kinds of site where it reads and writes."""
    within = data.get("metadata")
    hooks = parse_settings(path, Hooks, within if isinstance(within, dict) else data)
    read_layer, read_at = in_layer(path, "hook_name", hooks.hook_name)
    written_layer, written_at = in_layer(path, "hook_name_out", hooks.hook_name_out)
    if read_layer != written_layer:
        raise UsageError(f"{path}: it reads layer {read_layer} and writes layer {written_layer}.")
    return (
        read_layer,
        site_kind(path, "hook_name", read_at, INPUTS),
        site_kind(path, "hook_name_out", written_at, OUTPUTS),
    )


def _weights(path: Path, config: SaelensConfig) -> LayerWeights:
    file = open_tensors(path)
    jumps, skips = "jumprelu" in config.architecture, "skip" in config.architecture
    threshold = take(file, "threshold", (config.d_sae,)).clamp(min=0) if jumps else None
    return layer_weights(
        file,
        take(file, "W_enc", (config.d_in, config.d_sae)).T,
        "W_dec",
        choose_activation(file, StatedActivation(), threshold, config.d_sae),
        take(file, "W_skip", (config.d_out, config.d_in)) if skips else None,
    )


FORMAT = Format(
    name="SAELens",
    marker=CONFIG,
    is_here=lambda folder: bool(_layer_folders(folder)),
    read=_read,
    hub_patterns=(CONFIG, WEIGHTS),
)
