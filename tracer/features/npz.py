"""NumPy archives without unpacking: the arrays of an uncompressed npz, mapped where they lie.

`numpy.load` would copy a whole array into memory (300 MB a layer for Gemma Scope).
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

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
    if min(shape, default=1) < 1 or start + _size(shape, dtype) > path.stat().st_size:
        raise NotReadable(f"{name} is empty or cut off")
    order = "F" if by_columns else "C"
    return torch.from_numpy(np.memmap(path, dtype, "c", start, shape, order))


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """In bytes, in Python's integers: a hostile shape overflows numpy's."""
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size
