"""The folders that the server's tools may use; nothing else is read or written for a client.

What they do not guard against is another program that changes links inside the folders meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tracer.errors import UsageError, listed, show
from tracer.hypothesis.names import looks_like_folder


@dataclass(frozen=True)
class Folders:
    """The allowed folders, links resolved; the first is the working folder."""

    roots: tuple[Path, ...]

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Folders:
        """Those that were named."""
        return cls(tuple(Path(os.path.realpath(folder)) for folder in folders))

    def inside(self, given: str | Path) -> Path:
        """A path as it was given, relative to the working folder or absolute.

        Raises:
            UsageError: It, or what it is a link to, is outside.
        """
        try:
            real = Path(os.path.realpath(os.path.expanduser(given)))
        except ValueError:  # a null character
            raise UsageError(f"{show(str(given))}: this is no path.") from None
        if not any(real.is_relative_to(root) for root in self.roots):
            allowed = listed(map(str, self.roots))
            raise UsageError(f"{show(str(given))} is outside of the server's folders: {allowed}.")
        return Path(given)

    def require_allowed(self, model: str, features: str) -> None:
        """Refuse a model or a dictionary that is a folder outside.

        Raises:
            UsageError: One is.
        """
        for name in (model, features):
            if name.startswith("hf://"):
                continue
            if name.count("/") > 1 or looks_like_folder(name):
                self.inside(name)

    def whole(self, folder: Path) -> Path:
        """A folder of which no part is a link to the outside.

        Raises:
            UsageError: One is.
        """
        for path in (folder, *(path for path in folder.rglob("*") if path.is_symlink())):
            self.inside(path)
        return folder
