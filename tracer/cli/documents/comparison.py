"""What `tracer compare` tells programs."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from tracer.evidence.regression import RunComparison


class Comparison(RunComparison):
    """Everything that differs between two runs."""

    same: bool = Field(description="Whether the same came out.")
    said: str = Field(alias="summary", description="One sentence.")

    @classmethod
    def of(cls, found: RunComparison) -> Comparison:
        """As it was found, with what people read of it."""
        told: dict[str, Any] = {"same": found.is_same, "summary": found.summary}
        return cls.model_validate(dict(found) | told)

    def written(self) -> str:
        """As it is written."""
        data = self.model_dump(mode="json", by_alias=True)
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
