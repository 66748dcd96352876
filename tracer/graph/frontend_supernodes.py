"""Groups of nodes as the page keeps them: `[["label", "id", …], …]`, in a file or in a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from tracer.errors import UsageError
from tracer.hypothesis.problem import show


class Group(NamedTuple):
    """A label and the ids under it, each once."""

    label: str
    ids: tuple[str, ...]


def supernodes(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Groups kept in a parsed graph JSON, by label; none where it keeps none.

    Ids are as written: not only features are pinned and grouped.

    Raises:
        UsageError: what stands there is no list of groups.
    """
    parameters = data.get("qParams")
    found = cast(dict[str, Any], parameters) if isinstance(parameters, dict) else {}
    return dict(groups(found.get("supernodes", [])))


def groups(value: object) -> tuple[Group, ...]:
    """Read a list of groups, or its JSON text; labels given again get " (2)", " (3)", ….

    Raises:
        UsageError: it is neither, or a group is no list of texts.
    """
    items = _items(value)
    labels = _Labels()
    return tuple(_group(number, item, labels) for number, item in enumerate(items))


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        try:
            content = (value.strip() or "[]").encode("utf-8", "surrogatepass")
            value = from_json(content, allow_inf_nan=False)
        except ValueError as problem:
            raise UsageError(
                f"supernodes: no JSON ({problem}). An '&', '#' or '+' inside a label is written "
                "%26, %23 or %2B."
            ) from None
    if not isinstance(value, list):
        raise UsageError(
            f'supernodes: found {show(value)}; a list of lists is expected, [["label", "id", …]].'
        )
    return cast(list[object], value)


class _Labels:
    """Gives each label once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def unique(self, label: str) -> str:
        name = label
        while name in self._taken:
            self._counts[label] = self._counts.get(label, 1) + 1
            name = f"{label} ({self._counts[label]})"
        self._taken.add(name)
        return name


def _group(number: int, item: object, labels: _Labels) -> Group:
    parts = cast(list[object], item) if isinstance(item, list) else []
    texts = [part for part in parts if isinstance(part, str)]
    if not texts or len(texts) != len(parts):
        raise UsageError(
            f"supernodes[{number}]: found {show(item)}; a label and ids are expected, all in "
            'quotes, ["label", "id", …].'
        )
    return Group(labels.unique(texts[0]), tuple(dict.fromkeys(texts[1:])))
