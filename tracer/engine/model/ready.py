"""A model's source becomes a folder that can be loaded: converted, downloaded, or as it stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tracer.engine import model
from tracer.engine.model.converted import ensure
from tracer.engine.model.hf_folder import (
    check_folder,
    fingerprint,
    read_config,
    weight_files,
    weight_names,
)
from tracer.engine.model.hub import TOKENIZER_PATTERNS, download, download_files, file_bytes
from tracer.engine.model.room import loaded_bytes, require_room
from tracer.engine.model.sources import FolderSource, HubSource, PackageSource, find_source
from tracer.engine.progress import Progress
from tracer.hypothesis.spec import ModelSpec


class ReadyModel(NamedTuple):
    """A folder to load from, and what identifies it."""

    folder: Path
    source: str
    revision: str | None
    fingerprint: str
    """SHA-256 of package or folder, commit on the hub."""


class Memory(NamedTuple):
    """Where a model is to be loaded."""

    device: str
    n_bytes: int | None
    """All that it has; None where that is not known."""


class ModelIdentity(NamedTuple):
    """What tells a model with its tokenizer from every other; see `ReadyModel`."""

    source: str
    revision: str | None
    fingerprint: str


def identify(spec: ModelSpec, progress: Progress) -> ModelIdentity:
    """What `ready_model` would say of a model, without reading the weights where that can be.

    What was converted from a package is verified whenever it is loaded. The hub is asked as it is
    there, for all files but the weights.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    source = find_source(spec)
    match source:
        case PackageSource():
            return ModelIdentity(source.place, None, source.package.sha256)
        case FolderSource(folder=folder):
            with progress.task(f"reading {folder}"):
                return ModelIdentity(source.place, None, fingerprint(folder))
        case HubSource():
            commit = download(source, TOKENIZER_PATTERNS, progress).name
            return ModelIdentity(source.place, commit, commit)


def ready_model(spec: ModelSpec, memory: Memory, progress: Progress) -> ReadyModel:
    """The folder with the model's weights and tokenizer, every byte verified where we wrote it.

    A model that is larger than all memory is refused by the sizes of its files, before these are
    read or fetched. Of the weights on the hub, those are fetched that are loaded.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    source = find_source(spec)
    match source:
        case PackageSource():
            folder = _converted(source, progress)
            return ReadyModel(folder, source.place, None, source.package.sha256)
        case FolderSource(folder=folder):
            files = sum(path.stat().st_size for path in weight_files(folder))
            _require_room(spec, folder, files, memory)
            with progress.task(f"reading {folder}"):
                return ReadyModel(folder, source.place, None, fingerprint(folder))
        case HubSource():
            folder = _from_hub(spec, source, memory, progress)
            return ReadyModel(folder, source.place, folder.name, folder.name)


def _from_hub(spec: ModelSpec, source: HubSource, memory: Memory, progress: Progress) -> Path:
    """Configuration and tokenizer first, which say which weights there are, then these."""
    folder = download(source, TOKENIZER_PATTERNS, progress)
    check_folder(folder, weights=False)
    commit, weights = replace(source, revision=folder.name), weight_names(folder)
    if (files := file_bytes(commit, weights)) is not None:
        _require_room(spec, folder, files, memory)
    folder = download_files(commit, weights, progress)
    check_folder(folder)
    return folder


def _require_room(spec: ModelSpec, folder: Path, n_file_bytes: int, memory: Memory) -> None:
    n_bytes = loaded_bytes(read_config(folder), n_file_bytes, spec.dtype)
    require_room(spec, n_bytes, memory.n_bytes, memory.device)


def ready_tokenizer(spec: ModelSpec, progress: Progress) -> Path:
    """A folder with config and tokenizer; a download leaves the weights out.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    source = find_source(spec)
    match source:
        case PackageSource():
            return _converted(source, progress, weights=False)
        case FolderSource(folder=folder):
            return folder
        case HubSource():
            folder = download(source, TOKENIZER_PATTERNS, progress)
            check_folder(folder, weights=False)
            return folder


def _converted(source: PackageSource, progress: Progress, *, weights: bool = True) -> Path:
    """The cached conversion; `weights=False` leaves the large files' hashes unread."""
    package = source.package

    def build(into: Path) -> None:
        progress.note(
            f"{source.model} is converted once, from {source.place}; this takes a minute."
        )
        model.gguf.convert(source.parts, package.sha256, into, progress)

    def hashed(name: str) -> bool:
        return weights or not name.endswith(".safetensors")

    return ensure(source.entry, build, package.converted_mb, progress, hashed)
