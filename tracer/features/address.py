"""How a dictionary, or one of its files, is named on the Hugging Face hub.

`organisation/name[/folder][@revision]`, or `hf://organisation/name[/path][?revision=…]`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from tracer.errors import UsageError

_PART = r"[A-Za-z0-9][\w.-]*"
_REVISION = r"[A-Za-z0-9][\w./-]*"
_SHORT = re.compile(rf"({_PART}/{_PART})((?:/{_PART})*)(?:@({_REVISION}))?", re.ASCII)
_URI = re.compile(
    rf"hf://({_PART}/{_PART})((?:/{_PART})*)/?(?:\?revision=({_REVISION}))?", re.ASCII
)
_FORM = "hf://organisation/name/path[?revision=…]"
_MAX = 500


class HubFile(NamedTuple):
    """A file, or a folder, of a repository; `path` is empty for the repository itself."""

    repo: str
    path: str
    revision: str | None


def parse_hub_folder(name: str) -> HubFile | None:
    """Repository and folder that a name stands for; None where it has neither form."""
    found = (_URI if name.startswith("hf://") else _SHORT).fullmatch(name[:_MAX])
    if found is None or len(name) > _MAX or ".." in name or not _is_repo_id(found[1]):
        return None
    return HubFile(found[1], found[2].strip("/"), found[3])


def parse_hub_file(uri: str) -> HubFile:
    """The file that a configuration names.

    Raises:
        UsageError: It is no hf:// address of a file.
    """
    found = parse_hub_folder(uri) if uri.startswith("hf://") else None
    if found is None or not found.path:
        raise UsageError(f"{uri[:120]!r} is no address of a file on the hub ({_FORM}).")
    return found


def _is_repo_id(repo: str) -> bool:
    """By the hub's own rules, which forbid a few more names."""
    try:
        validate_repo_id(repo)
    except HFValidationError:
        return False
    return True
