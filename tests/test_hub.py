"""Every way in which the hub refuses is a sentence with a way out.

The client is a stand-in here; `test_hub_downloads` has the real one.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import httpx2
import pytest
from heard import Heard
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import are_progress_bars_disabled

from tracer.engine.model import hub
from tracer.engine.model.hub import TOKENIZER_PATTERNS, download
from tracer.engine.model.sources import HubSource
from tracer.errors import ModelUnavailable, OutOfReach

SOURCE = HubSource("org/name", "v9", "Or install the package.")


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co/x"))


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", refuse)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (GatedRepoError("", response=response(403)), "is gated: accept its licence at https://"),
        (RepositoryNotFoundError("", response=response(401)), "no model 'org/name', or it is priv"),
        (RevisionNotFoundError("", response=response(404)), "org/name has no revision 'v9'"),
        (HfHubHTTPError("", response=response(403)), r"refuses org/name \(HTTP 403\): log in"),
        (HfHubHTTPError("", response=response(503)), r"HTTP 503\); try again later"),
        (LocalEntryNotFoundError(""), "HF_HUB_OFFLINE forbids a download"),
        (OSError(errno.ENOSPC, "No space left"), "cannot be stored .* No space left. HF_HOME"),
        (
            httpx2.ReadTimeout("slow"),
            "broke off: the hub did not go on in time. Run again; whole f",
        ),
        (httpx2.ReadError("cut"), "broke off: cut. Run again; whole files are kept"),
        (OfflineModeIsEnabled("offline"), "broke off: offline"),
        (KeyError("siblings"), "org/name cannot be got from the hub .KeyError: 'siblings'.. Try"),
        (ValueError("no JSON"), "org/name cannot be got from the hub .ValueError: no JSON.. Try"),
    ],
)
def test_each_refusal_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
):
    fail_with(monkeypatch, error)
    with pytest.raises(ModelUnavailable, match=sentence) as caught:
        download(SOURCE, TOKENIZER_PATTERNS, Heard())
    assert str(caught.value).endswith("Or install the package.")


def test_no_network_is_told_as_such(monkeypatch: pytest.MonkeyPatch):
    fail_with(monkeypatch, LocalEntryNotFoundError(""))
    monkeypatch.setattr(hub.huggingface_hub, "is_offline_mode", lambda: False)
    with pytest.raises(ModelUnavailable, match="cannot be reached: no network"):
        download(SOURCE, TOKENIZER_PATTERNS, Heard())


def test_the_real_client_offline():
    with pytest.raises(ModelUnavailable, match="org/name is not in the hub's cache"):
        download(HubSource("org/name", None), TOKENIZER_PATTERNS, Heard())


def test_only_safe_files_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: dict[str, Any] = {}

    def keep(repo: str, *, dry_run: bool = False, **how: Any) -> str | list[object]:
        asked.update(how, repo=repo, quiet=are_progress_bars_disabled())
        return [] if dry_run else str(tmp_path)

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", keep)
    before = are_progress_bars_disabled()
    heard = Heard()
    assert download(SOURCE, TOKENIZER_PATTERNS, heard) == tmp_path
    assert heard.labels == ["asking the hub about org/name", "getting org/name from the hub"]
    assert (asked["repo"], asked["revision"], asked["quiet"]) == ("org/name", "v9", True)
    assert not any(p.endswith((".bin", ".py", ".safetensors")) for p in asked["allow_patterns"])
    assert are_progress_bars_disabled() == before


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        (GatedRepoError("", response=response(403)), True),
        (HfHubHTTPError("", response=response(401)), True),
        (LocalEntryNotFoundError(""), True),
        (OfflineModeIsEnabled("offline"), True),
        (RepositoryNotFoundError("", response=response(401)), False),
        (RevisionNotFoundError("", response=response(404)), False),
        (HfHubHTTPError("", response=response(503)), False),
        (OSError(errno.ENOSPC, "No space left"), False),
        (httpx2.ReadTimeout("slow"), False),
    ],
)
def test_only_what_the_hub_may_have_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, error: Exception, absent: bool
):
    fail_with(monkeypatch, error)
    with pytest.raises(ModelUnavailable) as caught:
        download(SOURCE, TOKENIZER_PATTERNS, Heard())
    assert isinstance(caught.value, OutOfReach) == absent
