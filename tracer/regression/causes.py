"""What two runs did not share to begin with: model, dictionary, prompts, what the file says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from tracer.hypothesis.problem import KeyPath, dotted, show
from tracer.record import BasisRecord, ModelRecord
from tracer.regression.essentials import Essentials

_N_HEX = 8
_TOLD_OTHERWISE = ("hypothesis", "claim", "source", "tags", "model", "features", "expected")
"""Parts of a file that change nothing measured or judged, or that the record tells better."""


def causes(old: Essentials, new: Essentials) -> tuple[str, ...]:
    """A sentence for each thing that was put in and is not the same."""
    return tuple(_causes(old, new))


def _causes(old: Essentials, new: Essentials) -> Iterator[str]:
    if old.hypothesis != new.hypothesis:
        yield f"another hypothesis ({old.hypothesis} → {new.hypothesis})"
    yield from _model(old.model, new.model)
    if old.basis != new.basis:
        yield f"the feature basis changed ({old.basis} → {new.basis})"
    else:
        yield from _dictionary(old.dictionary, new.dictionary)
    said = list(_declared(old.declared, new.declared))
    yield from said
    if not any(cause.startswith(("prompts", "template")) for cause in said):
        yield from _tokens(old, new)
    if old.tracer != new.tracer:
        yield f"tracer's version changed ({old.tracer} → {new.tracer})"
    for name in sorted(old.packages.keys() & new.packages.keys()):
        if old.packages[name] != new.packages[name]:
            yield f"{name}'s version changed ({old.packages[name]} → {new.packages[name]})"


def _model(old: ModelRecord, new: ModelRecord) -> Iterator[str]:
    if old.name != new.name:
        yield f"the model changed ({old.name} → {new.name})"
    elif old.fingerprint != new.fingerprint:
        yield f"the model's weights changed ({_hex(old)} → {_hex(new)})"
    for what, a, b in (
        ("revision", old.revision, new.revision),
        ("dtype", old.dtype, new.dtype),
        ("device", old.device, new.device),
    ):
        if a != b and (what != "revision" or old.name == new.name):
            yield f"the model's {what} changed ({a or 'none'} → {b or 'none'})"


def _dictionary(old: BasisRecord | None, new: BasisRecord | None) -> Iterator[str]:
    if old is None or new is None:
        if old != new:
            yield "the dictionary's files are known of one run only"
        return
    if old.fingerprint != new.fingerprint:
        yield f"the dictionary's weights changed ({_hex(old)} → {_hex(new)})"
    if old.revision != new.revision:
        change = f"{old.revision or 'none'} → {new.revision or 'none'}"
        yield f"the dictionary's revision changed ({change})"


def _hex(record: ModelRecord | BasisRecord) -> str:
    return f"{record.fingerprint[:_N_HEX]}…" if record.fingerprint else "unknown"


def _tokens(old: Essentials, new: Essentials) -> Iterator[str]:
    changed = [n for n in old.tokens if n in new.tokens and old.tokens[n] != new.tokens[n]]
    if changed:
        yield f"the same text is other tokens now ({', '.join(changed)})"


def _declared(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        if key not in _TOLD_OTHERWISE:
            yield from _differences(old.get(key), new.get(key), (key,))


def _differences(old: Any, new: Any, path: KeyPath) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast(dict[str, Any], old), cast(dict[str, Any], new)
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _items(cast(list[Any], old), cast(list[Any], new), path)
    elif old is None or new is None:
        if old is not new:
            yield f"{dotted(path)}: " + ("left out" if new is None else f"added, {show(new)}")
    elif old != new:
        yield f"{dotted(path)}: {show(old)} → {show(new)}"


def _items(old: list[Any], new: list[Any], path: KeyPath) -> Iterator[str]:
    """Items that only one list has: what a list holds is matched by what it says."""
    for item in old:
        if item not in new:
            yield f"{dotted(path)}: without {show(item)}"
    for item in new:
        if item not in old:
            yield f"{dotted(path)}: with {show(item)}"
