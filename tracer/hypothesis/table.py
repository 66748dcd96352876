"""A table of values: one row a prompt, one column a variable of the template.

CSV and TSV have a line of names first. JSONL has an object on each line. YAML is a mapping of the
prompts' names to their values, as under `prompts:` in a hypothesis. A column `name` names the
prompts; `answer`, `text` and `group` are what they are in a hypothesis; every other column is a
variable. Values are kept as they are spelled, spaces included: ' Austin' is not 'Austin'.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from tracer.errors import HypothesisError, KeyPath, Mistake, listed, show
from tracer.hypothesis.declared import WHAT_NAMES_ARE, is_name
from tracer.hypothesis.yaml_text import Mark, YamlMistake, parse, read_text

NAME = "name"
"""The column that names prompts."""
MAX_ROWS = 10_000


class ValueTable(NamedTuple):
    """Prompts by name, and where each stands in its file."""

    path: str
    prompts: dict[str, dict[str, str]]
    marks: dict[KeyPath, Mark]


class _Row(NamedTuple):
    line: int
    name: str | None
    values: dict[str, str]


class _Told(Exception):
    """A mistake at a line after which the rest cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_table(path: str) -> ValueTable:
    """The rows of a file whose name ends in .csv, .tsv, .jsonl, .yaml or .yml.

    Raises:
        HypothesisError: Every row with a value missing, a value too many, or a name or values that
            another row has; a file that is none of these, has no rows, or cannot be read.
    """
    ending = Path(path).suffix.lower()
    if ending not in _READERS:
        message = f"the name of a table ends in one of {listed(_READERS)}, not {show(ending)}"
        raise HypothesisError(path, [Mistake(None, None, "", message)])
    text = read_text(path)
    try:
        rows = list(_READERS[ending](text))
    except _Told as told:
        raise HypothesisError(path, [Mistake(told.line, None, "", str(told))]) from None
    mistakes = list(_mistakes(rows))
    if mistakes:
        raise HypothesisError(path, mistakes)
    names = [row.name or f"row_{number}" for number, row in enumerate(rows, 1)]
    prompts = {name: row.values for name, row in zip(names, rows, strict=True)}
    marks: dict[KeyPath, Mark] = {
        ("prompts", name): Mark(row.line, 1) for name, row in zip(names, rows, strict=True)
    }
    return ValueTable(path, prompts, marks)


def _separated(text: str, delimiter: str) -> Iterator[_Row]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num - sum(cell.count("\n") for cell in cells)
            if names is None:
                names = [cell.strip() for cell in cells]
                twice = sorted({name for name in names if names.count(name) > 1})
                if twice:
                    raise _Told(line, f"two columns are named {show(twice[0])}")
                continue
            if len(cells) != len(names):
                raise _Told(
                    line, f"{len(cells)} values, where the first line names {len(names)} columns"
                )
            yield _row(line, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise _Told(reader.line_num, f"not valid CSV: {error}") from None


def _lines_of_json(text: str) -> Iterator[_Row]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            found = json.loads(content, parse_int=str, parse_float=str)
        except (ValueError, RecursionError) as error:
            raise _Told(line, f"not valid JSON: {error}") from None
        if not isinstance(found, dict):
            raise _Told(line, f"found {show(found)}; each line is an object of values by column")
        yield _row(line, found)


def _mapping(text: str) -> Iterator[_Row]:
    try:
        source = parse(text)
    except YamlMistake as mistake:
        raise _Told(mistake.line, mistake.message) from None
    for problem in source.problems:
        raise _Told(source.marks[problem.path].line, problem.message)
    for name, values in source.data.items():
        line = source.marks[(name,)].line
        if not isinstance(values, dict):
            raise _Told(line, f"found {show(values)}; each prompt's values are a mapping")
        spelled = {key: source.written.get((name, key), value) for key, value in values.items()}
        yield _row(line, {NAME: name, **spelled})


_READERS: dict[str, Callable[[str], Iterator[_Row]]] = {
    ".csv": partial(_separated, delimiter=","),
    ".tsv": partial(_separated, delimiter="\t"),
    ".jsonl": _lines_of_json,
    ".yaml": _mapping,
    ".yml": _mapping,
}


def _row(line: int, found: dict[str, Any]) -> _Row:
    for key, value in found.items():
        if not is_name(key):
            raise _Told(line, f"{show(key)} is no name for a column: {WHAT_NAMES_ARE}")
        if not isinstance(value, str):
            raise _Told(line, f"{key}: found {show(value)}; a text or a number is expected")
    name = found.pop(NAME, None)
    return _Row(line, name.strip() if name is not None else None, found)


def _mistakes(rows: list[_Row]) -> Iterator[Mistake]:
    """What is wrong with rows that could be read."""
    if not rows:
        yield Mistake(None, None, "", "there is no row of values in it")
        return
    if len(rows) > MAX_ROWS:
        yield Mistake(rows[MAX_ROWS].line, None, "", f"more than {MAX_ROWS:,} rows")
        return
    columns = list(dict.fromkeys(column for row in rows for column in row.values))
    names: dict[str, int] = {}
    values: dict[tuple[str | None, ...], int] = {}
    for row in rows:
        missing = [c for c in columns if not row.values.get(c, "").strip()]
        if missing:
            yield Mistake(row.line, None, "", f"no value for {listed(missing)}")
            continue
        before = values.setdefault(tuple(row.values[c] for c in columns), row.line)
        if before != row.line:
            yield Mistake(row.line, None, "", f"the same values as on line {before}")
        if row.name is None:
            continue
        if not is_name(row.name):
            message = f"{show(row.name)} is no name for a prompt: {WHAT_NAMES_ARE}"
            yield Mistake(row.line, None, "", message)
        first = names.setdefault(row.name, row.line)
        if first != row.line:
            yield Mistake(row.line, None, "", f"{row.name!r} names the prompt on line {first} too")
