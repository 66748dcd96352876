"""What an expectation says moves: which tokens, which number of an output, and in words."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.evidence.case import log_probability
from tracer.evidence.measures.effect import log_number
from tracer.evidence.wording import MINUS, show_written
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.dose import Falls
from tracer.hypothesis.expectations.effect import LogitDiff, Probability, Thresholds
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot
from tracer.record.trials import Reading


def tokens_of(expectation: Expectation) -> tuple[str, ...] | None:
    """Its tokens as the file writes them; None where it is not about one output."""
    kinds = (TopIs, TopIsNot, Rank, Probability, LogitDiff)
    return expectation.tokens()[expectation.KEY] if isinstance(expectation, kinds) else None


def first_token(expectation: Expectation) -> str | None:
    """The token that is said to move, of a dose series too; None where there is none."""
    return expectation.tokens().get(expectation.KEY, (None,))[0]


def words_of(expectation: Expectation) -> str:
    """Its tokens for people: ' Sacramento' − ' Austin'."""
    return f" {MINUS} ".join(map(show_written, tokens_of(expectation) or ()))


def number_of(expectation: Expectation, reading: Reading, tokens: Sequence[str]) -> float:
    """A logit difference, or the logarithm of a token's probability.

    Args:
        expectation: One that has `tokens_of`.
        reading: An output.
        tokens: Its tokens, variables filled.
    """
    if isinstance(expectation, LogitDiff | Probability):
        return log_number(expectation, reading, tokens)
    return log_probability(reading, tokens[0])


def takes_away(expectation: Expectation) -> bool:
    """Whether the token is said to go, not to come."""
    if isinstance(expectation, Thresholds):
        falls = expectation.below is not None or expectation.falls_by is not None
        return falls or expectation.side == "below"
    return isinstance(expectation, TopIsNot | Falls)
