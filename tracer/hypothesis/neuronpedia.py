"""The features a supernode is given by ids: listed in the file, or in a Neuronpedia address.

The address of a graph page is read, never fetched:

    https://www.neuronpedia.org/{model}/graph?slug=…&pinnedIds=a,b&supernodes=[["label","id",…],…]

in percent encoding, spaces as `+`. Such addresses also group what are no features (tokens, logits,
errors), and are copied from graph to graph with ids that mean nothing in the next. Each thing that
is left out is told in a sentence. Graph files keep groups in the same form, `[["label", "id", …],
…]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic_core import from_json

from tracer.errors import UsageError, shorten, show, unknown
from tracer.hypothesis.neuronpedia_ids import (
    EmbeddingName,
    FeatureName,
    LogitName,
    feature_id,
    parse_attention_feature,
    parse_embedding,
    parse_error,
    parse_feature,
    parse_file_feature,
    parse_head_node,
    parse_logit,
)
from tracer.hypothesis.spec import SupernodeSpec

MAX_LENGTH = 1 << 20
_MAX_FIELDS = 1_000


class LabelledIds(NamedTuple):
    """A label and the ids under it, each once."""

    label: str
    ids: tuple[str, ...]


def supernodes(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Groups kept in a parsed graph JSON, by label; none where it keeps none.

    Ids are as written: not only features are pinned and grouped.

    Raises:
        UsageError: what stands there is no list of groups.
    """
    parameters = data.get("qParams")
    found = cast(dict[str, Any], parameters) if isinstance(parameters, dict) else {}
    return dict(groups(found.get("supernodes", [])))


def groups(value: object) -> tuple[LabelledIds, ...]:
    """Read a list of groups, or its JSON text; labels given again get " (2)", " (3)", ….

    Raises:
        UsageError: it is neither, or a group is no list of texts.
    """
    items = _items(value)
    labels = _Labels()
    return tuple(_group(number, item, labels) for number, item in enumerate(items))


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        try:
            content = (value.strip() or "[]").encode("utf-8", "surrogatepass")
            value = from_json(content, allow_inf_nan=False)
        except ValueError as problem:
            raise UsageError(
                f"supernodes: no JSON ({problem}). An '&', '#' or '+' inside a label is written "
                "%26, %23 or %2B."
            ) from None
    if not isinstance(value, list):
        raise UsageError(
            f'supernodes: found {show(value)}; a list of lists is expected, [["label", "id", …]].'
        )
    return cast(list[object], value)


class _Labels:
    """Gives each label once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def unique(self, label: str) -> str:
        name = label
        while name in self._taken:
            self._counts[label] = self._counts.get(label, 1) + 1
            name = f"{label} ({self._counts[label]})"
        self._taken.add(name)
        return name


def _group(number: int, item: object, labels: _Labels) -> LabelledIds:
    parts = cast(list[object], item) if isinstance(item, list) else []
    texts = [part for part in parts if isinstance(part, str)]
    if not texts or len(texts) != len(parts):
        raise UsageError(
            f"supernodes[{number}]: found {show(item)}; a label and ids are expected, all in "
            'quotes, ["label", "id", …].'
        )
    return LabelledIds(labels.unique(texts[0]), tuple(dict.fromkeys(texts[1:])))


@dataclass(frozen=True)
class NeuronpediaLink:
    """What an address says."""

    model: str | None
    """As the page calls it, `gemma-2-2b`; None where the path does not say."""
    slug: str
    """The graph's name."""
    supernodes: tuple[LabelledIds, ...]
    """Features only, `layer_index_position`; labels are distinct."""
    pinned: tuple[str, ...]
    """Tokens, logits and errors among them, as they are pinned to be seen."""
    notes: tuple[str, ...]
    """What was left out, a sentence each."""
    tokens: tuple[EmbeddingName, ...] = ()
    """Tokens that are pinned or grouped, each once: they tell which token stands where."""


class CheckedAddress(NamedTuple):
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
        _ = parts.port  # read where it is asked for
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as problem:
        raise UsageError(f"{show(url)} is no URL: {problem}.") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(
            f"{show(url)} is no URL of a graph page: "
            "https://www.neuronpedia.org/MODEL/graph?slug=…&supernodes=… is expected."
        )
    fields = _fields(url, pairs)
    found = tuple(
        LabelledIds(group.label, tuple(map(_plain, group.ids)))
        for group in groups(fields["supernodes"])
    )
    if not found:
        raise UsageError(f"{show(url)} has no supernodes: its list is empty.")
    pinned = tuple(dict.fromkeys(_plain(part) for part in fields["pinnedIds"].split(",") if part))
    named = dict.fromkeys((*pinned, *(text for group in found for text in group.ids)))
    tokens = tuple(token for text in named if (token := parse_embedding(text)))
    link = NeuronpediaLink(_model(parts.path), fields["slug"], found, pinned, (), tokens)
    kept = _filtered(link, _why_no_feature, _why_no_node)
    return replace(kept.kept, notes=kept.notes)


