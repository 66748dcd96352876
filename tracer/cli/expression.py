"""The little language of `-k`: parts of names, joined by `and`, `or`, `not` and parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable

from tracer.errors import UsageError

Test = Callable[[str], bool]

_WORD = re.compile(r"\s*(\(|\)|[^\s()]+)")
_RESERVED = ("and", "or", "not", "(", ")")


def compile_expression(expression: str) -> Test:
    """A test of names; a word holds where the name contains it, upper and lower case alike.

    Raises:
        UsageError: The expression cannot be read.
    """
    parser = _Parser(expression)
    test = parser.either()
    if parser.words:
        raise parser.mistake()
    return test


class _Parser:
    """Recursive descent: `not` binds tighter than `and`, `and` tighter than `or`."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.words = _WORD.findall(expression)

    def mistake(self) -> UsageError:
        found = f"{self.words[0]!r}" if self.words else "the end"
        return UsageError(
            f"-k {self.expression!r}: did not expect {found} there. "
            "Write parts of hypothesis names joined by and, or, not and parentheses, "
            "e.g. -k 'two_hop and not language'."
        )

    def _take(self, word: str) -> bool:
        if self.words[:1] != [word]:
            return False
        del self.words[0]
        return True

    def either(self) -> Test:
        left = self._both()
        while self._take("or"):
            left = _or(left, self._both())
        return left

    def _both(self) -> Test:
        left = self._single()
        while self._take("and"):
            left = _and(left, self._single())
        return left

    def _single(self) -> Test:
        if self._take("not"):
            return _not(self._single())
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise self.mistake()
            return inner
        if not self.words or self.words[0] in _RESERVED:
            raise self.mistake()
        return _contains(self.words.pop(0).lower())


def _or(left: Test, right: Test) -> Test:
    return lambda name: left(name) or right(name)


def _and(left: Test, right: Test) -> Test:
    return lambda name: left(name) and right(name)


def _not(inner: Test) -> Test:
    return lambda name: not inner(name)


def _contains(part: str) -> Test:
    return lambda name: part in name.lower()
