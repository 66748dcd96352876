"""How the graph JSON of Neuronpedia and circuit-tracer names a node.

    feature     layer_index_pos          error   layer_-1_pos    (older files: 0_layer_pos)
    embedding   E_token_pos              logit   (n_layers + 1)_token_pos

The older name of an error is also the name of a feature of layer 0: only the node's type tells them
apart. Graphs with attention dictionaries (Lorsa: features of attention's output, each with a
pattern of its own) have the names

    feature             layer_cro_index_pos      error                   layer_error_mlp_pos
    attention feature   layer_lor_index_pos      error of the attention  layer_error_attn_pos

and the logits of such files stand in layer n_layers. Names without the middle word are read too.
Heads of attention that are nodes of ours have the type of attention features, and names that no
feature has:

    head                layer_head_number_pos

Numbers are plain decimals without leading zeros, so that a node has one name. Ids that people give,
in a file or to a command, may leave out the position.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FEATURE = "cross layer transcoder"
"""The type of every feature, whatever the basis: their pages know no other."""
ERROR = "mlp reconstruction error"
EMBEDDING = "embedding"
LOGIT = "logit"
LORSA = "lorsa"
"""The type of a feature of an attention dictionary."""
LORSA_ERROR = "lorsa error"
BIAS = "bias"
"""The type of a node that sends what is constant; its id means nothing."""

FIRST_VIRTUAL_TOKEN = 10**9
"""A direction is no token; it gets a vocabulary id from here on, beyond any vocabulary."""

_LAYER = r"(0|[1-9][0-9]{0,3})"
_INDEX = r"(0|[1-9][0-9]{0,8})"
_TOKEN = r"(0|[1-9][0-9]{0,10})"
_POS = r"(0|[1-9][0-9]{0,6})"
_WORDED_FEATURE = "cro"
_HEAD = "head"
_PATTERNS = {
    FEATURE: re.compile(f"{_LAYER}_{_INDEX}_{_POS}", re.ASCII),
    _WORDED_FEATURE: re.compile(f"{_LAYER}_cro_{_INDEX}_{_POS}", re.ASCII),
    LORSA: re.compile(f"{_LAYER}(?:_lor)?_{_INDEX}_{_POS}", re.ASCII),
    _HEAD: re.compile(f"{_LAYER}_head_{_INDEX}_{_POS}", re.ASCII),
    LOGIT: re.compile(f"{_LAYER}_{_TOKEN}_{_POS}", re.ASCII),
    EMBEDDING: re.compile(f"E_{_TOKEN}_{_POS}", re.ASCII),
    ERROR: re.compile(f"(?:{_LAYER}_(?:-1|error_mlp)|0_{_LAYER})_{_POS}", re.ASCII),
    LORSA_ERROR: re.compile(f"{_LAYER}_(?:-1|error(?:_attn)?)_{_POS}", re.ASCII),
}

_GIVEN = re.compile(r"([0-9]{1,4})_([0-9]{1,9})(?:_([0-9]{1,7}))?", re.ASCII)
"""As people write it: leading zeros may be there."""


class GivenFeature(NamedTuple):
    """What an id in a supernode's list says."""

    layer: int
    feature: int
    pos: int | None
    """None for an id without a position, `layer_index`."""


class FeatureName(NamedTuple):
    """What a feature's id says, or a head's: its number is the feature."""

    layer: int
    feature: int
    pos: int


class ErrorName(NamedTuple):
    """What an error's id says."""

    layer: int
    pos: int


class EmbeddingName(NamedTuple):
    """What a token's id says."""

    token: int
    pos: int


class LogitName(NamedTuple):
    """What a logit's id says; `layer` is the number of layers plus one."""

    layer: int
    token: int
    pos: int


def feature_id(layer: int, index: int, pos: int) -> str:
    """Name of a feature."""
    return f"{layer}_{index}_{pos}"


def error_id(layer: int, pos: int) -> str:
    """Name of an error: the newer form, which no feature has."""
    return f"{layer}_-1_{pos}"


def attention_feature_id(layer: int, index: int, pos: int) -> str:
    """Name of a feature of an attention dictionary."""
    return f"{layer}_lor_{index}_{pos}"


def head_node_id(layer: int, head: int, pos: int) -> str:
    """Name of a head of attention at a position."""
    return f"{layer}_head_{head}_{pos}"


def attention_error_id(layer: int, pos: int) -> str:
    """Name of what an attention dictionary leaves unexplained."""
    return f"{layer}_error_attn_{pos}"


def embedding_id(token: int, pos: int) -> str:
    """Name of a token's embedding."""
    return f"E_{token}_{pos}"


def logit_id(n_layers: int, token: int, pos: int) -> str:
    """Name of a logit: as if one layer were left out between it and the last one."""
    return f"{n_layers + 1}_{token}_{pos}"


def cantor(layer: int, index: int) -> int:
    """One number for a feature: Cantor's pairing of (layer, index), which their pages undo."""
    diagonal = layer + index
    return diagonal * (diagonal + 1) // 2 + index


def find_given(text: str) -> GivenFeature | None:
    """Read `layer_index` or `layer_index_position`; None where it is neither."""
    match = _GIVEN.fullmatch(text)
    if match is None:
        return None
    layer, index, pos = match.groups()
    return GivenFeature(int(layer), int(index), None if pos is None else int(pos))


def parse_given(text: str) -> GivenFeature:
    """The same of an id that the checks of a file let through."""
    found = find_given(text)
    assert found is not None, text
    return found


def without_position(text: str) -> str:
    """`layer_index` of such an id, as it is written there."""
    return "_".join(text.split("_")[:2])


def parse_feature(text: str) -> FeatureName | None:
    """Read a feature's id; None where it is none."""
    numbers = _numbers(FEATURE, text)
    return FeatureName(*numbers) if numbers else None


def parse_file_feature(text: str) -> FeatureName | None:
    """Read a feature's id as files of any age have it, with or without the middle word."""
    numbers = _numbers(FEATURE, text) or _numbers(_WORDED_FEATURE, text)
    return FeatureName(*numbers) if numbers else None


def parse_error(text: str) -> ErrorName | None:
    """Read an error's id in either form; None where it is none."""
    numbers = _numbers(ERROR, text)
    return ErrorName(*numbers) if numbers else None


def parse_attention_feature(text: str) -> FeatureName | None:
    """Read the id of an attention dictionary's feature; None where it is none."""
    numbers = _numbers(LORSA, text)
    return FeatureName(*numbers) if numbers else None


def parse_head_node(text: str) -> FeatureName | None:
    """Read the id of a head at a position; None where it is none."""
    numbers = _numbers(_HEAD, text)
    return FeatureName(*numbers) if numbers else None


def parse_attention_error(text: str) -> ErrorName | None:
    """Read the id of an attention dictionary's error; None where it is none."""
    numbers = _numbers(LORSA_ERROR, text)
    return ErrorName(*numbers) if numbers else None


def parse_embedding(text: str) -> EmbeddingName | None:
    """Read a token's id; None where it is none."""
    numbers = _numbers(EMBEDDING, text)
    return EmbeddingName(*numbers) if numbers else None


def parse_logit(text: str) -> LogitName | None:
    """Read a logit's id; None where it is none."""
    numbers = _numbers(LOGIT, text)
    return LogitName(*numbers) if numbers else None


def _numbers(kind: str, text: str) -> list[int] | None:
    match = _PATTERNS[kind].fullmatch(text)
    return [int(part) for part in match.groups() if part is not None] if match else None
