"""Configuration files of dictionaries: bounded YAML and JSON, and the hook points they name.

Formats name hook points as TransformerLens does. A place that is not listed here cannot be used:
a dictionary must read what enters the MLP and write what leaves it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from tracer.engine.model.sites import SiteKind
from tracer.errors import UsageError
from tracer.hypothesis.yaml_text import YamlMistake, parse_value, read_text

INPUTS: Mapping[str, SiteKind] = {
    "ln2.hook_normalized": "ln2_normalized",
    "hook_resid_mid": "resid_mid",
    "mlp.hook_in": "mlp_in",
}
OUTPUTS: Mapping[str, SiteKind] = {"hook_mlp_out": "mlp_resid", "mlp.hook_out": "mlp_out"}


class Settings(BaseModel):
    """Base of what a format's configuration says; further keys are its authors' own business."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


S = TypeVar("S", bound=Settings)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        TracerError: It is missing, too large or nested, or no mapping.
    """
    try:
        return _mapping(path, parse_value(read_text(str(path))))
    except YamlMistake as mistake:
        raise UsageError(f"{path}:{mistake.line}: {mistake.message}.") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        TracerError: It is missing, too large or nested, or no object.
    """
    try:
        return _mapping(path, json.loads(read_text(str(path))))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from None


def parse_settings(path: Path, kind: type[S], data: dict[str, Any]) -> S:
    """The data as a format's settings.

    Raises:
        UsageError: A key is missing or has no allowed value; the first is told.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {where}: {first['msg']}.") from None


def site_kind(path: Path, key: str, hook: str, allowed: Mapping[str, SiteKind]) -> SiteKind:
    """The engine's name of a hook point.

    Raises:
        UsageError: It is none that a dictionary can use.
    """
    if hook not in allowed:
        raise UsageError(
            f"{path}: {key} is {hook[:80]!r}; allowed are {', '.join(map(repr, allowed))}."
        )
    return allowed[hook]


def in_layer(path: Path, key: str, hook: str) -> tuple[int, str]:
    """Layer and rest of a name such as `blocks.3.mlp.hook_in`.

    Raises:
        UsageError: It names no layer.
    """
    found = re.fullmatch(r"blocks\.([0-9]{1,4})\.(.+)", hook)
    if found is None:
        raise UsageError(f"{path}: {key} is {hook[:80]!r}, which names no layer (blocks.N.…).")
    return int(found[1]), found[2]


def _mapping(path: Path, found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UsageError(f"{path} is no mapping of keys to values.")
    return cast(dict[str, Any], found)
