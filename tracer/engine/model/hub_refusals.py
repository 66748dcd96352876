"""Why the hub does not give a repository's files, as a sentence that says what to do."""

from __future__ import annotations

from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tracer.engine.model.sources import HubSource, not_fetched
from tracer.errors import ModelUnavailable, OutOfReach


def in_short(error: BaseException | None) -> str:
    """Why the hub did not answer, in a few words."""
    match error:
        case HfHubHTTPError(response=response):
            return f"HTTP {response.status_code}"
        case _ if is_timeout(error):
            return "it did not answer in time"
        case _:
            return "no network"


def is_timeout(error: BaseException | None) -> bool:
    """Whatever HTTP library the hub uses, it calls it so."""
    return any(kind.__name__ == "TimeoutException" for kind in type(error).__mro__)


def refusal(error: BaseException, source: HubSource) -> tuple[type[ModelUnavailable], str]:
    """What the user can do about a failed download.

    `OutOfReach`: the hub may well have it, but not for this machine or this account.
    """
    repo = source.repo
    first = next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
    first = "the hub did not go on in time" if is_timeout(error) else first
    broke_off = f"The download of {repo} broke off: {first}. Run again; whole files are kept."
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
        case HfHubHTTPError(response=response) if response.status_code == 429:
            return ModelUnavailable, (
                f"The hub takes no more requests for now (HTTP 429, asked for {repo}); try again "
                "in some minutes, or log in with `hf auth login`, which raises the limit."
            )
        case HfHubHTTPError(response=response):
            status = f"HTTP {response.status_code}"
            return ModelUnavailable, f"The hub failed on {repo} ({status}); try again later."
        case LocalEntryNotFoundError():
            return _not_here(error, source)
        case OfflineModeIsEnabled():
            return OutOfReach, broke_off
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError):
            return ModelUnavailable, (
                f"{repo} cannot be stored in the hub's cache: {error.strerror or error}. "
                "HF_HOME moves it to another folder."
            )
        case _:
            return ModelUnavailable, broke_off


def _not_here(
    error: LocalEntryNotFoundError, source: HubSource
) -> tuple[type[ModelUnavailable], str]:
    """Files that are not in the cache, by why the hub did not give them."""
    match error.__cause__:
        case HfHubHTTPError() as refused:
            return refusal(refused, source)
        case FileMetadataError():
            return ModelUnavailable, (
                f"What answers for {source.repo} is no model hub: it names no commit. Check "
                "HF_ENDPOINT, and a proxy that may stand between."
            )
        case slow if is_timeout(slow):
            return OutOfReach, (
                f"The hub does not answer in time when it is asked for {source.repo}; try again "
                "later."
            )
        case _:
            part = isinstance(error, IncompleteSnapshotError)
            return OutOfReach, not_fetched(source.repo, in_part=part)
