"""Schema mistakes as sentences: what was found, what is allowed, the nearest valid word.

Which words are valid at a place of the file is read off the pydantic models (`known_keys`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tracer.errors import KeyPath, Problem, did_you_mean, listed, nearest, show
from tracer.hypothesis.spec import Hypothesis

NAME_RULE = (
    "a name begins with a letter or '_' and holds only ASCII letters, digits, '_' and '-', "
    "64 at most"
)
_MISSING, _UNKNOWN, _SHORT = "missing", "extra_forbidden", "too_short"
_LAYOUT: dict[KeyPath, str] = {
    ("prompts", "template"): "`template` stands at the top of the file, beside `prompts`",
}


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


def place_of(error: ErrorDetails) -> KeyPath:
    """Where in the file: the schema's own path without the names of union members."""
    return tuple(
        piece
        for piece in error["loc"]
        if not (isinstance(piece, str) and re.fullmatch(r"<\w+>|\[key\]", piece))
    )


def problems_of(
    error: ValidationError,
    data: Mapping[str, Any],
    root: type[BaseModel] = Hypothesis,
    written: Mapping[KeyPath, str] | None = None,
) -> list[Problem]:
    """Every mistake of a validation, in plain words; values as they are `written`, if known.

    A missing key is not told where an unknown key beside it was most likely meant to be it, and a
    list is not called too short for entries that are there and told themselves.
    """
    details = error.errors(include_url=False)
    misspelt = {_meant(detail, data, root) for detail in details if detail["type"] == _UNKNOWN}
    return [
        _problem(detail, data, root, written or {})
        for detail in details
        if not (detail["type"] == _MISSING and place_of(detail) in misspelt)
        and not _is_long_enough(detail)
    ]


def _is_long_enough(error: ErrorDetails) -> bool:
    least = error.get("ctx", {}).get("min_length", 0)
    return error["type"] == _SHORT and len(error["input"]) >= least


def _at(data: Any, path: KeyPath) -> Any:
    for key in path:
        data = data[key]
    return data


def _meant(error: ErrorDetails, data: Mapping[str, Any], root: type[BaseModel]) -> KeyPath:
    *parent, key = place_of(error)
    known = known_keys(tuple(parent), _at(data, tuple(parent)), root)
    return (*parent, nearest(str(key), known) or key)


def _problem(
    error: ErrorDetails,
    data: Mapping[str, Any],
    root: type[BaseModel],
    written: Mapping[KeyPath, str],
) -> Problem:
    path = place_of(error)
    if path in _LAYOUT:
        return Problem(path, _LAYOUT[path])
    kind, found = error["type"], error["input"]
    if kind == _UNKNOWN:
        return Problem(path, _unknown_key(path, data, root))
    if kind == _MISSING:
        parent = path[:-1]
        if isinstance(path[-1], int):
            return Problem(parent, f"found {show(found)}; two items are expected, [first, second]")
        return Problem(parent, f"the key {str(path[-1])!r} is missing")
    if kind == "no_measure":
        return Problem(path, _no_measure(path, found, root))
    if kind == "string_type":
        message = _text(found, written.get(path)) + _meant_key(path, root)
        return Problem(path, message + _long_form(path, kind, root))
    sentence = _SENTENCES.get(kind)
    message = sentence(found, error.get("ctx", {})) if sentence else error["msg"]
    return Problem(path, message + _long_form(path, kind, root))


def _unknown_key(path: KeyPath, data: Mapping[str, Any], root: type[BaseModel]) -> str:
    *parent, key = path
    beside = _at(data, tuple(parent))
    known = known_keys(tuple(parent), beside, root)
    elsewhere = known_keys(tuple(parent), None, root)
    if key in elsewhere and key not in known:
        first = next(word for word in beside if word in known)
        return f"{key!r} cannot stand beside {first!r}. Allowed beside it: {listed(known)}."
    suggestion = did_you_mean(str(key), known)
    return f"unknown key {str(key)!r}.{suggestion} Allowed: {listed(known)}."


def _no_measure(path: KeyPath, found: Any, root: type[BaseModel]) -> str:
    """A list item that no expectation recognises: its measure is missing or misspelt."""
    measures = [required_keys(model)[0] for model in models_at(path, root)]
    allowed = f" One of these keys is needed: {listed(measures)}."
    if not isinstance(found, dict):
        return f"found {show(found)}; an expectation is a mapping.{allowed}"
    keys = [str(key) for key in found]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # checked by str
    suggestions = [did_you_mean(key, measures) for key in keys]
    return f"it says nothing to measure: found {listed(keys)}.{''.join(suggestions)}{allowed}"


def _long_form(path: KeyPath, kind: str, root: type[BaseModel]) -> str:
    """What may stand instead of a scalar of the wrong kind."""
    forms = models_at(path, root) if kind in ("literal_error", "string_type", "float_type") else []
    if not forms:
        return ""
    keys = dict.fromkeys(key for form in forms for key in keys_of(form))
    return f" Or a mapping with {listed(keys)}."


def _text(found: Any, written: str | None) -> str:
    spelled = written or show(found)
    is_spelled = written is not None or isinstance(found, bool | int | float)
    hint = f": put it in quotes, '{spelled}'" if is_spelled else ""
    return f"found {spelled}; text is expected{hint}."


def _meant_key(path: KeyPath, root: type[BaseModel]) -> str:
    """The key that a prompt's variable was most likely meant to be."""
    *parent, key = path
    known = [word for model in models_at(tuple(parent), root) for word in keys_of(model)]
    return "" if key in known else did_you_mean(str(key), known)


def _list(found: Any, _: Mapping[str, Any]) -> str:
    hint = f", [{found}]" if isinstance(found, str | int | float) else ""
    return f"found {show(found)}; a list is expected{hint}."


def _choice(found: Any, context: Mapping[str, Any]) -> str:
    allowed = re.findall(r"'([^']*)'", context["expected"])
    suggestion = did_you_mean(found, allowed) if isinstance(found, str) else ""
    return f"found {show(found)}.{suggestion} Allowed: {listed(allowed)}."


def _expected(what: str) -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda found, context: f"found {show(found)}; {what.format(**context)} is expected."


_SENTENCES: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "tuple_type": _list,
    "literal_error": _choice,
    "int_type": _expected("a whole number"),
    "int_from_float": _expected("a whole number"),
    "float_type": _expected("a number"),
    "finite_number": _expected("a finite number"),
    "bool_type": _expected("true or false"),
    "dict_type": _expected("a mapping (key: value)"),
    "model_type": _expected("a mapping (key: value)"),
    "greater_than": _expected("a number above {gt:g}"),
    "greater_than_equal": _expected("{ge:g} or more"),
    "less_than": _expected("a number below {lt:g}"),
    "less_than_equal": _expected("{le:g} or less"),
    "string_pattern_mismatch": lambda found, _: f"{show(found)} is no name: {NAME_RULE}.",
    "string_too_short": lambda found, _: "it is empty; text is expected.",
    _SHORT: lambda found, context: (
        f"found {show(found)}; {context['min_length']} or more entries are expected."
    ),
    "too_long": lambda found, context: (
        f"found {show(found)}; {context['max_length']} entries at most are expected."
    ),
}
