"""YAML with the scalars of YAML 1.2: only `true` and `false` are booleans, nothing is a date.

PyYAML follows YAML 1.1, where `on`, `no` and `off` are booleans and `20_15589` is a number. Here
they are text, as a hypothesis means them.
"""

from __future__ import annotations

import re
from typing import Any, Never

import yaml

NULL = "tag:yaml.org,2002:null"
BOOL = "tag:yaml.org,2002:bool"
INT = "tag:yaml.org,2002:int"
FLOAT = "tag:yaml.org,2002:float"
STR = "tag:yaml.org,2002:str"
SEQ = "tag:yaml.org,2002:seq"
MAP = "tag:yaml.org,2002:map"

MAX_NESTING = 40
MAX_VALUES = 100_000

_SCALARS = {
    NULL: re.compile(r"^(?:~|null|Null|NULL|)$"),
    BOOL: re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    INT: re.compile(r"^[-+]?[0-9]{1,18}$"),
    FLOAT: re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}


class YamlMistake(Exception):
    """Text that cannot be read as YAML, placed by 1-based line and column."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.message, self.line, self.column = message, line, column
        super().__init__(message)


def refuse(message: str, mark: yaml.Mark | None) -> Never:
    """Stop reading at a mark."""
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    raise YamlMistake(message, line, column)


class CoreLoader(yaml.SafeLoader):
    """Composes nodes; what they become is `plain_scalar` and the builder of `source`."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}
    _nesting = 0
    _n_values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse what is deeper or longer than any hypothesis, before it costs anything."""
        self._nesting += 1
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            refuse(
                f"it holds more than {MAX_VALUES:,} values", parent.start_mark if parent else None
            )
        if self._nesting > MAX_NESTING:
            refuse(
                f"nested deeper than {MAX_NESTING} levels", parent.start_mark if parent else None
            )
        node = super().compose_node(parent, index)
        self._nesting -= 1
        return node


class CoreDumper(yaml.SafeDumper):
    """Writes what `CoreLoader` reads back, without quotes around `on`."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        """Repeat shared values instead of naming them."""
        return True


for _tag, _pattern in _SCALARS.items():
    for _reader_or_writer in (CoreLoader, CoreDumper):
        _reader_or_writer.yaml_implicit_resolvers.setdefault(None, []).append((_tag, _pattern))


def plain_scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """The value of a scalar node.

    Raises:
        YamlMistake: its tag is not one of the core scalars, or does not fit its text.
    """
    tag, text = node.tag, node.value
    if tag == STR:
        if any("\ud800" <= character <= "\udfff" for character in text):
            refuse("half of a surrogate pair is no character", node.start_mark)
        return text
    if tag not in _SCALARS:
        refuse(f"the tag {tag!r} is not allowed: plain values only", node.start_mark)
    if not _SCALARS[tag].match(text):
        refuse(f"{text!r} is no {tag.rpartition(':')[2]}", node.start_mark)
    if tag == NULL:
        return None
    if tag == BOOL:
        return text.lower() == "true"
    if tag == INT:
        return int(text)
    return float(re.sub(r"\.(?=[a-zA-Z])", "", text))
