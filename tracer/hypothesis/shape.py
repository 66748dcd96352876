"""Which keys the schema knows at a place of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from tracer.hypothesis.problem import KeyPath
from tracer.hypothesis.spec import Hypothesis


def models_at(path: KeyPath, root: type[BaseModel] = Hypothesis) -> list[type[BaseModel]]:
    """The models that a mapping at this path may be, in the order of the union."""
    return list(_walk(root, path))


def _walk(annotation: Any, path: KeyPath) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            yield annotation
            return
        for name, field in annotation.model_fields.items():
            if path[0] in (field.alias, name):
                yield from _walk(field.annotation, path[1:])
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (dict, tuple):
        if path:
            item = arguments[1] if origin is dict else arguments[0]
            yield from _walk(item, path[1:])
        return
    for argument in arguments:
        if not isinstance(argument, str):
            yield from _walk(argument, path)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as a file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def required_keys(model: type[BaseModel]) -> list[str]:
    """The keys a model cannot do without; an expectation's measure is the first of them."""
    fields = model.model_fields.items()
    return [field.alias or name for name, field in fields if field.is_required()]


def known_keys(path: KeyPath, data: Any, root: type[BaseModel] = Hypothesis) -> list[str]:
    """The keys allowed in the mapping at this path, given the keys it has.

    Of several forms the one whose required keys are there decides; if none is, all are listed.
    """
    models = models_at(path, root)
    for model in models:
        if isinstance(data, dict) and any(key in data for key in required_keys(model)):
            return keys_of(model)
    return list(dict.fromkeys(key for model in models for key in keys_of(model)))


def short_key(path: KeyPath) -> str | None:
    """The key that a scalar at this path stands for: `model: x` means `model: {name: x}`."""
    if path == ("model",):
        return "name"
    if len(path) == 4 and path[0] == "interventions" and path[2] == "clamp":
        return "times"
    return None


def default_scalar(path: KeyPath) -> str | None:
    """The scalar that stands at the top of the file where it says nothing: the default `model`."""
    field = Hypothesis.model_fields.get(str(path[0])) if len(path) == 1 else None
    return field.default if field and isinstance(field.default, str) else None
