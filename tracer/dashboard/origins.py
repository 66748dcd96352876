"""What a hypothesis can be begun from: the starter, a draft, or the file of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracer.dashboard import drafts
from tracer.dashboard.places import Places
from tracer.run_folder import read_record
from tracer.runs import RunEntry

STARTER = "starter"
DRAFT, RUN = "draft/", "run/"

_STARTER = Path(__file__).parent.parent / "templates" / "starter.yaml"


def origins(places: Places, known: Mapping[str, RunEntry]) -> list[str]:
    """Their names, as they stand in an address: `starter`, `draft/<name>`, `run/<id>`."""
    saved = [DRAFT + name for name in drafts.names(places.drafts)]
    return [STARTER, *saved, *(RUN + name for name in known)]


def text_of(origin: str, places: Places, known: Mapping[str, RunEntry]) -> str:
    """The text of one of `origins`.

    Raises:
        TracerError: It can no longer be read.
    """
    if origin.startswith(DRAFT):
        return drafts.load(places.drafts, origin.removeprefix(DRAFT))
    if origin.startswith(RUN):
        return read_record(known[origin.removeprefix(RUN)].folder).yaml
    return _STARTER.read_text(encoding="utf-8")
