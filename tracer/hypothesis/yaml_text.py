"""From a YAML file to plain data that remembers where each value stands.

Reading never runs anything: no tags, no merge keys, bounded size, nesting and expansion. Scalars
are those of YAML 1.2: only `true` and `false` are booleans, and nothing is a date. PyYAML follows
YAML 1.1, where `on`, `no` and `off` are booleans and `20_15589` is a number; here they are text, as
a hypothesis means them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Never

import yaml
from yaml.composer import Composer

from tracer.errors import HypothesisError, KeyPath, Mistake, Problem, did_you_mean, show

NULL = "tag:yaml.org,2002:null"
BOOL = "tag:yaml.org,2002:bool"
INT = "tag:yaml.org,2002:int"
FLOAT = "tag:yaml.org,2002:float"
STR = "tag:yaml.org,2002:str"
SEQ = "tag:yaml.org,2002:seq"
MAP = "tag:yaml.org,2002:map"
MAX_BYTES = 1 << 20
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
_SEPARATORS = re.compile("[\x85\u2028\u2029]")
"""Ends of lines to YAML alone: raw, a text that is written and read again is another one."""
_HINTS = {
    "found character '\\t'": "a tab cannot indent: use spaces",
    "mapping values are not allowed": "a ':' is not allowed here: put the text in quotes, or "
    "check the indentation",
    "that cannot start any token": "put the text in quotes",
    "expected a single document": "one file holds one hypothesis: remove the second '---'",
    "expected <block end>": "check the indentation; text that begins with '{', '[' or a quote "
    "needs quotes around the whole",
    "could not find expected ':'": "the key has no ':', or the indentation is off",
    "unexpected end of stream": "a quote is never closed",
    "expected ',' or": "a bracket is never closed, or a ',' is missing",
}


class YamlMistake(Exception):
    """Text that cannot be read as YAML, placed by 1-based line and column."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.message, self.line, self.column = message, line, column
        super().__init__(message)


def refuse(message: str, mark: Any) -> Never:
    """Stop reading at a mark of PyYAML or libyaml, which have a type each; None: at the start."""
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    raise YamlMistake(message, line, column)


class _Bounded(Composer):
    """Composes nodes within bounds; what they become is `plain_scalar` and `_Builder`."""

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


class CoreLoader(_Bounded, yaml.SafeLoader):
    """Reads with PyYAML's own parser, whose sentences about mistakes are known."""


def _fast_loader() -> type[Any]:
    """The same nodes from libyaml's parser, five times as fast; `CoreLoader` where it is absent."""
    if not yaml.__with_libyaml__:
        return CoreLoader

    class FastLoader(_Bounded, yaml.CSafeLoader):
        def __init__(self, text: str) -> None:
            Composer.__init__(self)
            yaml.CSafeLoader.__init__(self, text)

    return FastLoader


class CoreDumper(yaml.SafeDumper):
    """Writes what `CoreLoader` reads back, without quotes around `on`."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        """Repeat shared values instead of naming them."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Text; in double quotes where a character of it must be escaped."""
        style = '"' if _SEPARATORS.search(data) else None
        return self.represent_scalar(STR, data, style=style)


CoreDumper.add_representer(str, CoreDumper.represent_str)


for _tag, _pattern in _SCALARS.items():
    for _reader_or_writer in (_Bounded, CoreDumper):
        _reader_or_writer.yaml_implicit_resolvers.setdefault(None, []).append((_tag, _pattern))


_FAST = _fast_loader()


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


class Mark(NamedTuple):
    """1-based place in the text."""

    line: int
    column: int


@dataclass(frozen=True)
class Source:
    """A file's plain data (dict, list, text, numbers) with the place of every key and item."""

    data: dict[str, Any]
    marks: Mapping[KeyPath, Mark]
    problems: tuple[Problem, ...]
    """Mistakes that still let the rest be read: keys given twice, keys that are not text."""
    written: Mapping[KeyPath, str]
    """Values that are no text, as they are spelled: `02134` is the number 2134."""


def read_text(path: str) -> str:
    """The file as text.

    Raises:
        HypothesisError: it is missing, no regular file, over 1 MiB, or not UTF-8.
    """
    file = Path(path)
    if file.is_dir():
        raise _refusal(path, "this is a folder, not a file")
    try:
        if file.exists() and not file.is_file():
            raise _refusal(path, "this is not a regular file")
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refusal(path, f"there is no such file.{_like_named(file)}") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise _refusal(path, f"the file cannot be read: {reason}") from None
    return decoded(path, content)


