"""A supernode made by hand, as a file declares it.

Made in a graph it is a set of places on one prompt. Where all of them are the last token of one of
the prompt's spans, it is declared to sit at that span, so that it has a place on other prompts too;
elsewhere it is bound to its tokens, which other prompts fill with other words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.hypothesis.spec import SupernodeSpec
from tracer.record import PromptRecord

_LAST = "last"


def made_spec(prompt: PromptRecord, ids: Sequence[str]) -> SupernodeSpec:
    """The declaration of features `layer_index_position` of a prompt."""
    members = [each.rsplit("_", 1) for each in ids]
    positions = {int(position) for _, position in members}
    span = _span(prompt, positions.pop()) if len(positions) == 1 else None
    if span is None:
        return SupernodeSpec(features=tuple(ids))
    features = tuple(dict.fromkeys(feature for feature, _ in members))
    return SupernodeSpec(features=features, at=span, source=(prompt.name,))


def places_of(spec: SupernodeSpec, prompt: PromptRecord) -> tuple[str, ...]:
    """The ids of a declared supernode on a prompt; none where it has a rule, or no place there."""
    return tuple(_places(spec, prompt))


def _span(prompt: PromptRecord, position: int) -> str | None:
    """A span that ends on this token, one with a name of its own first."""
    names = [name for name, (_, end) in prompt.spans.items() if end - 1 == position]
    return min(names, key=lambda name: name == _LAST, default=None)


def _places(spec: SupernodeSpec, prompt: PromptRecord) -> Iterator[str]:
    span = prompt.spans.get(spec.at or _LAST)
    for each in spec.features or ():
        if each.count("_") == 2:
            yield each
        elif span is not None:
            yield f"{each}_{span[1] - 1}"
