"""Tensors of one file, memory-mapped: safetensors and uncompressed npz; never a pickle.

What a format expects is asked for by name, shape and floating type, and a file that has something
else is refused in one sentence. The arrays of an npz are mapped where they lie in the archive;
`numpy.load` would copy each into memory (300 MB a layer for Gemma Scope).
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tracer.errors import UsageError

_LOCAL_HEADER = 30
_LENGTHS_AT = 26
"""Where a zip member's own header gives the lengths of its name and extra field."""
_TYPES = (np.float64, np.float32, np.float16, np.int64, np.int32)


class NotReadable(Exception):
    """Why an archive is not read, without its path or a full stop."""


def map_npz(path: Path) -> dict[str, Tensor]:
    """Arrays by name; writing to them does not reach the file.

    Raises:
        NotReadable: It is no npz, is compressed, is cut off, or holds anything but numbers.
        OSError: The file is missing or cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            return {
                member.filename.removesuffix(".npy"): _map(path, file, member)
                for member in archive.infolist()
            }
    except (zipfile.BadZipFile, NotImplementedError):
        raise NotReadable("it is no npz archive; pickles are never read") from None
    except (ValueError, EOFError, struct.error, RecursionError, MemoryError) as error:
        raise NotReadable(f"it is no sound npz archive: {error}") from None


def _map(path: Path, file: BinaryIO, member: zipfile.ZipInfo) -> Tensor:
    name = member.filename
    if member.compress_type != zipfile.ZIP_STORED:
        raise NotReadable(f"{name} is compressed; write it with numpy.savez")
    file.seek(member.header_offset)
    lengths = struct.unpack_from("<HH", file.read(_LOCAL_HEADER), _LENGTHS_AT)
    file.seek(member.header_offset + _LOCAL_HEADER + sum(lengths))
    shape, by_columns, dtype = _header(file)
    if dtype.hasobject:
        raise NotReadable(f"{name} holds Python objects (a pickle), which are never read")
    if dtype.type not in _TYPES or not dtype.isnative:
        raise NotReadable(f"{name} is {dtype}; allowed are float16, float32, float64")
    start = file.tell()
    if min(shape, default=1) < 1 or start + math.prod(shape) * dtype.itemsize > path.stat().st_size:
        raise NotReadable(f"{name} is empty or cut off")
    order = "F" if by_columns else "C"
    return torch.from_numpy(np.memmap(path, dtype, "c", start, shape, order))


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_INTEGERS = {"I64": "int64", "I32": "int32"}
_CODES = {"I8": "int8"}
_SHOWN = 8


class TensorFile(NamedTuple):
    """What a file holds; tensors of a type that no format uses stay unread."""

    path: Path
    dtypes: Mapping[str, str]
    tensors: Mapping[str, Tensor]

    def has(self, key: str) -> bool:
        """Whether there is such a tensor, of whatever type."""
        return key in self.dtypes


def open_tensors(path: Path) -> TensorFile:
    """Map a file, of which nothing but the header is read yet.

    Raises:
        UsageError: It is missing, cut off, compressed, or no regular safetensors or npz file.
    """
    if path.suffix not in (".safetensors", ".npz"):
        raise UsageError(f"{path}: only .safetensors and .npz files are read, never pickles.")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: this is not a regular file.")
    try:
        return _open_npz(path) if path.suffix == ".npz" else _open_safetensors(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except (OSError, SafetensorError, NotReadable) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None


def take(file: TensorFile, key: str, shape: Sequence[int | None]) -> Tensor:
    """A floating-point tensor of this shape; None stands for any size from 1.

    Raises:
        UsageError: It is not there, or has another shape or type.
    """
    return _take(file, key, shape, _FLOATS)


class Stored(NamedTuple):
    """A weight as a file has it."""

    values: Tensor
    scale: Tensor | None
    """Factors of the rows of `values`, one for all but the last axis; None for 1."""


def take_weight(file: TensorFile, key: str, shape: Sequence[int | None]) -> Stored:
    """A weight, floating-point or, where the file has `key.int8`, that times `key.scale`.

    Raises:
        UsageError: As `take`, for both.
    """
    if file.has(key) or not file.has(codes_key(key)):
        return Stored(take(file, key, shape), None)
    values = _take(file, codes_key(key), shape, _CODES)
    return Stored(values, take(file, scale_key(key), values.shape[:-1]))


def codes_key(key: str) -> str:
    """Name of the whole numbers of a weight."""
    return f"{key}.int8"


def scale_key(key: str) -> str:
    """Name of the factors of the rows of a weight."""
    return f"{key}.scale"


def _take(
    file: TensorFile, key: str, shape: Sequence[int | None], types: Mapping[str, str]
) -> Tensor:
    if key not in file.dtypes:
        raise UsageError(f"{file.path}: no tensor {key!r}; it holds {_shown(file.dtypes)}.")
    if file.dtypes[key] not in types.values():
        raise UsageError(
            f"{file.path}: {key!r} is {file.dtypes[key]}; "
            f"allowed are {', '.join(sorted(types.values()))}."
        )
    tensor = file.tensors[key]
    fits = len(shape) == tensor.ndim and all(
        size > 0 and wanted in (None, size)
        for wanted, size in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise UsageError(
            f"{file.path}: {key!r} has shape {_times(tensor.shape)}, expected {_times(shape)}."
        )
    return tensor


def take_if_there(file: TensorFile, key: str, shape: Sequence[int | None]) -> Tensor | None:
    """The same, or None where the file has no tensor of this name."""
    return take(file, key, shape) if file.has(key) else None


def take_count(file: TensorFile, key: str) -> int | None:
    """A whole number stored as a tensor of one element; None where there is no such tensor.

    Raises:
        UsageError: It is no single whole number.
    """
    if not file.has(key):
        return None
    tensor = file.tensors.get(key)
    if tensor is None or file.dtypes[key] not in _INTEGERS.values() or tensor.numel() != 1:
        raise UsageError(f"{file.path}: {key!r} must be one whole number (int64).")
    return int(tensor.item())


def take_weight_if_there(
    file: TensorFile, key: str, shape: Sequence[int | None]
) -> Stored | tuple[None, None]:
    """The same, or nothing where the file has no weight of this name."""
    there = file.has(key) or file.has(codes_key(key))
    return take_weight(file, key, shape) if there else (None, None)


def _open_safetensors(path: Path) -> TensorFile:
    # `get_tensor` gives views of one mapping of the file, which lives as long as they do.
    known = _FLOATS | _INTEGERS | _CODES
    with safe_open(path, framework="pt") as file:
        stored = {key: str(file.get_slice(key).get_dtype()) for key in file.keys()}  # noqa: SIM118
        tensors = {key: file.get_tensor(key) for key in stored if stored[key] in known}
    return TensorFile(path, {key: known.get(d, d.lower()) for key, d in stored.items()}, tensors)


def _open_npz(path: Path) -> TensorFile:
    tensors = map_npz(path)
    dtypes = {key: str(tensor.dtype).removeprefix("torch.") for key, tensor in tensors.items()}
    return TensorFile(path, dtypes, tensors)


def _shown(names: Mapping[str, str]) -> str:
    some = sorted(names)[:_SHOWN]
    rest = len(names) - len(some)
    return (", ".join(map(repr, some)) or "nothing") + (f" and {rest} more" if rest else "")


def _times(shape: Sequence[int | None]) -> str:
    return " × ".join("any" if size is None else str(size) for size in shape) or "a single number"
