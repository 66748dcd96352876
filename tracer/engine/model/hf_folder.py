"""Whether a folder holds a model in Hugging Face's format that may be opened: no pickle or code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from tracer.errors import ModelUnavailable

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Suffixes of pickled weights, which can run code when read."""


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`.

    Raises:
        ModelUnavailable: It is missing or not a JSON object.
    """
    return _read_object(folder, "config.json")


def context_length(config: dict[str, Any]) -> int | None:
    """How many tokens the model was built for; None where the config does not say."""
    text: dict[str, Any] = config.get("text_config") or config
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
    return next((int(text[name]) for name in names if text.get(name)), None)


def check_folder(folder: Path, *, weights: bool = True) -> None:
    """Refuse what is no dense causal language model with safetensors and a tokenizer.

    Args:
        folder: Where `config.json` must be.
        weights: False where the weights are not needed; then they may be missing.

    Raises:
        ModelUnavailable: With the reason.
    """
    _check_config(folder)
    if weights:
        _check_weights(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelUnavailable(f"{folder}: no tokenizer (one of {', '.join(TOKENIZER_FILES)}).")


def _check_config(folder: Path) -> None:
    config = read_config(folder)
    if not isinstance(config.get("model_type"), str):
        raise ModelUnavailable(f"{folder / 'config.json'}: no model_type, so no architecture.")
    quantised = config.get("quantization_config")
    if isinstance(quantised, dict):
        method = cast(dict[str, Any], quantised).get("quant_method", "unknown method")
        raise ModelUnavailable(
            f"{folder}: the weights are quantised ({method}); features are read from dense "
            "weights only. Use the unquantised model."
        )


def _check_weights(folder: Path) -> None:
    if (folder / INDEX).is_file():
        shards = set(
            cast(dict[str, str], _read_object(folder, INDEX).get("weight_map", {})).values()
        )
        absent = sorted(shard for shard in shards if not (folder / shard).is_file())
        if absent or not shards:
            what = ", ".join(absent) or "every weight file"
            raise ModelUnavailable(f"{folder}: {INDEX} names {what}, which is missing.")
    elif not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(f"{folder}: {_without_safetensors(folder)}")


def fingerprint(folder: Path) -> str:
    """SHA-256 over names and contents of everything that decides what the model answers."""
    patterns = ("*.safetensors", "*.json", "tokenizer.model", "merges.txt", "*.jinja")
    total = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        total.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file's contents, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_safetensors(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    unsafe = [name for name in names if name.endswith(PICKLES)]
    if unsafe:
        return (
            f"only pickled weights ({unsafe[0]}), which can run code when read; "
            "tracer opens safetensors only. Save the model again as safetensors."
        )
    if any(name.endswith(".gguf") for name in names):
        return "only GGUF weights; tracer converts those of its registered models only."
    return "no weights (*.safetensors)."


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelUnavailable(f"{folder}: no {name}, so this is no model folder.") from None
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise ModelUnavailable(f"{path}: not a JSON object.")
    return cast(dict[str, Any], found)
