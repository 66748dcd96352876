"""What every document has, and how it is written."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, Field

from tracer import __version__
from tracer.record.files import Recorded


class Copied(Recorded):
    """A part of a document that is taken over, attribute by attribute, from what it tells of."""

    model_config = ConfigDict(from_attributes=True)


class Document(Recorded):
    """A JSON document of a command; a subclass says in `schema` which, and of which version."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    tracer: str = Field(default=__version__, description="The version that wrote it.")

    def data(self) -> dict[str, Any]:
        """As plain JSON data, the name of its schema first."""
        data = self.model_dump(mode="json", by_alias=True)
        return {"schema": data["schema"], **data}

    def written(self) -> str:
        """As it is written; what of a file's name is no UTF-8 is escaped, as JSON has it."""
        text = json.dumps(self.data(), indent=2, ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode() + "\n"


def is_none(value: object) -> bool:
    """For keys that are left out where they say nothing."""
    return value is None
