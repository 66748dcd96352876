"""What a dictionary format is, and what formats share: a layer in one file, configuration files.

circuit-tracer stores the encoder `[feature, d_model]` and the skip matrix `[d_out, d_in]`; Gemma
Scope (npz) and Gemma Scope 2 (lower-case names) store both transposed.

Configurations are bounded YAML or JSON, and name hook points as TransformerLens does. A dictionary
must read what enters the MLP and write what leaves it: `INPUTS` and `OUTPUTS` list all that can be
used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from tracer.engine.features.basis import ActivationFunction, JumpReLU, ReLU, TopK
from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.layer_weights import LayerWeights, Scales
from tracer.engine.features.tensor_files import (
    TensorFile,
    open_tensors,
    take,
    take_count,
    take_if_there,
    take_weight,
    take_weight_if_there,
)
from tracer.engine.model.sites import SiteKind
from tracer.errors import UsageError
from tracer.hypothesis.names import HubFile
from tracer.hypothesis.yaml_text import YamlMistake, parse_value, read_text

Fetch = Callable[[Sequence[HubFile]], Sequence[Path]]
"""Brings files of the hub here, in the same order."""
THRESHOLD = "activation_function.threshold"
INPUTS: Mapping[str, SiteKind] = {
    "ln2.hook_normalized": "ln2_normalized",
    "hook_resid_mid": "resid_mid",
    "mlp.hook_in": "mlp_in",
}
OUTPUTS: Mapping[str, SiteKind] = {"hook_mlp_out": "mlp_resid", "mlp.hook_out": "mlp_out"}
_SHOWN = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Format:
    """One format of dictionaries; `registry.FORMATS` lists them all."""

    name: str
    """What its authors or users call it."""
    marker: str
    """What a folder is recognised by, in words for an error message."""
    is_here: Callable[[Path], bool]
    """Whether a folder has the marker; contents are not checked."""
    read: Callable[[Path, str, Fetch], Dictionary]
    """Read a folder that has the marker.

    It gets the folder, what the dictionary is called in messages and records, and how to bring
    files that the folder names but does not hold. It raises `TracerError` where a file is missing
    or unsound, or files contradict each other.
    """
    hub_patterns: tuple[str, ...] = ()
    """Files fetched of a folder on the hub; () for a format whose layers lie in subfolders."""
    nested_patterns: tuple[str, ...] = ()
    """Files fetched of its subfolders where these hold the layers, one choice of each."""
    bare_weights: tuple[str, ...] = ()
    """Patterns of weights that say nothing without the marker."""
    bare_reason: str = ""
    """What to tell of a folder that holds such weights alone; a sentence."""


class Settings(BaseModel):
    """Base of what a format's configuration says; further keys are its authors' own business."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


S = TypeVar("S", bound=Settings)


class StatedActivation(NamedTuple):
    """What a configuration says of the activation function."""

    name: Literal["relu", "topk", "jump_relu"] | None = None
    """None for what the file shows: a threshold makes it JumpReLU, a stored k TopK, else ReLU."""
    k: int | None = None
    """For TopK, where the file does not have it."""
    clipped: bool = False
    """Whether TopK takes the k largest after a ReLU."""


def read_layer_file(path: Path, activation: StatedActivation) -> LayerWeights:
    """A layer of a per-layer transcoder, from a `.safetensors` or `.npz` file.

    Raises:
        UsageError: Tensors are missing or of a wrong shape or type, or contradict `activation`.
    """
    file = open_tensors(path)
    if file.has("w_enc") or path.suffix == ".npz":
        return _gemma_scope(file, activation)
    return _circuit_tracer(file, activation)


def _circuit_tracer(file: TensorFile, activation: StatedActivation) -> LayerWeights:
    encoder = take_weight(file, "W_enc", (None, None))
    n_features, d_model = encoder.values.shape
    decoder = take_weight(file, "W_dec", (n_features, d_model))
    W_skip, skip_scale = take_weight_if_there(file, "W_skip", (d_model, d_model))
    threshold = take_if_there(file, THRESHOLD, (n_features,))
    known = activation._replace(k=_count(file, activation.k))
    return LayerWeights(
        encoder.values,
        take(file, "b_enc", (n_features,)),
        decoder.values[:, None],
        take(file, "b_dec", (d_model,)),
        choose_activation(file, known, threshold, n_features),
        W_skip,
        scales=Scales(encoder.scale, _column(decoder.scale), _column(skip_scale)),
    )


def _column(scale: Tensor | None) -> Tensor | None:
    """Factors of rows, as a column."""
    return None if scale is None else scale[:, None]


def _count(file: TensorFile, k: int | None) -> int | None:
    stored = take_count(file, "k")
    if None not in (stored, k) and stored != k:
        raise UsageError(f"{file.path}: k is {stored} here and {k} in the configuration.")
    return k if stored is None else stored


def _gemma_scope(file: TensorFile, activation: StatedActivation) -> LayerWeights:
    """Either version: the second has lower-case names, and a skip path where it is affine."""
    encoder, decoder = ("w_enc", "w_dec") if file.has("w_enc") else ("W_enc", "W_dec")
    W_enc = take(file, encoder, (None, None)).T
    n_features, d_model = W_enc.shape
    threshold = take(file, "threshold", (n_features,))
    skip = take_if_there(file, "affine_skip_connection", (d_model, d_model))
    act = choose_activation(file, activation, threshold, n_features)
    return layer_weights(file, W_enc, decoder, act, None if skip is None else skip.T)


