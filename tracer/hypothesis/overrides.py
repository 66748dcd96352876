"""`--set path=value`: changes to a file's plain data before it is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from tracer.errors import KeyPath, Problem, dotted, show, unknown
from tracer.hypothesis.schema_messages import default_scalar, known_keys, short_key
from tracer.hypothesis.yaml_text import YamlMistake, parse_value


class Override(NamedTuple):
    """One change, as written and as understood."""

    text: str
    path: KeyPath
    value: Any


class OverrideMistake(ValueError):
    """An override that cannot be applied; `str` is the sentence."""


def parse_override(text: str) -> Override:
    """Read `path=value`; the value is YAML, a list item its number from 0: `expect.0`, `expect[0]`.

    Raises:
        OverrideMistake: it is not of that form.
    """
    left, equals, right = text.partition("=")
    keys = re.sub(r"\[(\d+)\]", r".\1", left.strip()).split(".")
    if not equals or not all(keys):
        raise OverrideMistake(f"--set {text}: write path=value, e.g. --set controls.random=19")
    path = tuple(int(key) if re.fullmatch(r"[0-9]{1,6}", key) else key for key in keys)
    try:
        return Override(text, path, parse_value(right))
    except YamlMistake as mistake:
        raise OverrideMistake(f"--set {text}: the value is {mistake.message}") from None


def apply_overrides(data: dict[str, Any], texts: Iterable[str]) -> list[Problem]:
    """Change the data in place, in order; what cannot be applied comes back."""
    problems: list[Problem] = []
    for text in texts:
        try:
            override = parse_override(text)
            _put(data, override)
        except OverrideMistake as mistake:
            problems.append(Problem((), str(mistake)))
    return problems


def _put(data: dict[str, Any], override: Override) -> None:
    holder: Any = data
    *parents, last = override.path
    for depth, key in enumerate(parents):
        holder = _enter(holder, override, depth, key)
    _enter_check(holder, override, len(parents), last)
    holder[last] = override.value


def _enter(holder: Any, override: Override, depth: int, key: str | int) -> Any:
    """The mapping or list under a key, made where the schema knows it and the file does not."""
    _enter_check(holder, override, depth, key)
    path = override.path[: depth + 1]
    if isinstance(holder, list):
        return cast("list[Any]", holder)[int(key)]
    inner = holder.get(key)
    if inner is None:
        inner = default_scalar(path)
    short = short_key(path)
    if inner is None:
        holder[key] = {}
    elif short is not None and not isinstance(inner, dict):
        holder[key] = {short: inner}
    return holder[key]


def _enter_check(holder: Any, override: Override, depth: int, key: str | int) -> None:
    path = override.path[:depth]
    place = f"{dotted(path)!r}" if path else "the file"
    if isinstance(holder, list):
        count = len(cast("list[Any]", holder))
        if isinstance(key, int) and key < count:
            return
        raise OverrideMistake(
            f"--set {override.text}: {place} is a list of {count}; an index from 0 to {count - 1} "
            f"is expected, not {show(key)}"
        )
    if not isinstance(holder, dict):
        raise OverrideMistake(f"--set {override.text}: {place} is {show(holder)}, nothing is in it")
    present = [str(name) for name in cast("dict[Any, Any]", holder)]
    known = list(dict.fromkeys([*present, *known_keys(path, cast("Any", holder))]))
    if key not in known:
        raise OverrideMistake(
            f"--set {override.text}: {place} has {unknown('key', str(key), known)}"
        )


def spelled(written: Mapping[KeyPath, str], texts: Iterable[str]) -> dict[KeyPath, str]:
    """What is `written` in a file, or in what replaced it: values that are no text.

    Args:
        written: Of the file alone.
        texts: The overrides, in order; those that cannot be applied are told elsewhere.
    """
    found = dict(written)
    for text in texts:
        found = {path: value for path, value in found.items() if not is_of(text, path)}
        try:
            override = parse_override(text)
        except OverrideMistake:
            continue
        if not isinstance(override.value, str | list | dict):
            found[override.path] = text.partition("=")[2].strip()
    return found


def is_of(override: str, path: KeyPath) -> bool:
    """Whether an override gives what stands at a path."""
    try:
        changed = parse_override(override).path
    except OverrideMistake:
        return False
    return path[: len(changed)] == changed
