"""Labels that are given to features: a JSON object of ours, or what Neuronpedia exports.

    {"12_1034": "cities of Texas", …}                                   labels.json
    {"modelId": …, "layer": "12-gemmascope-2-transcoder-16k", "index": "1034", "description": …}

The second is a line of Neuronpedia's `explanations/batch-*.jsonl.gz`, or an entry of a JSON list; a
folder holds such files. `layer` begins with the layer's number. Where a feature has several
explanations, the first one that is read counts.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from tracer.errors import UsageError, show
from tracer.hypothesis.neuronpedia_ids import find_given
from tracer.record.feature_index import LONGEST_LABEL
from tracer.record.given_files import json_of, numbered_lines, require_file

MAX_JSON = 256 << 20
_MAX_LINE = 1 << 20
_MAX_LINES = 20_000_000
_ENDINGS = (".json", ".jsonl", ".jsonl.gz")
Labelled = tuple[int, int, str]
"""Layer, index, label."""


def read_labels_file(path: Path, widths: tuple[int, ...]) -> dict[str, str]:
    """Labels by layer_index.

    Args:
        path: A file, or a folder of Neuronpedia's.
        widths: Features of each layer of the basis that they are for.

    Raises:
        UsageError: It cannot be read, or names a feature that there is not; nothing of it counts.
        OSError: It cannot be opened.
    """
    found: dict[str, str] = {}
    for file in label_files(path):
        for where, (layer, index, label) in _labels(file):
            if layer >= len(widths):
                raise UsageError(f"{where}: layer {layer}; the last is {len(widths) - 1}.")
            if index >= widths[layer]:
                last = widths[layer] - 1
                raise UsageError(f"{where}: feature {index}; layer {layer} has 0 to {last}.")
            if text := " ".join(label.split())[:LONGEST_LABEL]:
                found.setdefault(f"{layer}_{index}", text)
    if not found:
        raise UsageError(f"{path}: there is no label in it.")
    return found


def label_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder.

    Raises:
        UsageError: There is none, or it is of another kind.
    """
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.name.endswith(_ENDINGS[1:]))
        if not found:
            raise UsageError(f"{path}: the folder has no .jsonl or .jsonl.gz file.")
        return found
    require_file(path)
    if not path.name.endswith(_ENDINGS):
        raise UsageError(f"{path}: labels are .json, .jsonl or .jsonl.gz.")
    return [path]


def _labels(path: Path) -> Iterator[tuple[str, Labelled]]:
    if path.suffix != ".json":
        for number, line in _lines(path):
            where = f"{path}:{number}"
            yield where, _exported(json_of(line, where), where)
        return
    if path.stat().st_size > MAX_JSON:
        raise UsageError(f"{path}: larger than {MAX_JSON >> 20} MiB; give it as JSONL.")
    data = json_of(path.read_bytes(), str(path))
    if isinstance(data, list):
        for number, each in enumerate(cast(list[Any], data)):
            where = f"{path}, entry {number}"
            yield where, _exported(each, where)
        return
    if not isinstance(data, dict):
        raise UsageError(f"{path}: an object of ids and labels is expected, or Neuronpedia's list.")
    for name, label in cast(dict[str, Any], data).items():
        given = find_given(name)
        if given is None or given.pos is not None or not isinstance(label, str):
            raise UsageError(
                f"{path}: {show(name)}: {show(label)}; an id as in 12_1034 and a text are expected."
            )
        yield f"{path}: {name}", (given.layer, given.feature, label)


def _exported(entry: Any, where: str) -> Labelled:
    """One of Neuronpedia's explanations."""
    found = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    layer, index = str(found.get("layer", "")).partition("-")[0], str(found.get("index", ""))
    given, label = find_given(f"{layer}_{index}"), found.get("description")
    if given is None or given.pos is not None or not isinstance(label, str):
        raise UsageError(
            f"{where}: no explanation of Neuronpedia's: `layer`, `index` and `description` are "
            "expected."
        )
    return given.layer, given.feature, label


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank; a compressed file is never unpacked as a whole."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from _bounded(path, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"{path}: cut short, or not gzip ({error}).") from None


def _bounded(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    for number, line in numbered_lines(path, file, _MAX_LINE):
        if number > _MAX_LINES:
            raise UsageError(f"{path}: more than {_MAX_LINES:,} lines.")
        if line.strip():
            yield number, line
