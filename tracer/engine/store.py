"""Measurements on disk that outlive their runs: one file an entry, named by a hash of its cause.

`<user cache>/tracer/measurements/<2 hex>/<62 hex>.safetensors`. An entry is arrays and a JSON
value, with a hash of both; what is cut short, changed or no entry at all is as good as absent, and
the next measurement replaces it. The folder is bounded: when it outgrows `MAX_BYTES`, the entries
that were used longest ago go first. Nothing that goes wrong here stops a run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
import safetensors.numpy
from safetensors import SafetensorError

from tracer.record.arrays import Arrays
from tracer.record.files import file_stamp, left_behind, remove_left_behind, write_bytes

MAX_BYTES = 2 * 2**30
"""All entries together."""
MAX_ENTRY = 256 * 2**20
"""One entry; a larger one is not kept."""
_TRIM_TO = 0.9
"""Share of the bound that trimming leaves, so that it is not done at every entry."""
_SUFFIX = ".safetensors"
_ABOUT, _SHA256 = "about", "sha256"


class StoredEntry(NamedTuple):
    """What was kept under a key."""

    arrays: Arrays
    about: Any


class Size(NamedTuple):
    """What the folder holds."""

    entries: int
    bytes: int


class _File(NamedTuple):
    path: Path
    bytes: int
    used: float


def root() -> Path:
    """The folder of all entries; it need not exist."""
    return platformdirs.user_cache_path("tracer", appauthor=False) / "measurements"


def key_of(cause: Any) -> str:
    """Hash of everything a measurement depends on; JSON values, floats by their shortest form."""
    text = json.dumps(cause, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


@dataclass
class Store:
    """Entries under a folder."""

    folder: Path
    max_bytes: int = MAX_BYTES
    failed: OSError | None = field(default=None, init=False)
    """Why an entry could not be written, the first time; nothing is written after it."""
    _bytes: int | None = field(default=None, init=False)
    _noted: dict[str, bool] | None = field(default=None, init=False)

    @contextmanager
    def noted(self) -> Generator[Mapping[str, bool], None, None]:
        """Notes every key that is asked for meanwhile, and whether its entry is there by then."""
        self._noted = {}
        try:
            yield self._noted
        finally:
            self._noted = None

    def read(self, key: str) -> StoredEntry | None:
        """An entry, which counts as used now; None where there is no sound one."""
        entry = self._read(key)
        if self._noted is not None:
            self._noted[key] = entry is not None
        return entry

    def _read(self, key: str) -> StoredEntry | None:
        path = self._path(key)
        try:
            if path.stat().st_size > MAX_ENTRY:
                return None
            entry = _parse(path.read_bytes())
            os.utime(path)
        except OSError:
            return None
        return entry

    def use(self, keys: Iterable[str]) -> None:
        """Let entries count as used now; some may be there no more."""
        for key in keys:
            with suppress(OSError):
                os.utime(self._path(key))

    def holds(self, key: str) -> bool:
        """Whether there is such an entry, sound or not."""
        return self._path(key).is_file()

    def write(self, key: str, arrays: Arrays, about: Any) -> None:
        """Keep an entry, unless it is too large, or note in `failed` why that cannot be."""
        if self.failed is not None:
            return
        path = self._path(key)
        data = _serialise(arrays, about)
        if len(data) > MAX_ENTRY:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, data)
            self._bytes = len(data) + (self.size().bytes if self._bytes is None else self._bytes)
            if self._bytes > self.max_bytes:
                self._trim()
            if self._noted is not None:
                self._noted[key] = True
        except OSError as error:
            self.failed = error

    def size(self) -> Size:
        """Entries and bytes, as they are on disk now."""
        files = list(self._files())
        return Size(len(files), sum(file.bytes for file in files))

    def left_behind(self) -> Size:
        """Temporary files of killed processes, which belong to no entry."""
        stamps = [stamp for path in left_behind(self.folder) if (stamp := file_stamp(path))]
        return Size(len(stamps), sum(stamp.size for stamp in stamps))

    def clear(self) -> Size:
        """Remove every entry, and what killed processes left; gives the entries.

        What another process writes meanwhile stays.

        Raises:
            OSError: One cannot be removed.
        """
        size = self.size()
        for file in self._files():
            file.path.unlink(missing_ok=True)
        remove_left_behind(self.folder)
        for folder in (*self.folder.glob("??"), self.folder):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()
        return size

    def _trim(self) -> None:
        """Remove what was used longest ago until a tenth of the bound is free."""
        remove_left_behind(self.folder)
        files = sorted(self._files(), key=lambda file: (file.used, file.path))
        total = sum(file.bytes for file in files)
        for file in files:
            if total <= _TRIM_TO * self.max_bytes:
                break
            file.path.unlink(missing_ok=True)
            total -= file.bytes
        self._bytes = total

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}{_SUFFIX}"

    def _files(self) -> Iterator[_File]:
        """Every entry; one that another process removes meanwhile is left out."""
        for path in self.folder.glob(f"??/*{_SUFFIX}"):
            try:
                about = path.stat()
            except OSError:
                continue
            yield _File(path, about.st_size, about.st_mtime)


def _serialise(arrays: Arrays, about: Any) -> bytes:
    whole = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    text = json.dumps(about)
    return safetensors.numpy.save(whole, {_ABOUT: text, _SHA256: _digest(whole, text)})


def _parse(data: bytes) -> StoredEntry | None:
    try:
        arrays = safetensors.numpy.load(data)
        found = _metadata(data)
        text = found[_ABOUT]
        if found[_SHA256] != _digest(arrays, text):
            return None
        return StoredEntry(arrays, json.loads(text))
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None


def _metadata(data: bytes) -> dict[str, str]:
    """The strings of a safetensors header, whose first eight bytes are its length."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        total.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
