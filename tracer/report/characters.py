"""Characters that whoever writes text must know, on a page or in a terminal."""

from __future__ import annotations

import re

BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text after them."""
LONGEST_TOKEN = 40
QUOTED_TOKEN = re.compile(
    rf"""(?<!\w)(?P<quote>['"])(?:(?!(?P=quote)|\\).|\\.){{1,{LONGEST_TOKEN}}}(?P=quote)(?!\w)"""
)
"""A token in quotes inside of a sentence: no line ends in it. A longer one may be broken."""
