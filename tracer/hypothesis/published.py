"""The JSON Schema of a hypothesis file, for editors and other programs.

The committed copy is `tracer/schema/hypothesis.schema.json`; a test holds the two equal.
"""

from __future__ import annotations

import json
from typing import Any, cast

from tracer.hypothesis.spec import Hypothesis


def json_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of what the schema allows; references are not in it."""
    schema = _closed(Hypothesis.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "hypothesis.schema.json",
        **schema,
    }


def json_schema_text() -> str:
    """The schema as the committed file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _closed(schema: Any) -> Any:
    """Forbid the keys that are no names, as the models do."""
    if isinstance(schema, list):
        return [_closed(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in cast("dict[str, Any]", schema).items()}
    return {**closed, "additionalProperties": False} if "patternProperties" in closed else closed
