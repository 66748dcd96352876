"""Dictionaries that have a name here, as data: where they are, and for which models they are."""

from __future__ import annotations

from tracer.features.address import HubFile
from tracer.model.registry import MODELS, Fixed
from tracer.record import ModelRecord


class NamedDictionary(Fixed):
    """A published dictionary known by a short name."""

    name: str
    repo: str
    """Hugging Face id."""
    models: tuple[str, ...]
    """Hugging Face ids of the models it is used with."""
    folder: str = ""
    """Its place inside the repository."""

    @property
    def place(self) -> HubFile:
        """Where it is published, at the newest revision."""
        return HubFile(self.repo, self.folder, None)

    def suits(self, model: ModelRecord) -> bool:
        """Whether the model is one of those it is used with."""
        known = MODELS.get(model.name)
        ids = {model.name, model.source, known.hub if known else model.name}
        return not ids.isdisjoint(self.models)


def _qwen(size: str, suffix: str = "") -> NamedDictionary:
    name = f"qwen3-{size}-transcoders{suffix}"
    return NamedDictionary(
        name=name, repo=f"mwhanna/{name}", models=(f"Qwen/Qwen3-{size.upper()}",)
    )


def _gemma3(variant: str, folder: str) -> NamedDictionary:
    """Gemma Scope 2 as circuit-tracer's authors publish it again; 270m has no `-pt` in its id."""
    model = "gemma-3-270m" if variant == "270m-pt" else f"gemma-3-{variant}"
    kind, width = folder.split("/")
    return NamedDictionary(
        name=f"gemma-scope-2-{variant}-{kind.removesuffix('_all')}-{width.replace('_', '-')}",
        repo=f"mwhanna/gemma-scope-2-{variant}",
        folder=folder,
        models=(f"google/{model}",),
    )


_GEMMA_2 = ("google/gemma-2-2b", "google/gemma-2-2b-it")
_LLAMA = ("meta-llama/Llama-3.2-1B",)
_AFFINE = "transcoder_all/width_16k_l0_small_affine"

_DICTIONARIES = (
    NamedDictionary(
        name="gemma-scope-transcoders", repo="mwhanna/gemma-scope-transcoders", models=_GEMMA_2
    ),
    NamedDictionary(name="clt-gemma-2-2b-426k", repo="mntss/clt-gemma-2-2b-426k", models=_GEMMA_2),
    NamedDictionary(name="clt-gemma-2-2b-2.5M", repo="mntss/clt-gemma-2-2b-2.5M", models=_GEMMA_2),
    NamedDictionary(
        name="transcoder-llama-3.2-1b", repo="mntss/transcoder-Llama-3.2-1B", models=_LLAMA
    ),
    NamedDictionary(
        name="clt-llama-3.2-1b-524k", repo="mntss/clt-llama-3.2-1b-524k", models=_LLAMA
    ),
    _qwen("0.6b", "-lowl0"),
    _qwen("1.7b", "-lowl0"),
    _qwen("4b"),
    _qwen("8b"),
    _qwen("14b", "-lowl0"),
    _gemma3("270m-pt", "transcoder_all/width_16k_l0_small"),
    _gemma3("270m-pt", "clt/width_262k_l0_medium_affine"),
    _gemma3("270m-it", "transcoder_all/width_16k_l0_big"),
    _gemma3("1b-pt", _AFFINE),
    _gemma3("1b-it", _AFFINE),
    _gemma3("4b-pt", _AFFINE),
    _gemma3("4b-it", _AFFINE),
    _gemma3("27b-pt", "transcoder_all/width_262k_l0_small"),
)

DICTIONARIES: dict[str, NamedDictionary] = {entry.name: entry for entry in _DICTIONARIES}
