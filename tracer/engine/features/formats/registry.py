"""Which format a folder is in, told by the files it holds and nothing else."""

from __future__ import annotations

from pathlib import Path

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats import circuit_tracer, gemma_scope, saelens
from tracer.engine.features.formats.circuit_tracer import Fetch
from tracer.errors import UsageError

_UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_BARE = ("layer_*.safetensors", "W_enc_*.safetensors", "**/params.npz", "params_layer_*")
_FORMATS = (
    f"{circuit_tracer.CONFIG} (circuit-tracer), {saelens.CONFIG} (SAELens) or subfolders with "
    f"{gemma_scope.WEIGHTS} (Gemma Scope 2)"
)


def read_dictionary(folder: Path, name: str, fetch: Fetch) -> Dictionary:
    """Read a folder in any of the known formats.

    Args:
        folder: Where the files are.
        name: What the dictionary is called in messages and records.
        fetch: For files that the folder names but does not hold.

    Raises:
        TracerError: It is in none of the formats, or its files are not sound.
    """
    if (folder / circuit_tracer.CONFIG).is_file():
        return circuit_tracer.read(folder, name, fetch)
    if saelens.layer_folders(folder):
        return saelens.read(folder, name)
    if gemma_scope.layer_folders(folder):
        return gemma_scope.read(folder, name)
    raise UsageError(f"{folder}: {_why_not(folder)}")


def _why_not(folder: Path) -> str:
    if any(any(folder.glob(pattern)) for pattern in _BARE):
        return (
            "the weights are there but no config.yaml, so nothing says where they read and write; "
            "it needs model_kind, feature_input_hook and feature_output_hook."
        )
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _UNSAFE)
    if pickled:
        return f"only pickled weights ({pickled[0]}), which can run code when read."
    return f"no dictionary: it has no {_FORMATS}."
