"""Fetch a repository's files from the Hugging Face hub, or say why they cannot be had.

The hub is asked first what there is and how much of it is to be fetched. Where it does not answer,
what was fetched before is used, and that is said; so is a branch that has another commit than when
it was fetched. A file that was broken off is fetched anew by the next command, whole files are
kept: `huggingface_hub` goes on inside a file only while it runs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    DryRunError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] -- of whichever HTTP library the hub uses
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionResolutionError,
    XetDownloadError,
)

from tracer.engine.model.foreign import guarded
from tracer.engine.model.hub_client import MB, no_bars, set_patience, telling_bar, warnings_told
from tracer.engine.model.hub_refusals import in_short, refusal
from tracer.engine.model.sources import HubSource
from tracer.engine.progress import Progress
from tracer.errors import ModelUnavailable

TOKENIZER_PATTERNS = ("*.json", "*.jinja", "tokenizer.model", "merges.txt")
_SUBFOLDERS = "*/*"
_GB = 10**9
_OLD = 3600.0
"""Seconds; nobody is writing to a file that was not written to for so long."""
_hub: Any = huggingface_hub


def download(
    source: HubSource, patterns: Sequence[str], progress: Progress, folder: str = ""
) -> Path:
    """Files of these patterns that lie in the repository's `folder` itself, not in subfolders.

    What comes back is the repository's own folder here, whose name is the commit. Weights that are
    not safetensors, and code, are never fetched.

    Raises:
        OutOfReach: No network, or no permission.
        ModelUnavailable: No such repository or revision, or no room for it.
    """
    within = f"{folder}/" if folder else ""
    wanted = [within + pattern for pattern in patterns]
    return _snapshot(source, wanted, within + _SUBFOLDERS, progress)


def download_nested(
    source: HubSource, patterns: Sequence[str], progress: Progress, folder: str
) -> Path:
    """Files of these patterns that lie in subfolders of the repository's `folder`, as `download`.

    Raises:
        ModelUnavailable: As `download`.
    """
    within = f"{folder}/" if folder else ""
    return _snapshot(source, [within + pattern for pattern in patterns], None, progress)


def download_files(source: HubSource, files: Sequence[str], progress: Progress) -> Path:
    """Single files of a repository, by their paths inside the folder that comes back.

    Raises:
        ModelUnavailable: As `download`.
    """
    return _snapshot(source, files, None, progress)


def file_bytes(source: HubSource, files: Sequence[str]) -> int | None:
    """How large files of a commit are together; None where its listing is not at hand.

    The listing is kept by every download from that commit. The hub is not asked.
    """
    try:
        tree = _hub.get_cached_repo_tree(source.repo, revision=source.revision)
    except CachedRepoTreeNotFoundError:
        return None
    return sum(each.size for each in tree if each.path in files)


def _snapshot(
    source: HubSource, wanted: Sequence[str], unwanted: str | None, progress: Progress
) -> Path:
    what = f"{source.repo} cannot be got from the hub"
    advice = f"Try again, or look at it there. {source.hint}".strip()
    asked = {
        "revision": source.revision,
        "allow_patterns": list(wanted),
        "ignore_patterns": unwanted,
    }
    set_patience()
    with no_bars(), warnings_told(progress), guarded(what, advice):
        try:
            return _fetched(source, asked, progress)
        except (HTTPError, OSError, XetDownloadError) as error:
            kind, why = refusal(error, source)
            raise kind(f"{why} {source.hint}".strip()) from error


def _fetched(source: HubSource, asked: dict[str, Any], progress: Progress) -> Path:
    """Ask what is to be fetched, fetch it, and tell what a user should not miss."""
    before = _commit_before(source)
    with progress.task(f"asking the hub about {source.repo}"):
        try:
            planned = _hub.snapshot_download(source.repo, **asked, dry_run=True)
        except DryRunError as error:
            return _from_cache(source, asked, error.__cause__, progress)
    missing = sum(each.file_size or 0 for each in planned if each.will_download)
    if missing:
        _require_disk(source.repo, missing)
        _tell_left_behind(source.repo, progress)
    label, n_mb = f"getting {source.repo} from the hub", missing // MB
    with progress.task(f"{label}, MB", n_mb) if n_mb else progress.task(label) as advance:
        bar = telling_bar(advance)
        folder = Path(_hub.snapshot_download(source.repo, **asked, tqdm_class=bar))
    if before not in (None, folder.name):
        progress.note(
            f"{source.repo} has changed on the hub: {source.revision or 'main'} is commit "
            f"{folder.name} now, and was {before} when it was fetched before; name that as the "
            "revision to stay with it"
        )
    return folder


def _commit_before(source: HubSource) -> str | None:
    """The commit that a branch had when it was fetched last; None for one that never was."""
    try:
        found = _hub.resolve_revision(source.repo, revision=source.revision, local_files_only=True)
    except RevisionResolutionError:
        return None
    return str(found.resolved)


def _from_cache(
    source: HubSource, asked: dict[str, Any], why: BaseException | None, progress: Progress
) -> Path:
    """What was fetched before, where the hub did not say what there is now."""
    if isinstance(why, RepositoryNotFoundError):
        raise why
    try:
        folder = Path(_hub.snapshot_download(source.repo, **asked, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise error from why
    if not isinstance(why, OfflineModeIsEnabled):
        progress.note(
            f"the hub could not be asked about {source.repo} ({in_short(why)}); commit "
            f"{folder.name}, which was fetched before, is used"
        )
    return folder


def _require_disk(repo: str, n_bytes: int) -> None:
    """Refuse a download that the disk has no room for before it begins."""
    cache = Path(constants.HF_HUB_CACHE)
    there = next(each for each in (cache, *cache.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < n_bytes:
        raise ModelUnavailable(
            f"{repo}: {n_bytes / _GB:.1f} GB are to be fetched into the hub's cache {cache}, where "
            f"{free / _GB:.1f} GB are free. HF_HOME moves it to another folder."
        )


def _tell_left_behind(repo: str, progress: Progress) -> None:
    """Tell of files that downloads left half done when they were killed: nothing reads them."""
    blobs = Path(constants.HF_HUB_CACHE, f"models--{repo.replace('/', '--')}", "blobs")
    found = [path.stat() for path in blobs.glob("*.incomplete")]
    old = [each.st_size for each in found if time.time() - each.st_mtime > _OLD]
    if old:
        progress.note(
            f"{len(old)} file(s) of downloads that were killed, {sum(old) / _GB:.1f} GB, lie in "
            f"{blobs}; what ends in .incomplete there can be removed"
        )
