"""What an intervention's own pattern clamps decide: an expectation of it could not come out else.

A head whose pattern is set looks as it is set to look, and carries what it sees there. So neither
its weights nor its activation, at the queries that are set, say anything of the model.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.hypothesis.attention import HeadsForm
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.heads import HeadName, parse_head
from tracer.record.record import PromptRecord, Record


def decided_by_patterns(
    record: Record, spec: InterventionSpec, expectation: Expectation, prompt: str
) -> str | None:
    """Why an expectation of heads could not fail on a prompt; None where it could."""
    match expectation:
        case Attends(attends=asked):
            read, place = set(_heads(record, asked.heads)), asked.from_
        case Fraction(supernode=name):
            read, place = set(_heads(record, name)), record.supernodes[name].at
        case _:
            return None
    spans = record.prompts[prompt]
    for clamp in spec.attention:
        own = sorted(read & set(_heads(record, clamp.heads)))
        if own and set(_positions(spans, place)) & set(_positions(spans, clamp.from_)):
            return f"the intervention sets the pattern of {', '.join(map(str, own))} itself"
    return None


def _heads(record: Record, heads: HeadsForm) -> Iterator[HeadName]:
    """The heads that are meant; none of a supernode of features."""
    if isinstance(heads, str):
        yield from (HeadName(ref.layer, ref.head) for ref in record.supernodes[heads].heads)
    else:
        yield from map(parse_head, heads)


def _positions(prompt: PromptRecord, span: str | None) -> range:
    """Those of a span; of None, all."""
    return range(len(prompt.tokens)) if span is None else range(*prompt.spans[span])
