"""What a caller replaces in a hypothesis, said as the 'path=value' that reading understands."""

from __future__ import annotations

import json
from typing import NamedTuple


class Replacements(NamedTuple):
    """Named options, and free ones."""

    model: str | None = None
    features: str | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int | None = None
    set: tuple[str, ...] = ()

    def overrides(self) -> tuple[str, ...]:
        """As 'path=value'; the free ones come last, since they are the more particular word.

        Another model starts from that model's default revision.
        """
        found: list[str] = []
        if self.model is not None:
            found += [f"model.name={json.dumps(self.model)}", "model.revision=null"]
        named = {"features": self.features, "model.device": self.device, "model.dtype": self.dtype}
        found += [f"{path}={json.dumps(v)}" for path, v in named.items() if v is not None]
        if self.seed is not None:
            found.append(f"seed={self.seed}")
        return (*found, *self.set)
