"""A hypothesis file with some of its values changed; its comments, key order and quotes stay.

`ruamel.yaml` keeps them. It is told to read every scalar as text, which it writes as it was, so
`20_15589`, `on` and `1e-3` mean the same afterwards; new values are written by `to_yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from io import StringIO
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tokens import CommentToken

from tracer.errors import HypothesisError, Mistake, UsageError
from tracer.hypothesis.yaml_text import YamlMistake, decoded, parse, to_yaml


class _TextResolver(VersionedResolver):
    """Resolves every plain scalar to text."""

    @property
    def versioned_resolver(self) -> dict[str | None, list[Any]]:
        return {}


def amended(file: str, text: str, amend: Callable[[dict[str, Any]], None]) -> str:
    """The text of a hypothesis file with its data changed.

    Args:
        file: What mistakes in the text are told of.
        text: Of the file; untrusted, so it passes the strict reader before it is loaded again.
        amend: Changes the file's plain data in place.

    Raises:
        HypothesisError: The text is too large, or no mapping in YAML.
        UsageError: The text uses YAML that cannot be written back.
    """
    try:
        before = parse(decoded(file, text.encode(errors="replace"))).data
    except YamlMistake as found:
        mistake = Mistake(found.line, found.column, "", found.message)
        raise HypothesisError(file, [mistake]) from None
    after = deepcopy(before)
    amend(after)
    try:
        document = _load(text)
        _merge(document, before, after)
        written = _dump(document, width=max(map(len, text.splitlines())) + 1)
        if repr(parse(written).data) == repr(after):
            return written
    except (YAMLError, YamlMistake):
        pass
    raise UsageError(f"{file}: its YAML cannot be written back with its comments.")


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Resolver = _TextResolver
    yaml.preserve_quotes = True
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(text: str) -> CommentedMap:
    return cast(CommentedMap, _yaml().load(text))


def _dump(document: CommentedMap, width: int) -> str:
    """The text; no line is wrapped that is no longer than `width`."""
    yaml, stream = _yaml(), StringIO()
    yaml.width = width
    yaml.dump(document, stream)
    return stream.getvalue()


def _merge(node: CommentedMap, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring a mapping from one state to the other where they differ."""
    for key, value in after.items():
        old = before.get(key)
        if key in before and repr(old) == repr(value):
            continue
        child = node.get(key)
        is_grown = isinstance(old, dict) and isinstance(value, dict) and old.keys() <= value.keys()
        # A change inside an anchored node would change its aliases too.
        if is_grown and isinstance(child, CommentedMap) and child.yaml_anchor() is None:
            _merge(child, cast("dict[str, Any]", old), cast("dict[str, Any]", value))
        else:
            _put(node, key, value)


def _put(node: CommentedMap, key: str, value: Any) -> None:
    """Set a value. Lines of comment between the old end of the block and what follows move down."""
    last = None if node.fa.flow_style() else _last_comment(node.get(key, node))
    fresh = _load(to_yaml({key: value}) + _cut(last))
    node[key] = fresh[key]
    if key in fresh.ca.items:
        node.ca.items[key] = fresh.ca.items[key]


def _last_comment(node: Any) -> CommentToken | None:
    """What follows the last value of a block, on its line and below."""
    if not isinstance(node, CommentedMap | CommentedSeq) or not node or node.fa.flow_style():
        return None
    key = next(reversed(node)) if isinstance(node, CommentedMap) else len(node) - 1
    inner = _last_comment(node[key])
    if inner is not None:
        return inner
    of_value = 2 if isinstance(node, CommentedMap) else 0
    return node.ca.items[key][of_value] if key in node.ca.items else None


def _cut(comment: CommentToken | None) -> str:
    """Take the lines below off a comment, and give them."""
    if comment is None:
        return ""
    beside, _, below = comment.value.partition("\n")
    comment.value = beside + "\n"
    return below
