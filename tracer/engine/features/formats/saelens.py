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
    Fetch,
    Format,
    LayerSites,
    Settings,
    StatedActivation,
    choose_activation,
    in_order_of_sites,
    layer_sites,
    layer_weights,
    parse_settings,
    read_json,
)
from tracer.engine.features.layer_weights import LayerWeights
from tracer.engine.features.tensor_files import open_tensors, take

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
    configs = {part: read_json(part / CONFIG) for part in _layer_folders(folder)}
    sites = ((_sites(part / CONFIG, data), part) for part, data in configs.items())
    parts, reads, writes = in_order_of_sites(folder, sites)
    layers = tuple(
        _weights(part / WEIGHTS, parse_settings(part / CONFIG, SaelensConfig, configs[part]))
        for part in parts
    )
    files = tuple(part / file for part in configs for file in (CONFIG, WEIGHTS))
    return Dictionary(name, "transcoders", reads, writes, layers, files)


def _sites(path: Path, data: dict[str, Any]) -> LayerSites:
    within = data.get("metadata")
    hooks = parse_settings(path, Hooks, within if isinstance(within, dict) else data)
    read, written = ("hook_name", hooks.hook_name), ("hook_name_out", hooks.hook_name_out)
    return layer_sites(path, read, written)


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
