"""A model's source becomes a folder that can be loaded: converted, downloaded, or as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tracer.engine import model
from tracer.engine.model.converted import ensure
from tracer.engine.model.hf_folder import check_folder, fingerprint
from tracer.engine.model.hub import MODEL_PATTERNS, TOKENIZER_PATTERNS, download
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


def ready_model(spec: ModelSpec, progress: Progress) -> ReadyModel:
    """The folder with the model's weights and tokenizer, every byte verified where we wrote it.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    source = find_source(spec)
    match source:
        case PackageSource():
            folder = _converted(source, progress)
            return ReadyModel(folder, source.place, None, source.package.sha256)
        case FolderSource(folder=folder):
            with progress.task(f"reading {folder}"):
                return ReadyModel(folder, source.place, None, fingerprint(folder))
        case HubSource():
            folder = download(source, MODEL_PATTERNS, progress)
            check_folder(folder)
            return ReadyModel(folder, source.place, folder.name, folder.name)


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
