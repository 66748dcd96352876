"""The door to features: what stands after `features:` becomes a basis that fits the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.dictionary import (
    CltBasis,
    Dictionary,
    TranscoderBasis,
    check_model,
    fingerprint,
)
from tracer.engine.features.formats.registry import read_dictionary
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.model.hub import download_files, download_folder
from tracer.engine.model.model import Model
from tracer.engine.model.sources import HubSource
from tracer.engine.progress import Progress
from tracer.errors import UsageError
from tracer.hypothesis.names import (
    DICTIONARIES,
    NEURONS,
    HubFile,
    NamedDictionary,
    looks_like_folder,
    parse_hub_folder,
    unknown_features,
)

HUB_PATTERNS = (
    "config.yaml",
    "layer_*.safetensors",
    "W_enc_*.safetensors",
    "W_dec_*.safetensors",
    "cfg.json",
    "sae_weights.safetensors",
)
"""What is fetched of a folder on the hub; further files are those its configuration names."""


class OpenBasis(NamedTuple):
    """A basis, and what identifies the dictionary behind it."""

    basis: FeatureBasis
    source: str
    """`neurons`, a folder, or a hub id with the folder in it."""
    revision: str | None
    """The hub's commit."""
    fingerprint: str | None
    """SHA-256 over the dictionary's files, as `fingerprint` takes it; None for neurons."""


class _Located(NamedTuple):
    folder: Path
    source: str
    revision: str | None


def open_basis(name: str, model: Model, progress: Progress) -> OpenBasis:
    """The features of a model; the first time this may download them.

    Args:
        name: `neurons`, a registered dictionary, a folder, or `organisation/name[/folder][@rev]`.
        model: What they must fit.
        progress: Told of downloads.

    Raises:
        UsageError: An unknown name, an unsound dictionary, or one that belongs to another model.
        ModelUnavailable: The hub cannot give it, or the model lacks a hook point.
    """
    if name == NEURONS:
        return OpenBasis(NeuronBasis(model), NEURONS, None, None)
    located = _locate(name, model, progress)
    dictionary = read_dictionary(located.folder, name, partial(_fetch, progress=progress))
    check_model(dictionary, model)
    basis = _basis(dictionary, model)
    return OpenBasis(basis, located.source, located.revision, fingerprint(dictionary.files))


def _basis(dictionary: Dictionary, model: Model) -> FeatureBasis:
    if dictionary.kind == "transcoders":
        return TranscoderBasis(dictionary, model.device)
    return CltBasis(dictionary, model.device)


def _locate(name: str, model: Model, progress: Progress) -> _Located:
    if named := DICTIONARIES.get(name):
        _require_suited(named, model)
        return _download(named.place, progress)
    if not name.startswith("hf://") and looks_like_folder(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise UsageError(f"features {name!r}: no such folder.")
        return _Located(folder.resolve(), str(folder.resolve()), None)
    place = parse_hub_folder(name)
    if place is None:
        raise UsageError(unknown_features(name))
    return _download(place, progress)


def _require_suited(named: NamedDictionary, model: Model) -> None:
    if not named.suits(model.record.name, model.record.source):
        raise UsageError(
            f"features {named.name!r} are for {' and '.join(named.models)}; this model is "
            f"{model.record.name}. To use them all the same, where the shapes fit, name the "
            f"repository: {'/'.join(filter(None, (named.repo, named.folder)))}"
        )


def _download(place: HubFile, progress: Progress) -> _Located:
    source = HubSource(place.repo, place.revision)
    commit = download_folder(source, place.path, HUB_PATTERNS, progress)
    where = "/".join(filter(None, (place.repo, place.path)))
    if not (commit / place.path).is_dir():
        raise UsageError(f"{place.repo} has no dictionary in {place.path or 'its main folder'!r}.")
    return _Located(commit / place.path, where, commit.name)


def _fetch(files: Sequence[HubFile], progress: Progress) -> list[Path]:
    """Every repository is asked once, for all its files."""
    folders: dict[tuple[str, str | None], Path] = {}
    for repo, revision in dict.fromkeys((file.repo, file.revision) for file in files):
        paths = [file.path for file in files if (file.repo, file.revision) == (repo, revision)]
        folders[repo, revision] = download_files(HubSource(repo, revision), paths, progress)
    return [folders[file.repo, file.revision] / file.path for file in files]