def check(link: NeuronpediaLink, n_layers: int, widths: Sequence[int]) -> CheckedAddress:
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
    return CheckedAddress(checked.kept, (*checked.notes, *doubts))


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


def named_logits(link: NeuronpediaLink, n_layers: int) -> tuple[LogitName, ...]:
    """The pinned logits of a model with so many layers."""
    found = (parse_logit(text) for text in link.pinned)
    return tuple(logit for logit in found if logit and logit.layer == n_layers + 1)


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
    """The step in front of the page's own, `graph`, however both are spelled or encoded."""
    *before, page = [unquote(step) for step in path.split("/") if step] or [""]
    return before[-1] if before and page.lower() == "graph" else None


def _filtered(
    link: NeuronpediaLink,
    why_not: Callable[[str], str | None],
    why_not_pinned: Callable[[str], str | None],
) -> CheckedAddress:
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
        LabelledIds(group.label, kept(group.ids, f"supernode {_label(group)}", why_not))
        for group in link.supernodes
    )
    pinned = kept(link.pinned, "pinned", why_not_pinned)
    return CheckedAddress(replace(link, supernodes=supernodes, pinned=pinned), tuple(notes))


def _label(group: LabelledIds) -> str:
    return repr(shorten(group.label, 60))


def _plain(text: str) -> str:
    """A feature's id without the middle word of graphs with attention features."""
    name = parse_file_feature(text)
    return feature_id(*name) if name else text


def _why_no_feature(text: str) -> str | None:
    if parse_feature(text):
        return None
    if parse_embedding(text):
        return "is a token, no feature"
    if parse_error(text):
        return "is an error, no feature"
    if parse_logit(text):
        return "is a logit, no feature"
    if parse_head_node(text):
        return "is a head of attention, no feature"
    if parse_attention_feature(text):
        return "is an attention feature, for which tracer has no dictionary"
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


class Fitting(NamedTuple):
    """Ids that a model can have, and what was left out of an address, a sentence each."""

    features: tuple[str, ...]
    notes: tuple[str, ...]
    n_left_out: int = 0
    """Of the group's ids, because this model cannot have them."""


def explicit_features(node: SupernodeSpec) -> tuple[str, ...] | None:
    """`layer_index` or `layer_index_position`, as given; None for a supernode with a rule.

    Raises:
        UsageError: The address is none, or has no such group.
    """
    if node.neuronpedia is None:
        return node.features
    return features_of(read_url(node.neuronpedia.url), node.neuronpedia.group)


def fitting_features(node: SupernodeSpec, widths: Sequence[int]) -> Fitting:
    """The ids of a checked supernode; stale ones of an address are left out and told.

    `widths` are the numbers of features by layer. Listed ids are given back as they are.
    """
    if node.neuronpedia is None:
        return Fitting(node.features or (), ())
    link = read_url(node.neuronpedia.url)
    checked = check(link, len(widths), widths)
    kept = dict(checked.kept.supernodes)[node.neuronpedia.group]
    label = f"supernode {node.neuronpedia.group!r}"
    told = tuple(note for note in (*link.notes, *checked.notes) if note.startswith(label))
    return Fitting(kept, told, len(features_of(link, node.neuronpedia.group)) - len(kept))


def foreign(node: SupernodeSpec, model: str) -> Iterator[str]:
    """A sentence where the address of a supernode is of a graph of another model."""
    if node.neuronpedia is None:
        return
    theirs = read_url(node.neuronpedia.url).model
    if theirs is not None and _short(theirs) != _short(model):
        yield (
            f"supernode {node.neuronpedia.group!r}: its address is of a graph of {show(theirs)}, "
            f"the model is {show(model)}."
        )


def _short(model: str) -> str:
    """A model's name without its owner; sites spell it with other signs between the words."""
    name = re.sub("[^a-z0-9]", "", re.split(r"[/\\]", model.rstrip("/\\"))[-1].lower())
    return name.replace("gpt2small", "gpt2").removeprefix("meta")
