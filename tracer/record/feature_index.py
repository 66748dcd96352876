"""What an index of a text tells of a feature: where it is strongest, how often active, a label.

The automatic label is a rule over two lists, and no more than that. Its first part, after `on`, are
the tokens that stand at two or more of the examples, letters in either case, the most frequent
first, at most two; where none does, the token of the strongest example and `…`. Its second part,
after `→`, are the tokens that the feature promotes most on the direct path, at most two, of those
whose score is `CLEAR` or more: the largest of 262,144 normal draws is 4.6 on average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from tracer.errors import shorten
from tracer.record.files import Recorded

LONGEST_LABEL = 120
"""Characters of a label that is given."""
CLEAR = 5.0
"""Score of a promoted token, in standard deviations over the vocabulary, that a label counts on."""
_LONGEST_TOKEN = 16
_MOST = 2


class TextPlace(Recorded):
    """A place in the indexed text where a feature is strongly active: the strongest of a window."""

    before: str = Field(description="Some tokens before it, of the same passage.")
    token: str
    after: str
    activation: float
    title: str = Field(description="Of the article or file.")


class IndexedFeature(Recorded):
    """What an index tells of a feature that is active with one sign."""

    label: str
    is_given: bool = Field(description="From a file of labels; otherwise by the automatic rule.")
    share: float = Field(description="Of the text's tokens, those where it is active with the sign")
    places: tuple[TextPlace, ...] = Field(description="Strongest first.")
    text: str = Field(description="What was indexed, and its licence where that is known.")


class Histogram(NamedTuple):
    """How often |activation| lies in each bin, of one sign."""

    edges: tuple[float, ...]
    """Lower bounds; the first bin holds everything below the second edge."""
    counts: tuple[int, ...]


class IndexedSides(NamedTuple):
    """A feature as it is active above 0 and below; the latter only of bases that are not sparse."""

    n_tokens: int
    """Of the text."""
    positive: IndexedFeature
    negative: IndexedFeature | None
    above: Histogram
    below: Histogram | None


def automatic_label(tokens: Sequence[str], promotes: Sequence[str]) -> str:
    """The rule at the top of this file.

    Args:
        tokens: Those of the examples, strongest first.
        promotes: Those that are clearly promoted, strongest first.
    """
    forms: dict[str, str] = {}
    keys = [_shown(token).casefold() for token in tokens]
    for key, token in zip(keys, tokens, strict=True):
        forms.setdefault(key, _shown(token))
    shared = [forms[key] for key, n in Counter(keys).most_common(_MOST) if n > 1]
    on = " · ".join(shared) if shared else f"{_shown(tokens[0])} …" if tokens else ""
    to = " · ".join(dict.fromkeys(map(_shown, promotes[:_MOST])))
    parts = f"on {on}" if on else "", f"→ {to}" if to else ""
    return " ".join(filter(None, parts))


def _shown(token: str) -> str:
    """A token within a label: no space around it, what is invisible escaped; spaces in quotes."""
    inside = token.strip(" ")
    return shorten(repr(inside)[1:-1] if inside else repr(token), _LONGEST_TOKEN)
