"""Fetch a repository's files from the Hugging Face hub, or say why they cannot be had."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] -- of whichever HTTP library the hub uses
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from tracer.engine.model.foreign import guarded
from tracer.engine.model.sources import HubSource, not_fetched
from tracer.engine.progress import Progress
from tracer.errors import ModelUnavailable, OutOfReach

TOKENIZER_PATTERNS = ("*.json", "*.jinja", "tokenizer.model", "merges.txt")
MODEL_PATTERNS = (*TOKENIZER_PATTERNS, "*.safetensors")
_SUBFOLDERS = "*/*"
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


def download_files(source: HubSource, files: Sequence[str], progress: Progress) -> Path:
    """Single files of a repository, by their paths inside the folder that comes back.

    Raises:
        ModelUnavailable: As `download`.
    """
    return _snapshot(source, files, None, progress)


def _snapshot(
    source: HubSource, wanted: Sequence[str], unwanted: str | None, progress: Progress
) -> Path:
    what = f"{source.repo} cannot be got from the hub"
    advice = f"Try again, or look at it there. {source.hint}".strip()
    with progress.task(f"getting {source.repo} from the hub"), _no_bars(), guarded(what, advice):
        try:
            folder: str = _hub.snapshot_download(
                source.repo,
                revision=source.revision,
                allow_patterns=list(wanted),
                ignore_patterns=unwanted,
            )
        except (HTTPError, OSError, XetDownloadError) as error:
            kind, why = _refusal(error, source)
            raise kind(f"{why} {source.hint}".strip()) from error
    return Path(folder)


def _refusal(error: Exception, source: HubSource) -> tuple[type[ModelUnavailable], str]:
    """What the user can do about a failed download.

    `OutOfReach`: the hub may well have it, but not for this machine or this account.
    """
    repo = source.repo
    broke_off = f"The download of {repo} broke off: {error}. Run again to resume it."
    match error:
        case GatedRepoError():
            return OutOfReach, (
                f"{repo} is gated: accept its licence at https://huggingface.co/{repo} and log in "
                "with `hf auth login` (or set HF_TOKEN)."
            )
        case RepositoryNotFoundError():
            return ModelUnavailable, (
                f"The hub has no model {repo!r}, or it is private: check the spelling, or log in "
                "with `hf auth login` (or set HF_TOKEN)."
            )
        case RevisionNotFoundError():
            return ModelUnavailable, f"{repo} has no revision {source.revision!r} on the hub."
        case HfHubHTTPError(response=response) if response.status_code in (401, 403):
            return OutOfReach, (
                f"The hub refuses {repo} (HTTP {response.status_code}): log in with "
                f"`hf auth login` and check that you may read https://huggingface.co/{repo}."
            )
        case HfHubHTTPError(response=response):
            status = f"HTTP {response.status_code}"
            return ModelUnavailable, f"The hub failed on {repo} ({status}); try again later."
        case LocalEntryNotFoundError():
            return OutOfReach, not_fetched(repo)
        case OfflineModeIsEnabled():
            return OutOfReach, broke_off
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError):
            return ModelUnavailable, (
                f"{repo} cannot be stored in the hub's cache: {error.strerror or error}. "
                "HF_HOME moves it to another folder."
            )
        case _:
            return ModelUnavailable, broke_off


@contextmanager
def _no_bars() -> Generator[None, None, None]:
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
