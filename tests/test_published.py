from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from declared import GOOD

import tracer
from tracer.hypothesis.load import json_schema, json_schema_text
from tracer.hypothesis.yaml_text import parse

COMMITTED = Path(tracer.__file__).parent / "hypothesis" / "hypothesis.schema.json"


def test_the_committed_schema_is_the_generated_one():
    assert COMMITTED.read_text(encoding="utf-8") == json_schema_text()


def test_the_schema_is_valid_and_accepts_a_good_file():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(parse(GOOD).data, json.loads(json_schema_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("claim:", "clam:"),
        ("  dallas:", "  a b:"),
        ("top: 40", "top: -1"),
        ("texas: 0", "texas: x"),
        ("{top: ", "{topp: "),
    ],
)
def test_the_schema_refuses_what_the_engine_refuses(old: str, new: str):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(parse(GOOD.replace(old, new, 1)).data, json_schema())
