"""What a hypothesis can be begun from: the starter, a draft, a file, an upload, a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracer.dashboard import drafts, library
from tracer.dashboard.places import Places
from tracer.run_folder import read_record
from tracer.runs import RunEntry

STARTER = "starter"
DRAFT, FILE, UPLOAD, RUN = "draft/", "file/", "upload/", "run/"

_STARTER = Path(__file__).parent.parent / "templates" / "starter.yaml"


@dataclass(frozen=True)
class Origins:
    """Everything there is to begin from, by its name in an address: `draft/<name>`, `run/<id>`."""

    places: Places
    runs: Mapping[str, RunEntry]
    uploads: Mapping[str, str]
    """Texts by file name."""

    def names(self) -> list[str]:
        """What was made here first, runs last."""
        places = self.places
        return [
            STARTER,
            *(UPLOAD + name for name in self.uploads),
            *(DRAFT + name for name in drafts.names(places.drafts)),
            *(FILE + name for name in library.files(places.hypotheses, places.drafts)),
            *(RUN + name for name in self.runs),
        ]

    def text_of(self, origin: str) -> str:
        """The text of one of `names`.

        Raises:
            TracerError: It can no longer be read.
        """
        kind, name = _parts(origin)
        if kind == DRAFT:
            return drafts.load(self.places.drafts, name)
        if kind == FILE:
            return library.load(self.places.hypotheses, self.places.drafts, name)
        if kind == UPLOAD:
            return self.uploads[name]
        if kind == RUN:
            return read_record(self.runs[name].folder).yaml
        return _STARTER.read_text(encoding="utf-8")

    def file_of(self, origin: str) -> str:
        """The file that its mistakes are told of."""
        kind, name = _parts(origin)
        if kind == DRAFT:
            return str(relative(drafts.path_of(self.places.drafts, name)))
        if kind == FILE:
            return str(relative(self.places.hypotheses / name))
        if kind == UPLOAD:
            return name
        return "hypothesis.yaml"


def relative(path: Path) -> Path:
    """As a command in the working directory names it."""
    try:
        return Path(os.path.relpath(path))
    except ValueError:  # another drive
        return path


def _parts(origin: str) -> tuple[str, str]:
    """Kind and name."""
    kind = next((each for each in (DRAFT, FILE, UPLOAD, RUN) if origin.startswith(each)), "")
    return kind, origin.removeprefix(kind)
