"""Supernodes out of the address of a Neuronpedia graph page. The address is read, never fetched.

    https://www.neuronpedia.org/{model}/graph?slug=…&pinnedIds=a,b&supernodes=[["label","id",…],…]

in percent encoding, spaces as `+`. Such addresses also group what are no features (tokens, logits,
errors), and are copied from graph to graph with ids that mean nothing in the next. What is left out
is told, a sentence each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from tracer.errors import UsageError
from tracer.graph.frontend_ids import (
    FeatureName,
    parse_embedding,
    parse_error,
    parse_feature,
    parse_logit,
)
from tracer.graph.frontend_supernodes import Group, groups
from tracer.hypothesis.problem import shorten, show, unknown

MAX_LENGTH = 1 << 20
_MAX_FIELDS = 1_000


@dataclass(frozen=True)
class NeuronpediaLink:
    """What an address says."""

    model: str | None
    """As the page calls it, `gemma-2-2b`; None where the path does not say."""
    slug: str
    """The graph's name."""
    supernodes: tuple[Group, ...]
    """Features only, `layer_index_position`; labels are distinct."""
    pinned: tuple[str, ...]
    """Tokens, logits and errors among them, as they are pinned to be seen."""
    notes: tuple[str, ...]
    """What was left out, a sentence each."""


class Checked(NamedTuple):
    """An address held against a model and its features."""

    kept: NeuronpediaLink
    notes: tuple[str, ...]
    """What was left out here, or is in doubt; the link's own notes are not repeated."""


def read_url(url: str) -> NeuronpediaLink:
    """Read an address, of any host.

    Raises:
        UsageError: it is no such address, is longer than 1 MB, or has no supernodes.
    """
    if len(url) > MAX_LENGTH:
        raise UsageError(f"the URL is longer than {MAX_LENGTH >> 20} MB.")
    try:
        parts = urlsplit(url.strip())
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as problem:
        raise UsageError(f"{show(url)} is no URL: {problem}.") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(
            f"{show(url)} is no URL of a graph page: "
            "https://www.neuronpedia.org/MODEL/graph?slug=…&supernodes=… is expected."
        )
    fields = _fields(url, pairs)
    found = groups(fields["supernodes"])
    if not found:
        raise UsageError(f"{show(url)} has no supernodes: its list is empty.")
    pinned = tuple(dict.fromkeys(part for part in fields["pinnedIds"].split(",") if part))
    link = NeuronpediaLink(_model(parts.path), fields["slug"], found, pinned, ())
    kept = _filtered(link, _why_no_feature, _why_no_node)
    return replace(kept.kept, notes=kept.notes)


def check(link: NeuronpediaLink, n_layers: int, widths: Sequence[int]) -> Checked:
    """Leave out what a model with so many layers, and features in each, cannot have.

    Ids of the older form `0_layer_position`, an error's, cannot be told from features of layer 0;
    those that may be errors are kept, with a note.
    """
    assert len(widths) == n_layers

    def of_feature(text: str) -> str | None:
        name = parse_feature(text)
        return _why_stale(name, widths) if name else None

    def of_pinned(text: str) -> str | None:
        name = parse_feature(text)
        is_logit = name is not None and name.layer == n_layers + 1
        return None if is_logit else of_feature(text)

    checked = _filtered(link, of_feature, of_pinned)
    doubts = (
        f"supernode {_label(group)}: {text!r} is read as a feature of layer 0; in older graphs "
        f"the error of layer {name.feature} has that id too."
        for group in checked.kept.supernodes
        for text in group.ids
        if (name := parse_feature(text)) and name.layer == 0 and name.feature < n_layers
    )
    return Checked(checked.kept, (*checked.notes, *doubts))


def features_of(link: NeuronpediaLink, label: str) -> tuple[str, ...]:
    """The features of one supernode, each `layer_index_position`.

    Raises:
        UsageError: no supernode has that label, or no feature is left in it.
    """
    ids = dict(link.supernodes).get(label)
    if ids is None:
        raise UsageError(unknown("supernode", label, [group.label for group in link.supernodes]))
    if not ids:
        raise UsageError(f"the supernode {show(label)} has no features.")
    return ids


def _fields(url: str, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The fields that are read; all others may be there."""
    fields: dict[str, str] = {}
    for key, value in pairs:
        if key in ("slug", "supernodes", "pinnedIds"):
            if key in fields:
                raise UsageError(f"{show(url)} gives {key!r} twice.")
            fields[key] = value
    for key in ("slug", "supernodes"):
        if not fields.get(key, "").strip():
            raise UsageError(
                f"{show(url)} has no {key!r}: a graph page's address is expected, with its "
                "supernodes in it; that of a saved subgraph does not have them."
            )
    return {"pinnedIds": "", **fields}


def _model(path: str) -> str | None:
    steps = path.strip("/").split("/")
    is_graph_page = len(steps) == 2 and steps[1] == "graph" and steps[0]
    return unquote(steps[0]) if is_graph_page else None


def _filtered(
    link: NeuronpediaLink,
    why_not: Callable[[str], str | None],
    why_not_pinned: Callable[[str], str | None],
) -> Checked:
    """The link without the ids that a reason speaks against, and those reasons."""
    notes: list[str] = []

    def kept(ids: Iterable[str], where: str, why: Callable[[str], str | None]) -> tuple[str, ...]:
        reasons = {text: why(text) for text in ids}
        notes.extend(
            f"{where}: {show(text)} {reason}: left out."
            for text, reason in reasons.items()
            if reason
        )
        return tuple(text for text, reason in reasons.items() if reason is None)

    supernodes = tuple(
        Group(group.label, kept(group.ids, f"supernode {_label(group)}", why_not))
        for group in link.supernodes
    )
    pinned = kept(link.pinned, "pinned", why_not_pinned)
    return Checked(replace(link, supernodes=supernodes, pinned=pinned), tuple(notes))


def _label(group: Group) -> str:
    return repr(shorten(group.label, 60))


def _why_no_feature(text: str) -> str | None:
    if parse_feature(text):
        return None
    if parse_embedding(text):
        return "is a token, no feature"
    if parse_error(text):
        return "is an error, no feature"
    if parse_logit(text):
        return "is a logit, no feature"
    return "is no id, 'layer_index_position'"


def _why_no_node(text: str) -> str | None:
    is_node = parse_embedding(text) or parse_error(text) or parse_logit(text)
    return None if is_node else _why_no_feature(text)


def _why_stale(name: FeatureName, widths: Sequence[int]) -> str | None:
    n_layers = len(widths)
    if name.layer == n_layers + 1:
        return "is a logit, no feature"
    if name.layer >= n_layers:
        return f"is in layer {name.layer}, but there are {n_layers} layers, counted from 0"
    if name.feature >= widths[name.layer]:
        return (
            f"is feature {name.feature}, but layer {name.layer} has {widths[name.layer]}, "
            "counted from 0"
        )
    return None
