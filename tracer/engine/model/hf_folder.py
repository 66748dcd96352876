"""Whether a folder holds a model in Hugging Face's format that may be opened: no pickle or code."""

from __future__ import annotations

import hashlib
import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast

from tracer.errors import ModelUnavailable, show
from tracer.record.files import FileStamp, file_stamp

INDEX = "model.safetensors.index.json"
PLAIN = "model.safetensors"
ADAPTER = "adapter_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Suffixes of pickled weights, which can run code when read."""
MAX_JSON_MB = 64
"""Of config and index; those of the largest models take a few."""
MAX_LAYERS = 10_000
_INDEX_SUFFIX = ".safetensors.index.json"
_READ = (
    "*.safetensors",
    "*.json",
    "tokenizer.model",
    "merges.txt",
    "*.jinja",
    "additional_chat_templates/*.jinja",
)
"""What decides on a model's answers, besides the shards that an index names."""


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`.

    Raises:
        ModelUnavailable: It is missing or not a JSON object.
    """
    return _read_object(folder, "config.json")


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part about the language model, of a model that also reads other things."""
    inner = config.get("text_config")
    return cast(dict[str, Any], inner) if inner and isinstance(inner, dict) else config


def context_length(config: dict[str, Any]) -> int | None:
    """How many tokens the model was built for; None where the config does not say."""
    text = text_config(config)
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
    found = (text[name] for name in names if type(text.get(name)) in (int, float))
    return next((int(n) for n in found if 1 <= n < 2**31), None)


def check_folder(folder: Path, *, weights: bool = True) -> None:
    """Refuse what is no causal language model with safetensors and a tokenizer.

    Args:
        folder: Where `config.json` must be.
        weights: False where the weights are not needed; then they may be missing.

    Raises:
        ModelUnavailable: With the reason.
    """
    _check_files(folder)
    if (folder / ADAPTER).exists():
        raise ModelUnavailable(
            f"{folder / ADAPTER}: this is an adapter, which changes another model. Merge it into "
            "that model (PEFT's merge_and_unload) and save the whole."
        )
    config = _check_config(folder)
    if weights:
        _check_weights(folder, config)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelUnavailable(f"{folder}: no tokenizer (one of {', '.join(TOKENIZER_FILES)}).")


def _check_files(folder: Path) -> None:
    """Refuse pipes and devices, which may never end, and folders where a file is read."""
    for path in _found(folder):
        if not path.is_file():
            raise ModelUnavailable(
                f"{path}: this is not a regular file. Put the model's file there, or remove it."
            )


def _check_config(folder: Path) -> dict[str, Any]:
    config, path = read_config(folder), folder / "config.json"
    if not isinstance(config.get("model_type"), str):
        raise ModelUnavailable(f"{path}: no model_type, so no architecture.")
    n_layers = text_config(config).get("num_hidden_layers")
    if isinstance(n_layers, int) and n_layers > MAX_LAYERS:
        raise ModelUnavailable(
            f"{path}: num_hidden_layers is {n_layers:.3g}; up to {MAX_LAYERS:,} are read."
        )
    return config


def _check_weights(folder: Path, config: dict[str, Any]) -> None:
    named = _weights_named(folder, config)
    if named is None and not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(f"{folder}: {_without_safetensors(folder)}")
    for shard in _shards(folder, config):
        if not shard.is_file():
            raise ModelUnavailable(
                f"{shard}: {named} names this file, which is missing or is not a regular file."
            )


def weight_names(folder: Path) -> list[str]:
    """The files that the weights would be read from, by path in the folder, be they there or not.

    Raises:
        ModelUnavailable: Config or index is unsound.
    """
    named = [path.relative_to(folder).as_posix() for path in _shards(folder, read_config(folder))]
    return named or [PLAIN]


def _weights_named(folder: Path, config: dict[str, Any]) -> str | None:
    """The index or the file that the weights are read from, where the folder says."""
    name = config.get("transformers_weights")
    if name is None:
        return INDEX if (folder / INDEX).is_file() else None
    return _inside(folder / "config.json", "transformers_weights", name)


def _shards(folder: Path, config: dict[str, Any]) -> list[Path]:
    """The files of weights that config or index name, wherever they lie in the folder."""
    name = _weights_named(folder, config)
    if name is None:
        return []
    if not name.endswith(_INDEX_SUFFIX):
        return [folder / name]
    index = _read_object(folder, name)
    places: object = index.get("weight_map")
    if not isinstance(places, dict) or not places or not isinstance(index.get("metadata"), dict):
        raise ModelUnavailable(
            f"{folder / name}: no sound index; expected are metadata, and a weight_map that names "
            "the file of each tensor."
        )
    given = cast(dict[str, object], places).values()
    files = {_inside(folder / name, "weight_map", each) for each in given}
    return [folder / each for each in sorted(files)]


def weight_files(folder: Path) -> list[Path]:
    """The files that the weights are read from."""
    config = read_config(folder)
    plain = folder / PLAIN
    if plain.is_file() and config.get("transformers_weights") is None:
        return [plain]
    return _shards(folder, config)


def require_json(folder: Path, names: Iterable[str]) -> None:
    """Refuse those of the files that are there and no JSON objects.

    Raises:
        ModelUnavailable: The first of them.
    """
    for name in names:
        if (folder / name).exists():
            _read_object(folder, name)


def _inside(path: Path, key: str, name: object) -> str:
    """A file that another one names, which must lie in its folder."""
    if isinstance(name, str) and name and not leads_out(name):
        return name
    raise ModelUnavailable(
        f"{path}: {key} names {show(name)}; allowed are paths inside the model's folder."
    )


def leads_out(name: str) -> bool:
    """Whether a path that a file names is none inside a folder.

    Judged by the text alone: the hub's cache consists of links that lead out.
    """
    path = PurePosixPath(name)
    has_drive = bool(PureWindowsPath(name).drive)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or has_drive


def fingerprint(folder: Path) -> str:
    """SHA-256 over names and contents of everything that decides what the model answers.

    Raises:
        ModelUnavailable: Config or index is unsound.
    """
    total = hashlib.sha256()
    for path in sorted({*_found(folder), *_shards(folder, read_config(folder))}):
        name = path.relative_to(folder).as_posix()
        total.update(f"{name}\0{_sha256_as_of(path, file_stamp(path))}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=1000)
def _sha256_as_of(path: Path, stamp: FileStamp | None) -> str:
    """Read once as long as the stamp stays: a run asks what a model is before it opens it."""
    return file_sha256(path)


def _found(folder: Path) -> Iterator[Path]:
    return (path for pattern in _READ for path in folder.glob(pattern))


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
        if path.exists() and not path.is_file():
            raise ModelUnavailable(f"{path}: this is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_JSON_MB * 2**20 + 1)
        if len(content) > MAX_JSON_MB * 2**20:
            raise ModelUnavailable(f"{path}: larger than {MAX_JSON_MB} MiB, which is no {name}.")
        if content.startswith(BOM_UTF8):
            raise ModelUnavailable(
                f"{path}: it begins with a byte order mark, which other libraries do not read. "
                "Save it as UTF-8 without one."
            )
        found: object = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise ModelUnavailable(f"{folder}: no {name}, so this is no model folder.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise ModelUnavailable(f"{path}: not a JSON object.")
    return cast(dict[str, Any], found)