def layer_weights(
    file: TensorFile,
    W_enc: Tensor,
    W_dec: str,
    activation: ActivationFunction,
    W_skip: Tensor | None,
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


def choose_activation(
    file: TensorFile, asked: StatedActivation, threshold: Tensor | None, n_features: int
) -> ActivationFunction:
    """The activation function that configuration and file agree on.

    Raises:
        UsageError: They contradict each other, or TopK has no usable k.
    """
    name, k, clipped = asked
    if name is None:
        name = "jump_relu" if threshold is not None else "topk" if k is not None else "relu"
    if (name == "jump_relu") != (threshold is not None):
        has = "has no threshold" if threshold is None else "has a threshold"
        raise UsageError(f"{file.path} {has}, but the configuration says activation: {name}.")
    if threshold is not None:
        return JumpReLU(threshold)
    if name == "relu":
        return ReLU()
    if k is None or not 1 <= k <= n_features:
        raise UsageError(f"{file.path}: TopK needs a k from 1 to {n_features}; found {k}.")
    return TopK(k, clipped)


def numbered_files(folder: Path, prefix: str) -> list[Path]:
    """`prefix` N `.safetensors` for every N from 0 to the highest there is.

    Raises:
        UsageError: There is none, or some are missing in between.
    """
    pattern = re.compile(re.escape(prefix) + r"(0|[1-9][0-9]{0,3})\.safetensors")
    names = [path.name for path in folder.iterdir()]
    found = {int(match[1]) for name in names if (match := pattern.fullmatch(name))}
    if not found:
        raise UsageError(f"{folder}: no {prefix}0.safetensors, …: the weights are missing.")
    _require_all(folder, found)
    return [folder / f"{prefix}{layer}.safetensors" for layer in sorted(found)]


def in_order(folder: Path, layers: Mapping[int, T]) -> tuple[T, ...]:
    """Layers from 0 on.

    Raises:
        UsageError: Some are missing in between.
    """
    _require_all(folder, layers)
    return tuple(layers[layer] for layer in sorted(layers))


def _require_all(folder: Path, found: Collection[int]) -> None:
    missing = [layer for layer in range(max(found)) if layer not in found]
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN]))
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UsageError(
            f"{folder}: layers 0 to {max(found)} are needed, but {shown}{more} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        TracerError: It is missing, too large or nested, or no mapping.
    """
    try:
        return _mapping(path, parse_value(read_text(str(path))))
    except YamlMistake as mistake:
        raise UsageError(f"{path}:{mistake.line}: {mistake.message}.") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        TracerError: It is missing, too large or nested, or no object.
    """
    try:
        return _mapping(path, json.loads(read_text(str(path))))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from None


def parse_settings(path: Path, kind: type[S], data: dict[str, Any]) -> S:
    """The data as a format's settings.

    Raises:
        UsageError: A key is missing or has no allowed value; the first is told.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {where}: {first['msg']}.") from None


def site_kind(path: Path, key: str, hook: str, allowed: Mapping[str, SiteKind]) -> SiteKind:
    """The engine's name of a hook point.

    Raises:
        UsageError: It is none that a dictionary can use.
    """
    if hook not in allowed:
        raise UsageError(
            f"{path}: {key} is {hook[:80]!r}; allowed are {', '.join(map(repr, allowed))}."
        )
    return allowed[hook]


def _in_layer(path: Path, key: str, hook: str) -> tuple[int, str]:
    """Layer and rest of a name such as `blocks.3.mlp.hook_in`.

    Raises:
        UsageError: It names no layer.
    """
    found = re.fullmatch(r"blocks\.([0-9]{1,4})\.(.+)", hook)
    if found is None:
        raise UsageError(f"{path}: {key} is {hook[:80]!r}, which names no layer (blocks.N.…).")
    return int(found[1]), found[2]


class LayerSites(NamedTuple):
    """Where a layer's transcoder reads and writes."""

    layer: int
    reads: SiteKind
    writes: SiteKind


def layer_sites(path: Path, read: tuple[str, str], written: tuple[str, str]) -> LayerSites:
    """Sites by names such as `blocks.3.mlp.hook_in`, each given as key and value of `path`.

    Raises:
        UsageError: They are of two layers, or of none, or are none that a dictionary can use.
    """
    read_layer, read_at = _in_layer(path, *read)
    written_layer, written_at = _in_layer(path, *written)
    if read_layer != written_layer:
        raise UsageError(f"{path}: it reads layer {read_layer} and writes layer {written_layer}.")
    reads = site_kind(path, read[0], read_at, INPUTS)
    return LayerSites(read_layer, reads, site_kind(path, written[0], written_at, OUTPUTS))


def in_order_of_sites(
    folder: Path, parts: Iterable[tuple[LayerSites, Path]]
) -> tuple[tuple[Path, ...], SiteKind, SiteKind]:
    """The folders of layers from 0 on, and the kinds of site where all of them read and write.

    Raises:
        UsageError: A layer is there twice, some are missing in between, or they differ.
    """
    found: dict[int, Path] = {}
    places: set[tuple[SiteKind, SiteKind]] = set()
    for (layer, reads, writes), part in parts:
        if layer in found:
            raise UsageError(f"{folder}: layer {layer} is there twice, the second in {part.name}.")
        found[layer] = part
        places.add((reads, writes))
    if len(places) > 1:
        raise UsageError(f"{folder}: its layers do not all read and write at the same places.")
    return in_order(folder, found), *places.pop()


def _mapping(path: Path, found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UsageError(f"{path} is no mapping of keys to values.")
    return cast(dict[str, Any], found)
