"""Converted models on disk: built once, verified at every use, replaced where damaged.

`<user cache>/tracer/models/<name>-<hash>/` is either absent or complete: it is built as a hidden
sibling and renamed. `manifest.json` in it holds size and SHA-256 of every file. A lock file keeps a
second process waiting while the first one builds; a build that was killed leaves only the sibling,
which the next build of that model or `tracer cache clear` removes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import platformdirs
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from tracer.engine.model.hf_folder import file_sha256
from tracer.engine.progress import Progress
from tracer.errors import ModelUnavailable

CONVERSION = 1
"""Raise it when a conversion of the same source would come out different."""

MANIFEST = "manifest.json"
_PARTIAL, _LOCK = ".partial", ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NEARLY_FULL = 4 * 2**20
"""Bytes; with less than this left, a failed write is put down to the full disk."""


class CachedModel(NamedTuple):
    """What is cached: a model, and the source it is converted from."""

    model: str
    source_sha256: str

    @property
    def key(self) -> str:
        """Folder name; changes with the source and with the conversion."""
        digest = hashlib.sha256(f"{self.source_sha256}:{CONVERSION}".encode()).hexdigest()
        return f"{self.model}-{digest[:12]}"


class FileRecord(BaseModel):
    """One file of an entry as it was built."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    size: int
    sha256: str


class Manifest(BaseModel):
    """What an entry must look like."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source_sha256: str
    conversion: int
    files: dict[str, FileRecord]


def root() -> Path:
    """The folder of all entries; it need not exist."""
    return platformdirs.user_cache_path("tracer", appauthor=False) / "models"


def is_present(entry: CachedModel) -> bool:
    """Whether it is there with every file at its size; contents are not read."""
    return _damage(root() / entry.key, entry, hashed=lambda name: False) is None


def ensure(
    entry: CachedModel,
    build: Callable[[Path], None],
    needed_mb: int,
    progress: Progress,
    hashed: Callable[[str], bool] = lambda name: True,
) -> Path:
    """The entry's folder, built if it is absent or damaged.

    Args:
        entry: What is asked for.
        build: Writes all files into the empty folder it is given.
        needed_mb: Free disk space without which the build is not begun.
        progress: Told when another process is waited for and when a damaged entry is replaced.
        hashed: Which files' contents are compared; sizes always are.

    Raises:
        ModelUnavailable: The disk is full or the cache cannot be written.
    """
    folder = root() / entry.key
    with progress.task(f"checking the cached {entry.model}"):
        if _damage(folder, entry, hashed) is None:
            return folder
    with _explained(folder.parent), _locked(entry, folder, progress):
        damage = _damage(folder, entry, hashed)
        if damage is not None:
            if folder.exists():
                progress.note(f"{folder} is damaged ({damage}); it is built again.")
                shutil.rmtree(folder)
            _build(entry, folder, build, needed_mb)
    return folder


class LeftBehind(NamedTuple):
    """Conversions that were killed."""

    folders: int
    bytes: int


def left_behind(*, remove: bool) -> LeftBehind:
    """Count, and remove if asked, the unfinished conversions that no living process works on.

    Raises:
        OSError: One cannot be removed.
    """
    sizes: list[int] = []
    for partial in sorted(root().glob(f".*{_PARTIAL}")):
        lock = FileLock(partial.with_name(partial.name.removesuffix(_PARTIAL) + _LOCK))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            if partial.is_dir():
                sizes.append(sum(p.stat().st_size for p in partial.rglob("*") if p.is_file()))
                if remove:
                    shutil.rmtree(partial)
        finally:
            lock.release()
    return LeftBehind(len(sizes), sum(sizes))


def _damage(folder: Path, entry: CachedModel, hashed: Callable[[str], bool]) -> str | None:
    """What is wrong with the entry, None if nothing."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return f"no {MANIFEST}"
    except (OSError, ValidationError):
        return f"unreadable {MANIFEST}"
    if (manifest.source_sha256, manifest.conversion) != (entry.source_sha256, CONVERSION):
        return "made from another source"
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected.size:
            return f"{name} has {path.stat().st_size} bytes instead of {expected.size}"
        if hashed(name) and file_sha256(path) != expected.sha256:
            return f"the contents of {name} have changed"
    return None


def _build(entry: CachedModel, folder: Path, build: Callable[[Path], None], needed_mb: int) -> None:
    """Build beside the folder, then rename.

    The Rust writers of tokenizer and weights have error types of their own, so a failed write is
    also recognised by the disk being full.
    """
    partial = folder.with_name(f".{folder.name}{_PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    free_mb = shutil.disk_usage(folder.parent).free // 2**20
    if free_mb < needed_mb:
        raise ModelUnavailable(_full(folder.parent, f"{needed_mb} MB are needed, {free_mb} free"))
    partial.mkdir()
    try:
        build(partial)
        _write_manifest(entry, partial)
        os.rename(partial, folder)
    except BaseException as error:
        if isinstance(error, Exception) and shutil.disk_usage(partial).free < _NEARLY_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_manifest(entry: CachedModel, folder: Path) -> None:
    files = {
        path.name: FileRecord(size=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.iterdir())
    }
    manifest = Manifest(source_sha256=entry.source_sha256, conversion=CONVERSION, files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    # Without it, a power cut after the rename could leave a complete name over empty files.
    for name in (*files, MANIFEST):
        with (folder / name).open("rb+") as file:
            os.fsync(file.fileno())


@contextmanager
def _locked(entry: CachedModel, folder: Path, progress: Progress) -> Generator[None, None, None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}{_LOCK}"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with progress.task(f"waiting for another process that is converting {entry.model}"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(folder: Path) -> Generator[None, None, None]:
    """Turn what the file system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ModelUnavailable(_full(folder, str(error.strerror))) from error
        if error.errno is None:
            raise
        raise ModelUnavailable(
            f"Cannot write the model cache {folder}: {error.strerror or error}. "
            "Set XDG_CACHE_HOME to a folder you can write to."
        ) from error


def _full(folder: Path, why: str) -> str:
    return (
        f"Not enough disk space for the model cache {folder}: {why}. Make room, or set "
        "XDG_CACHE_HOME to a folder on another disk."
    )
