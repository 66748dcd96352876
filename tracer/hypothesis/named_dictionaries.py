"""The published dictionaries that have a name here, with what their publishers tell of them.

Layers and widths are those of the models and the files, as their authors' cards, code and the
headers of the files give them; a width that no such source tells is None, and is not checked.
"""

from __future__ import annotations

from typing import NamedTuple


class NamedDictionary(NamedTuple):
    """A published dictionary known by a short name."""

    name: str
    repo: str
    """Hugging Face id."""
    models: tuple[str, ...]
    """Hugging Face ids of the models it is used with."""
    n_layers: int
    n_features: int | None
    """Of each layer."""
    folder: str = ""
    """Its place inside the repository."""
    k: int | None = None
    """Of TopK, where the repository itself does not say."""

    @property
    def address(self) -> str:
        """What names it without its short name."""
        return "/".join(filter(None, (self.repo, self.folder)))


def _qwen(size: str, n_layers: int, n_features: int | None, suffix: str = "") -> NamedDictionary:
    name = f"qwen3-{size}-transcoders{suffix}"
    models = (f"Qwen/Qwen3-{size.upper()}",)
    return NamedDictionary(name, f"mwhanna/{name}", models, n_layers, n_features)


_GEMMA_3 = {"270m": 18, "1b": 26, "4b": 34, "12b": 48, "27b": 62}
_WIDTHS = {"16k": 1 << 14, "262k": 1 << 18}


def _gemma_3(variant: str, folder: str) -> NamedDictionary:
    """Gemma Scope 2 as circuit-tracer's authors publish it again; 270m has no `-pt` in its id.

    A width in the folder's name is that of a layer, but of cross-layer sets it is not said whether.
    """
    model = "gemma-3-270m" if variant == "270m-pt" else f"gemma-3-{variant}"
    kind, width = folder.split("/")
    return NamedDictionary(
        name=f"gemma-scope-2-{variant}-{kind.removesuffix('_all')}-{width.replace('_', '-')}",
        repo=f"mwhanna/gemma-scope-2-{variant}",
        models=(f"google/{model}",),
        n_layers=_GEMMA_3[variant.split("-")[0]],
        n_features=None if kind == "clt" else _WIDTHS[width.split("_")[1]],
        folder=folder,
    )


def _llama_scope_2(k: int) -> NamedDictionary:
    """OpenMOSS's transcoders, eight times as wide as the model, in a folder for each layer."""
    return NamedDictionary(
        name=f"llama-scope-2-qwen3-1.7b-transcoder-8x-k{k}",
        repo="OpenMOSS-Team/Llama-Scope-2-Qwen3-1.7B",
        models=("Qwen/Qwen3-1.7B",),
        n_layers=28,
        n_features=8 * 2048,
        folder=f"transcoder/8x/k{k}",
    )


_GEMMA_2 = ("google/gemma-2-2b", "google/gemma-2-2b-it")
_LLAMA = ("meta-llama/Llama-3.2-1B",)
_AFFINE = "transcoder_all/width_16k_l0_small_affine"

_DICTIONARIES = (
    NamedDictionary(
        "gemma-scope-transcoders", "mwhanna/gemma-scope-transcoders", _GEMMA_2, 26, 16384
    ),
    NamedDictionary("clt-gemma-2-2b-426k", "mntss/clt-gemma-2-2b-426k", _GEMMA_2, 26, 16384),
    NamedDictionary("clt-gemma-2-2b-2.5M", "mntss/clt-gemma-2-2b-2.5M", _GEMMA_2, 26, 98304),
    NamedDictionary("transcoder-llama-3.2-1b", "mntss/transcoder-Llama-3.2-1B", _LLAMA, 16, 131072),
    NamedDictionary(
        name="skip-transcoder-llama-3.2-1b-131k",
        repo="EleutherAI/skip-transcoder-Llama-3.2-1B-131k",
        models=_LLAMA,
        n_layers=16,
        n_features=131072,
    ),
    NamedDictionary("clt-llama-3.2-1b-524k", "mntss/clt-llama-3.2-1b-524k", _LLAMA, 16, 32768),
    NamedDictionary(
        name="transcoder-llama-3.1-8b-instruct",
        repo="facebook/crv-8b-instruct-transcoders",
        models=("meta-llama/Llama-3.1-8B-Instruct",),
        n_layers=32,
        n_features=131072,
        k=128,  # circuit-tracer sets it by the repository's name
    ),
    NamedDictionary("clt-gpt-oss-20b-131k", "mntss/clt-131k", ("openai/gpt-oss-20b",), 24, 131072),
    _qwen("0.6b", 28, 163840, "-lowl0"),
    _qwen("1.7b", 28, None, "-lowl0"),
    _qwen("4b", 36, 163840),
    _qwen("8b", 36, None),
    _qwen("14b", 40, None, "-lowl0"),
    _llama_scope_2(64),
    _llama_scope_2(128),
    _gemma_3("270m-pt", "transcoder_all/width_16k_l0_small"),
    _gemma_3("270m-pt", "clt/width_262k_l0_medium_affine"),
    _gemma_3("270m-it", "transcoder_all/width_16k_l0_big"),
    _gemma_3("1b-pt", _AFFINE),
    _gemma_3("1b-it", _AFFINE),
    _gemma_3("4b-pt", _AFFINE),
    _gemma_3("4b-it", _AFFINE),
    _gemma_3("12b-pt", _AFFINE),
    _gemma_3("12b-it", _AFFINE),
    _gemma_3("27b-pt", "transcoder_all/width_262k_l0_small"),
    _gemma_3("27b-it", _AFFINE),
)

DICTIONARIES: dict[str, NamedDictionary] = {entry.name: entry for entry in _DICTIONARIES}


def published_k(name: str) -> int | None:
    """The k of TopK of a dictionary named by its short name or its address, where only code has it.

    Args:
        name: As in `features:`; a revision behind `@` is of no account.
    """
    address = name.partition("@")[0]
    named = (each for each in _DICTIONARIES if address in (each.name, each.address))
    return next((each.k for each in named), None)
