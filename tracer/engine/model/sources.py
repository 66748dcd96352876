"""Which of a model's sources is at hand: installed data package, local folder, hub, in this order.

Nothing is downloaded, converted or imported from the packages here; `tracer.engine.model.ready`
does that with the source found.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import huggingface_hub
from pydantic import ValidationError

from tracer.engine.model.converted import CachedModel, is_present
from tracer.engine.model.hf_folder import INDEX, check_folder
from tracer.errors import ModelUnavailable, UsageError, listed, show
from tracer.hypothesis.names import (
    MODELS,
    DataPackage,
    NamedModel,
    PackageFile,
    looks_like_folder,
    repo_problem,
    require_possible,
    unknown_model,
)
from tracer.hypothesis.spec import Hypothesis, ModelSpec

MODELS_VARIABLE = "TRACER_MODELS"
"""Environment variable: a folder with one subfolder per model name."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class PackageSource:
    """A GGUF file, possibly in parts, from an installed package."""

    model: str
    package: DataPackage
    version: str
    parts: tuple[Path, ...]

    @property
    def place(self) -> str:
        """The source as records and messages name it."""
        return f"package {self.package.distribution} {self.version}"

    @property
    def entry(self) -> CachedModel:
        """Where its conversion is cached."""
        return CachedModel(self.model, self.package.sha256)


@dataclass(frozen=True)
class FolderSource:
    """A folder in Hugging Face's format."""

    folder: Path

    @property
    def place(self) -> str:
        """The source as records and messages name it."""
        return str(self.folder)


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hugging Face hub."""

    repo: str
    revision: str | None
    hint: str = ""
    """A sentence on how to do without the hub; empty where there is no other way."""

    @property
    def place(self) -> str:
        """The source as records and messages name it."""
        return self.repo


Source = PackageSource | FolderSource | HubSource


@dataclass(frozen=True)
class Location:
    """Where a model would come from, and what stands between here and there."""

    state: Literal["ready", "to convert", "to download", "missing"]
    place: str | None
    """Package, folder or hub id; None where the name itself is no good."""
    reason: str | None = None
    """Why it is missing, and what to do."""


def locate(spec: ModelSpec) -> Location:
    """Say where the model would come from, without loading anything.

    A cached conversion counts as ready without its hashes being checked.
    """
    try:
        source = find_source(spec)
    except ModelUnavailable as error:
        return Location("missing", None, str(error))
    if isinstance(source, HubSource):
        return _locate_on_hub(source)
    is_ready = isinstance(source, FolderSource) or is_present(source.entry)
    return Location("ready" if is_ready else "to convert", source.place)


def find_source(spec: ModelSpec) -> Source:
    """The first source that is at hand; the hub, which comes last, is not asked.

    A revision means the hub: no other source has one.

    Raises:
        ModelUnavailable: Not a known name, not a usable folder, not a Hugging Face id.
    """
    named = MODELS.get(spec.name)
    if spec.revision is None:
        if named and (package := _find_package(named)):
            return package
        if folder := _local_folder(spec.name):
            return _checked(folder)
    if named:
        return HubSource(named.hub, spec.revision, _how_to_install(named))
    if spec.name.count("/") > 1 or looks_like_folder(spec.name):
        return _explicit_folder(spec)
    _require_hub_id(spec.name)
    return HubSource(spec.name, spec.revision)


def _find_package(named: NamedModel) -> PackageSource | None:
    """The model's data package, where all its parts are installed."""
    parts = [_package_file(part) for part in named.package.parts]
    if any(part is None for part in parts):
        return None
    return PackageSource(
        named.name,
        named.package,
        _installed_version(named.package.distribution) or "of unknown version",
        tuple(part for part in parts if part),
    )


def _package_file(file: PackageFile) -> Path | None:
    """Looks beside the package's `__init__.py` without running it."""
    spec = importlib.util.find_spec(file.module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = [Path(folder, file.path) for folder in folders if Path(folder, file.path).is_file()]
    return found[0] if found else None


def _installed_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _how_to_install(named: NamedModel) -> str:
    package = named.package
    absent = sorted({part.module for part in package.parts if _package_file(part) is None})
    if not absent:
        return f"The installed package {package.distribution} has it: leave out the revision."
    what = (
        f"The data package {package.distribution}=={package.version} is not installed"
        if len(absent) == len(package.parts)
        else f"The data package {package.distribution} is installed without {', '.join(absent)}"
    )
    return f"{what}; get it with: {package.install}"


def _local_folder(name: str) -> Path | None:
    """The model's subfolder of the folder that `TRACER_MODELS` names, where there is one."""
    root = os.environ.get(MODELS_VARIABLE)
    if not root or not (name in MODELS or _HUB_ID.fullmatch(name)):
        return None
    folder = Path(root).expanduser() / name
    return folder if folder.is_dir() else None


def _explicit_folder(spec: ModelSpec) -> FolderSource:
    folder = Path(spec.name).expanduser()
    if not folder.is_dir():
        raise ModelUnavailable(f"model {spec.name!r}: no such folder.")
    if spec.revision is not None:
        raise ModelUnavailable(
            f"model {spec.name!r} is a folder and has no revision {spec.revision!r}; leave it out."
        )
    return _checked(folder)


def _checked(folder: Path) -> FolderSource:
    check_folder(folder)
    return FolderSource(folder.resolve())


def _require_hub_id(name: str) -> None:
    if not _HUB_ID.fullmatch(name):
        raise ModelUnavailable(unknown_model(name))
    if problem := repo_problem(name):
        raise ModelUnavailable(f"model {name!r} is no Hugging Face id: {problem}")


def _locate_on_hub(source: HubSource) -> Location:
    held = (
        huggingface_hub.try_to_load_from_cache(source.repo, name, revision=source.revision)
        for name in (INDEX, "model.safetensors")
    )
    if any(isinstance(path, str) for path in held):
        return Location("ready", source.place)
    if huggingface_hub.is_offline_mode():
        why = f"{not_fetched(source.repo)} {source.hint}".strip()
        return Location("missing", source.place, why)
    return Location("to download", source.place)


def not_fetched(repo: str, *, in_part: bool = False) -> str:
    """Why a repository that is not, or only in part, in the hub's cache cannot be fetched now."""
    where = "only in part in the hub's cache" if in_part else "not in the hub's cache"
    if huggingface_hub.is_offline_mode():
        return f"{repo} is {where}, and HF_HUB_OFFLINE forbids a download."
    return f"{repo} is {where}, and the hub cannot be reached: no network."


_DTYPES = get_args(ModelSpec.model_fields["dtype"].annotation)


def named_model(
    name: str | None = None, device: str | None = None, dtype: str | None = None
) -> ModelSpec:
    """The model to load; None takes what a hypothesis file without that key would.

    Raises:
        UsageError: An empty name, or no such dtype.
    """
    given = {
        "name": Hypothesis.model_fields["model"].default if name is None else name,
        "device": device,
        "dtype": dtype,
    }
    try:
        return ModelSpec.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError:
        if dtype is not None and dtype not in _DTYPES:
            sentence = f"dtype {show(dtype)} is not known; choose {listed(_DTYPES)}."
            raise UsageError(sentence) from None
        raise UsageError("the model's name is empty; name one of `tracer models`.") from None


def named_features(name: str | None = None) -> str:
    """The feature basis of this name; None takes what a hypothesis file without that key would.

    Raises:
        UsageError: There can be none of this name.
    """
    basis: str = Hypothesis.model_fields["features"].default if name is None else name
    require_possible(basis)
    return basis
