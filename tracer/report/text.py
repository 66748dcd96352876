"""How untrusted text and numbers are written for people, the same on every page.

Text from a file, a tokenizer or a model is hostile. `clean` is the template environment's
`finalize`, so every expression passes it before autoescaping: what a browser would obey rather
than show (control characters, bidirectional overrides) becomes visible, and home folders vanish.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from markupsafe import Markup, escape

from tracer.evidence.wording import MINUS, show_token
from tracer.hypothesis.heads import head_id
from tracer.record.graph.heads import HeadShare
from tracer.record.trials import FeatureTokens
from tracer.report.characters import BIDI, QUOTED_TOKEN

_LONGEST_LABEL = 48
NONE = "–"
"""Stands for a number that there is not."""

_HELD = Markup('<span class="held-token">{}</span>')
_HOME = re.compile(
    r"(?<![\w.~-])(?:/(?:home|Users)/[^/\s:\"'<>]+|/root(?=/|$)|[A-Za-z]:\\Users\\[^\\\s\"'<>]+)"
)


_MAY_BE_HOME = re.compile(r"[/\\](?:home|Users|root)")
"""In every home folder's path: most text has none and is as it should be."""


def _obeyed(char: str) -> bool:
    if char in "\n\t":
        return False
    is_no_character = ord(char) & 0xFFFE == 0xFFFE  # XML holds none, so no picture does
    return char in BIDI or is_no_character or unicodedata.category(char) in ("Cc", "Cs")


def clean(value: object) -> object:
    """Make text safe to look at; floats are coordinates and lose what a pixel cannot show."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and not _MAY_BE_HOME.search(value):
            return value
        text = _HOME.sub("~", value.replace("\r\n", "\n"))
        return "".join(f"⟨U+{ord(char):04X}⟩" if _obeyed(char) else char for char in text)
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return value


def visible_token(token: str) -> str:
    """A token in quotes as a verdict and a hypothesis file write it, its spaces inside."""
    return show_token(token)


def held(value: object) -> Markup:
    """Text for a page, whose quoted tokens stay on one line."""
    if isinstance(value, Markup):
        return value
    text, end, parts = str(clean(value)), 0, list[Markup]()
    for found in QUOTED_TOKEN.finditer(text):
        parts += [escape(text[end : found.start()]), _HELD.format(found[0])]
        end = found.end()
    return Markup().join([*parts, escape(text[end:])])


def feature_name(layer: int, index: int, told: FeatureTokens | None = None) -> str:
    """A feature by its place and its label or what it promotes: 'L12/1815 – women, woman'."""
    name = ""
    if told is not None and told.indexed is not None:
        name = shorten(told.indexed.label, _LONGEST_LABEL)
    if told is not None and not name:
        tokens = (visible_token(token.strip(" "))[1:-1] for token in told.promotes[:2])
        name = ", ".join(shorten(each, 16) for each in tokens)
    return f"L{layer}/{index}" + (f" – {name}" if name else "")


def head_name(layer: int, head: int) -> str:
    """A head of attention by its place: 'L9 head 1'."""
    return f"L{layer} head {head}"


def heads_text(heads: Sequence[HeadShare], edge: float) -> str:
    """Which attention heads carry an edge, with the share of it that passes each."""
    return ", ".join(
        f"{head_id(each.layer, each.head)} {signed(100 * each.weight / edge, 0)} %"
        for each in heads
    )


def shorten(text: str, length: int) -> str:
    """The text, cut where a picture has no room for more."""
    return text if len(text) <= length else text[: length - 1] + "…"


def plural(n: int, word: str) -> str:
    """'1 prompt', '9 prompts'."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def formatted(value: float, spec: str) -> str:
    """Python's format with a true minus sign."""
    return f"{value:{spec}}".replace("-", MINUS)


def number(value: float | None, digits: int = 2) -> str:
    """A fixed-point number without a negative zero; '–' for None."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "not a number"
    return formatted(value if round(value, digits) else 0.0, f".{digits}f")


def signed(value: float, digits: int = 2) -> str:
    """A difference: '+2.32', '−1.27'."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def percent(share: float) -> str:
    """A probability or fraction with the digits that are worth reading."""
    if not math.isfinite(share):
        return "not a number"
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    digits = 0 if abs(value) >= 10 and not 99 < value < 100 else 1
    return f"{number(value, digits)} %" if value else "0 %"


def p_value(p: float | None) -> str:
    """A p-value as it is compared with its level; '–' for None."""
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Bounds of a share in percent: '21–94 %'; '–' for None."""
    if bounds is None:
        return NONE
    low, high = (number(100 * bound, 0) for bound in bounds)
    return f"{low}–{high} %"


_NARROW = frozenset("iljtfrI.,:;'|!()[] ·-")
_WIDE = frozenset("mwMW@%—⋯")


def text_width(text: str, size: float) -> float:
    """Pixels a proportional system font needs at most, near enough to lay out a picture."""
    ems = 0.0
    for char in text:
        if unicodedata.east_asian_width(char) in "WF":
            ems += 1.0
        elif char in _NARROW:
            ems += 0.36
        elif char in _WIDE:
            ems += 0.9
        else:
            ems += 0.68 if char.isupper() else 0.58
    return ems * size