def decoded(path: str, content: bytes) -> str:
    """What a file holds, as text; `path` is what its mistakes are told of.

    Raises:
        HypothesisError: it is over 1 MiB, or not UTF-8.
    """
    if len(content) > MAX_BYTES:
        raise _refusal(path, f"the file is larger than {MAX_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        message = f"byte {content[problem.start]:#04x} is not UTF-8: save the file as UTF-8"
        raise _refusal(path, message, line) from None


def _refusal(path: str, message: str, line: int | None = None) -> HypothesisError:
    return HypothesisError(path, [Mistake(line, None, "", message)])


def _like_named(file: Path) -> str:
    try:
        return did_you_mean(file.name, sorted(entry.name for entry in file.parent.iterdir()))
    except OSError:
        return f" There is no folder {str(file.parent)!r} to look in."


def parse(text: str) -> Source:
    """Read a whole file's text.

    Raises:
        YamlMistake: it is no YAML, is empty, or is no mapping.
    """
    node = _compose(text)
    if node is None:
        raise YamlMistake("the file is empty: a hypothesis begins with 'hypothesis: NAME'", 1, 1)
    builder = _Builder()
    if not isinstance(node, yaml.MappingNode):
        found = show(builder.build(node, (), 0))
        refuse(f"found {found}; a hypothesis is a mapping (key: value)", node.start_mark)
    data = builder.mapping(node, (), 0)
    return Source(data, builder.marks, tuple(builder.problems), builder.written)


def parse_value(text: str) -> Any:
    """Read one value, as on the right of `--set path=value`.

    Raises:
        YamlMistake: it is no YAML.
    """
    node = _compose(text)
    if node is None:
        return None
    builder = _Builder()
    value = builder.build(node, (), 0)
    if builder.problems:
        refuse(builder.problems[0].message, node.start_mark)
    return value


def to_yaml(data: Mapping[str, Any]) -> str:
    """YAML that `parse` reads back to the same data."""
    return yaml.dump(dict(data), Dumper=CoreDumper, allow_unicode=True, sort_keys=False, width=100)


def to_flow_yaml(data: Mapping[str, Any]) -> str:
    """The same in braces, on one line."""
    written = yaml.dump(
        dict(data),
        Dumper=CoreDumper,
        allow_unicode=True,
        sort_keys=False,
        width=1_000_000,
        default_flow_style=True,
    )
    return written.rstrip("\n")


def _compose(text: str) -> yaml.Node | None:
    _refuse_separators(text)
    try:
        return _FAST(text).get_single_node()
    except (yaml.YAMLError, ValueError):
        return _compose_slowly(text)


def _compose_slowly(text: str) -> yaml.Node | None:
    """What `_compose` does where libyaml finds a mistake: it is told in PyYAML's words."""
    try:
        return CoreLoader(text).get_single_node()
    except yaml.reader.ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        column = problem.position - text.rfind("\n", 0, problem.position)
        message = f"the character {chr(int(problem.character))!r} is not allowed in YAML"
        raise YamlMistake(message, line, column) from None
    except yaml.MarkedYAMLError as problem:
        return refuse(_syntax_sentence(problem), problem.problem_mark or problem.context_mark)


def _refuse_separators(text: str) -> None:
    found = _SEPARATORS.search(text)
    if found is None:
        return
    code, start = ord(found[0]), text.rfind("\n", 0, found.start())
    escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    raise YamlMistake(
        f"the character U+{code:04X} ends a line in YAML and is lost when the file is written: "
        f'spell it {escape} inside double quotes, "…{escape}…"',
        text.count("\n", 0, found.start()) + 1,
        found.start() - start,
    )


def _syntax_sentence(problem: yaml.MarkedYAMLError) -> str:
    found = problem.problem or problem.context or "it cannot be read"
    if found == "but found another document":
        found = "expected a single document"
    hint = next((hint for sign, hint in _HINTS.items() if sign in found), None)
    return f"not valid YAML: {found}" + (f" ({hint})" if hint else "")


class _Builder:
    """Turns nodes into plain values, noting where each stands."""

    def __init__(self) -> None:
        self.marks: dict[KeyPath, Mark] = {}
        self.problems: list[Problem] = []
        self.written: dict[KeyPath, str] = {}
        self._n_values = 0

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            refuse(f"its aliases expand to more than {MAX_VALUES:,} values", node.start_mark)
        if depth > MAX_NESTING:
            refuse(f"its aliases nest deeper than {MAX_NESTING} levels", node.start_mark)
        if path not in self.marks:
            self._note(path, node)
        if isinstance(node, yaml.ScalarNode):
            value = plain_scalar(node)
            if node.value and not isinstance(value, str):
                self.written[path] = node.value
            return value
        if isinstance(node, yaml.SequenceNode) and node.tag == SEQ:
            return [
                self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)
            ]
        if isinstance(node, yaml.MappingNode) and node.tag == MAP:
            return self.mapping(node, path, depth)
        return refuse(f"the tag {node.tag!r} is not allowed: plain values only", node.start_mark)

    def mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            line = key_node.start_mark.line + 1
            if key in data:
                message = f"the key {key!r} is given twice, in lines {lines[key]} and {line}"
                self.problems.append(Problem((*path, key), message))
                continue
            lines[key] = line
            self._note((*path, key), key_node)
            data[key] = self.build(value_node, (*path, key), depth + 1)
        return data

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            refuse(
                "a key must be text, not a list or a mapping; text that begins with '{' or '[' "
                "needs quotes",
                node.start_mark,
            )
        key = plain_scalar(node)
        if node.tag == STR and key == "<<" and not node.style:
            refuse("merge keys ('<<') are not read: repeat the keys", node.start_mark)
        if isinstance(key, str):
            return key
        self._note((*path, node.value), node)
        message = f"the key {node.value} is not text: put it in quotes"
        self.problems.append(Problem((*path, node.value), message))
        return node.value

    def _note(self, path: KeyPath, node: yaml.Node) -> None:
        mark = node.start_mark
        self.marks[path] = Mark(mark.line + 1, mark.column + 1)
