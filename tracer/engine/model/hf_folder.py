"""Whether a folder holds a model in Hugging Face's format that may be opened: no pickle or code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from tracer.errors import ModelUnavailable

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


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


def check_config(folder: Path) -> None:
    """Refuse what cannot be a dense causal language model.

    Raises:
        ModelUnavailable: With the reason.
    """
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


def check_weights(folder: Path) -> None:
    """Refuse a folder without complete safetensors.

    Raises:
        ModelUnavailable: With the reason.
    """
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


def check_tokenizer(folder: Path) -> None:
    """Refuse a folder without a tokenizer.

    Raises:
        ModelUnavailable: With the files that would do.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelUnavailable(f"{folder}: no tokenizer (one of {', '.join(TOKENIZER_FILES)}).")


def fingerprint(folder: Path) -> str:
    """SHA-256 over names and contents of everything that decides what the model answers."""
    total = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json"), *_rest(folder)]):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name}\0{digest}\n".encode())
    return total.hexdigest()


def _rest(folder: Path) -> list[Path]:
    return [*folder.glob("tokenizer.model"), *folder.glob("merges.txt"), *folder.glob("*.jinja")]


def _without_safetensors(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    unsafe = [name for name in names if name.endswith(_UNSAFE)]
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
