"""What Chromium printed, page by page: the text of a PDF, as far as its printer (Skia) writes it.

Text is shown as hexadecimal glyph numbers of a font, whose `ToUnicode` table names the characters
(PDF 32000-1:2008, 9.10.3). Spaces are not kept: a printer places words, it does not write spaces.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

_OBJECT = re.compile(rb"^(\d+) 0 obj\s*(.*?)\s*^endobj", re.S | re.M)
_STREAM = re.compile(rb"^(.*?)\s*stream\r?\n(.*)\r?\nendstream", re.S)
_SHOWN = re.compile(rb"/(\w+) [\d.]+ Tf|<([0-9A-Fa-f]+)>|/(\w+) Do")
_NAMED = re.compile(rb"/(\w+) (\d+) 0 R")
_TABLE = re.compile(rb"begin(bfchar|bfrange)(.*?)end", re.S)
_HEX = re.compile(rb"<([0-9A-Fa-f]+)>")

Glyphs = Mapping[int, str]


class Printed:
    """The objects of a PDF file."""

    def __init__(self, data: bytes) -> None:
        self._objects = {int(number): body for number, body in _OBJECT.findall(data)}

    def pages(self) -> list[str]:
        """The text of each page, without its spaces."""
        found = [body for body in self._objects.values() if re.search(rb"/Type\s*/Page\b", body)]
        return ["".join(self._shown(page, page)) for page in found]

    def _shown(self, page: bytes, body: bytes) -> Iterator[str]:
        contents = re.search(rb"/Contents (\d+) 0 R", body)
        content = self._stream(int(contents[1])) if contents else self._unpacked(body)
        named = {name: int(number) for name, number in _NAMED.findall(self._resources(body))}
        glyphs: Glyphs = {}
        width = 4
        for font, text, inner in _SHOWN.findall(content):
            if font:
                glyphs = self._glyphs(named[font])
                width = 4 if b"/Type0" in self._objects[named[font]] else 2
            elif inner:
                if b"/Form" in self._objects[named[inner]]:
                    yield from self._shown(page, self._objects[named[inner]])
            else:
                codes = (int(text[at : at + width], 16) for at in range(0, len(text), width))
                yield re.sub(r"\s", "", "".join(glyphs.get(code, "") for code in codes))

    def _resources(self, body: bytes) -> bytes:
        elsewhere = re.search(rb"/Resources (\d+) 0 R", body)
        return self._objects[int(elsewhere[1])] if elsewhere else body.partition(b"stream")[0]

    def _glyphs(self, font: int) -> Glyphs:
        table = re.search(rb"/ToUnicode (\d+) 0 R", self._objects[font])
        return dict(_characters(self._stream(int(table[1])))) if table else {}

    def _stream(self, number: int) -> bytes:
        return self._unpacked(self._objects[number])

    def _unpacked(self, body: bytes) -> bytes:
        found = _STREAM.match(body)
        if found is None:
            return b""
        return zlib.decompress(found[2]) if b"/FlateDecode" in found[1] else found[2]


def _characters(table: bytes) -> Iterator[tuple[int, str]]:
    for kind, body in _TABLE.findall(table):
        numbers = _HEX.findall(body)
        if kind == b"bfchar":
            for code, text in zip(numbers[::2], numbers[1::2], strict=True):
                yield int(code, 16), _text(text)
        else:
            for low, high, text in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
                first = _text(text)
                for step in range(int(high, 16) - int(low, 16) + 1):
                    yield int(low, 16) + step, first[:-1] + chr(ord(first[-1]) + step)


def _text(code: bytes) -> str:
    return bytes.fromhex(code.decode()).decode("utf-16-be")
