"""Predicates a hypothesis may state: one measure, one test each.

A token is written as it is decoded, leading space included (`" Austin"`), and may hold the
prompt's variables: `"{answer}"` is the prompt's own answer.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from tracer.hypothesis.expectations.dose import Falls, Rises
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.text import InLanguage, RhymesWith, Says, SaysNot
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot

_KEYS = (
    "top",
    "top_is_not",
    "rank",
    "probability",
    "logit_diff",
    "supernode",
    "says",
    "says_not",
    "language",
    "rhymes_with",
)
_DOSE_KEYS = ("rises", "falls")


def _tag(value: Any, keys: tuple[str, ...]) -> str | None:
    """A union's tag, spelled so that no key of a file can be taken for it."""
    if isinstance(value, dict):
        return next((f"<{k}>" for k in keys if k in value), None)
    return next((f"<{k}>" for k in keys if hasattr(value, k)), None)


Expectation = Annotated[
    Annotated[TopIs, Tag("<top>")]
    | Annotated[TopIsNot, Tag("<top_is_not>")]
    | Annotated[Rank, Tag("<rank>")]
    | Annotated[Probability, Tag("<probability>")]
    | Annotated[LogitDiff, Tag("<logit_diff>")]
    | Annotated[Fraction, Tag("<supernode>")]
    | Annotated[Says, Tag("<says>")]
    | Annotated[SaysNot, Tag("<says_not>")]
    | Annotated[InLanguage, Tag("<language>")]
    | Annotated[RhymesWith, Tag("<rhymes_with>")],
    Discriminator(
        lambda value: _tag(value, _KEYS),
        custom_error_type="no_measure",
        custom_error_message="an expectation needs one measure: " + ", ".join(_KEYS),
    ),
]
DoseExpectation = Annotated[
    Annotated[Rises, Tag("<rises>")] | Annotated[Falls, Tag("<falls>")],
    Discriminator(
        lambda value: _tag(value, _DOSE_KEYS),
        custom_error_type="no_measure",
        custom_error_message="a dose expectation needs one of: " + ", ".join(_DOSE_KEYS),
    ),
]


def tokens_of(expectation: Expectation | DoseExpectation) -> dict[str, tuple[str, ...]]:
    """The tokens an expectation asks for, by the key that names them, variables unfilled."""
    match expectation:
        case TopIs():
            return {"top": (expectation.top,)}
        case TopIsNot():
            return {"top_is_not": (expectation.top_is_not,)}
        case Rank():
            return {"rank": (expectation.rank,)}
        case Probability():
            return {"probability": (expectation.probability,)}
        case LogitDiff():
            return {"logit_diff": expectation.logit_diff}
        case Rises():
            return {"rises": (expectation.rises,)}
        case Falls():
            return {"falls": (expectation.falls,)}
        case Fraction() | Says() | SaysNot() | InLanguage() | RhymesWith():
            return {}
