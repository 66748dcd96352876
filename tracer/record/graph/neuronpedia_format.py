"""A graph JSON as Neuronpedia's schema has it: how a file of it is read and validated.

Keys that `neuronpedia_import` does not use are allowed. Numbers are bounded as in our own files, so
that no sum of them overflows; so is the size of a file.
"""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, FailFast, Field, ValidationError
from pydantic_core import ErrorDetails, from_json

from tracer.errors import UsageError, dotted, show
from tracer.hypothesis.studies.graph import LARGEST, MAX_JSON_BYTES


def _text_of_whole(value: object) -> object:
    return str(value) if type(value) is int and abs(value) < 10**9 else value


def _text_or_list(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError("text or a list is expected")
    return value


_EXPECTED = {
    "string_type": "text is expected",
    "int_type": "a whole number is expected",
    "float_type": "a number is expected",
    "list_type": "a list is expected",
    "tuple_type": "a list is expected",
    "too_long": "a shorter list is expected",
    "dict_type": "a mapping is expected",
    "model_type": "a mapping is expected",
    "dataclass_type": "a mapping is expected",
}

_BEYOND = ("less_than_equal", "greater_than_equal")

Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
LayerText = Annotated[Text, BeforeValidator(_text_of_whole)]
"""Old files have a number here."""
TextOrList = Annotated[Any, AfterValidator(_text_or_list)]
"""A list, or what the page's Save button makes of it: text."""


@dataclass(frozen=True, slots=True)
class QkEntry:
    """Why an attention feature looks where it does: nodes, and what they add to its score."""

    pair_wise_contributors: Annotated[list[tuple[Text, Text, Number]], FailFast()]
    """Query side, key side, weight."""
    top_q_marginal_contributors: Annotated[list[tuple[Text, Number]], FailFast()]
    top_k_marginal_contributors: Annotated[list[tuple[Text, Number]], FailFast()]


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node; `node_id` says where it is, `feature` is written in several ways."""

    node_id: Text
    feature: Whole | None
    layer: LayerText
    ctx_idx: Whole
    feature_type: Text
    jsNodeId: Text
    clerp: Text
    token_prob: Number | None = None
    influence: Number | None = None
    activation: Number | None = None
    qk_tracing_results: QkEntry | None = None


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """One edge."""

    source: Text
    target: Text
    weight: Number


class PruningSettings(BaseModel):
    """The shares kept, where the writer tells both."""

    node_threshold: Share | None = None
    edge_threshold: Share | None = None


class HeadNodesEntry(BaseModel):
    """See `tracer.record.graph.heads.HeadNodes`; only tracer writes it."""

    n_all: Annotated[Whole, Field(ge=0)]
    relevance_share: Share


class Info(BaseModel):
    """Who made it and of what; only the basis, and what is told of heads, is of use here."""

    transcoder_set: Text | None = None
    head_nodes: HeadNodesEntry | None = None


class Metadata(BaseModel):
    """What the graph is of."""

    slug: Text
    scan: Text
    prompt_tokens: Annotated[list[Text], FailFast()]
    prompt: Text
    node_threshold: Share | None = None
    info: Info = Info()
    pruning_settings: PruningSettings = PruningSettings()


class QueryParameters(BaseModel):
    """What was pinned and grouped on the page."""

    pinnedIds: TextOrList = []
    supernodes: TextOrList = []
    clickedId: Any = ""


class GraphFile(BaseModel):
    """A whole file."""

    metadata: Metadata
    qParams: QueryParameters
    nodes: Annotated[list[NodeEntry], FailFast()]
    links: Annotated[list[LinkEntry], FailFast()]
    qk_only_nodes: Annotated[dict[Text, NodeEntry], FailFast()] = {}


def validate(data: object) -> list[str]:
    """What in a parsed graph JSON does not fit the format, a sentence each.

    Of a list of nodes, links or tokens, only the first misfit is reported. Whether a link names a
    node is not checked here.
    """
    try:
        GraphFile.model_validate(data)
    except ValidationError as error:
        return misfits(error)
    return []


def misfits(error: ValidationError) -> list[str]:
    """The sentences of a failed validation, each with the place in the file."""
    return [_misfit(detail) for detail in error.errors(include_url=False, include_context=False)]


def _misfit(detail: ErrorDetails) -> str:
    where = dotted(detail["loc"]) or "the file"
    if detail["type"] == "missing":
        return f"{where}: it is missing"
    return f"{where}: found {_found(detail['input'])}; {_reason(detail)}"


def _reason(detail: ErrorDetails) -> str:
    if detail["type"] in _BEYOND and abs(detail["input"]) > LARGEST:
        return f"a number within ±{LARGEST:.0e} is expected"
    return _EXPECTED.get(detail["type"]) or detail["msg"].removeprefix("Value error, ").lower()


def _found(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return show(value)


class JsonFile(NamedTuple):
    """What stands in it, and what identifies it."""

    data: object
    sha256: str


def read(path: Path) -> JsonFile:
    """Read a file whole.

    Raises:
        UsageError: It is missing, unreadable, over 100 MB, or no JSON.
    """
    content = _content(path)
    try:
        data = from_json(content.removeprefix(BOM_UTF8), allow_inf_nan=False)
    except ValueError as problem:
        raise UsageError(f"{path}: cut short, or no JSON ({problem}).") from None
    return JsonFile(data, hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder, not a file.")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: this is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path}: it cannot be read ({problem}).") from None
    if len(content) > MAX_JSON_BYTES:
        raise UsageError(f"{path}: the file is larger than {MAX_JSON_BYTES / 1e6:.0f} MB.")
    return content
