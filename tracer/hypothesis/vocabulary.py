"""Between a text and a tokenizer's tokens: what a text is read as, and what a token writes.

Some tokenizers put a space in front of a text that is read alone, and take one away from what is
decoded alone (those of Llama 2), so single tokens are read and decoded behind another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tracer.errors import listed, one_line, show
from tracer.hypothesis.chat import ChatTokenizer

_ANCHORS = ("(", "a", "1", ")")
"""Texts that others are read behind; one at least is not read as one token with what follows."""


@runtime_checkable
class Decoder(Protocol):
    """What makes text of token ids."""

    def decode(self, token_ids: Any, *, clean_up_tokenization_spaces: bool) -> Any:
        """The text of ids."""
        ...


@runtime_checkable
class Tokenizer(ChatTokenizer, Decoder, Protocol):
    """The part of a Hugging Face fast tokenizer that is used."""

    @property
    def unk_token_id(self) -> Any:
        """The id that stands for everything unknown, or None."""
        ...

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool
    ) -> Mapping[str, Any]:
        """Encode; `input_ids` and `offset_mapping` are read."""
        ...


class TextTokens(NamedTuple):
    """A plain text as the model reads it, special tokens put around it."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    is_opened: bool
    """Whether the text itself begins with what is put in front, which is not put there again."""


class TokenRefused(ValueError):
    """Why something cannot be tokenized; `str` is the sentence."""


def token_text(token: int, tokenizer: Decoder) -> str:
    """`text_inside` of one token."""
    return text_inside([token], tokenizer)


def text_inside(ids: Sequence[int], tokenizer: Decoder) -> str:
    """What tokens write behind another one, the space included that they begin with.

    Some tokenizers leave out the first space of whatever they decode (those of Llama 2), and so
    that of a token which is decoded alone.
    """
    before = decode(ids[:1], tokenizer)
    whole = decode([*ids[:1], *ids], tokenizer)
    return whole[len(before) :] if whole.startswith(before) else decode(ids, tokenizer)


def token_id(token: str, tokenizer: Tokenizer) -> int:
    """The id of a text that is exactly one token.

    Of a tokenizer that puts a space in front of a text, it is the token that has none unless the
    text has one: so it is read behind another token, too.

    Raises:
        ValueError: it is not; the sentence shows its pieces and a spelling that would do.
    """
    found = id_of(token, tokenizer)
    if found is not None:
        return found
    ids = _ids(token, tokenizer)
    if not ids:
        raise TokenRefused(f"{token!r} is no token at all; exactly one is expected.")
    if tokenizer.unk_token_id in ids:
        found = f"{token!r} holds what the tokenizer does not know; exactly one token is expected."
    else:
        pieces = [token_text(piece, tokenizer) for piece in ids]
        found = f"{token!r} is {len(ids)} tokens, {listed(pieces)}; exactly one is expected."
    raise TokenRefused(found + _other_spelling(token, tokenizer))


def id_of(token: str, tokenizer: Tokenizer) -> int | None:
    """The token that writes this text, alone or behind another; None where there is none."""
    ids = _ids(token, tokenizer)
    written = token_text(ids[0], tokenizer) if len(ids) == 1 else None
    if written == token or (written is not None and _is_spaceless(token, ids, tokenizer)):
        return ids[0]
    for anchor in _ANCHORS if token else ():
        before, both = _ids(anchor, tokenizer), _ids(anchor + token, tokenizer)
        last = both[len(before) :]
        is_one = both[: len(before)] == before and len(last) == 1
        if is_one and token_text(last[0], tokenizer) == token:
            return last[0]
    if written is None or ids[0] == tokenizer.unk_token_id:
        return None
    # The tokenizer writes the text otherwise, in small letters for one; a space is no such thing.
    return None if written.strip(" ") == token.strip(" ") else ids[0]


def _is_spaceless(token: str, ids: list[int], tokenizer: Tokenizer) -> bool:
    """Whether a token writes this text, and spaces are no part of any of the tokenizer's tokens."""
    return decode(ids, tokenizer) == token and _ids(f" {token}", tokenizer) == ids


def _other_spelling(token: str, tokenizer: Tokenizer) -> str:
    core = token.strip()
    spellings = {f" {core}": "with one leading space", core: "without spaces around it"}
    for spelling, how in spellings.items():
        if core and spelling != token and id_of(spelling, tokenizer) is not None:
            return f" {spelling!r}, {how}, is one token."
    return ""


def _ids(text: str, tokenizer: Tokenizer) -> list[int]:
    return _ids_of(text, tokenizer, special=False)


def _ids_of(text: str, tokenizer: Tokenizer, *, special: bool) -> list[int]:
    return list(encode(text, tokenizer, special=special)["input_ids"])


def encode(text: str, tokenizer: Tokenizer, *, special: bool) -> Mapping[str, Any]:
    """What the tokenizer makes of a text; foreign ones fail on some texts in any way.

    Raises:
        ValueError: it failed, with the reason.
    """
    try:
        return tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    except Exception as error:
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise TokenRefused(f"the model's tokenizer cannot read {show(text)} ({cause})") from error


def read_text(text: str, tokenizer: Tokenizer) -> TextTokens:
    """A text with the special tokens that the tokenizer puts around it, those in front once.

    Raises:
        ValueError: the tokenizer cannot read it.
    """
    whole, plain = (encode(text, tokenizer, special=special) for special in (True, False))
    ids, own = tuple(whole["input_ids"]), tuple(plain["input_ids"])
    doubled = _n_doubled(ids, own)
    offsets = tuple((int(start), int(end)) for start, end in whole["offset_mapping"])
    return TextTokens(ids[doubled:], offsets[doubled:], doubled > 0)


def reopened(ids: Sequence[int], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Positions beyond the first where what the tokenizer puts in front of a text stands again."""
    front = special_front(tokenizer)
    places = range(1, len(ids)) if front else ()
    return tuple(pos for pos in places if list(ids[pos : pos + len(front)]) == front)


def special_front(tokenizer: Tokenizer) -> list[int]:
    """The special tokens that the tokenizer puts in front of a text."""
    whole, own = (_ids_of("a", tokenizer, special=special) for special in (True, False))
    starts = range(len(whole) - len(own) + 1)
    return whole[: next((n for n in starts if whole[n : n + len(own)] == own), 0)]


def told_again(what: str, positions: Sequence[int], token: str) -> str:
    """The sentence about them; `what` is the text that holds the token."""
    at = ", ".join(map(str, positions[:3])) + ", …" * (len(positions) > 3)
    noun = "position" if len(positions) == 1 else "positions"
    return f"{what} has {token!r} again at {noun} {at}, as if another text began there."


def _n_doubled(ids: Sequence[int], own: Sequence[int]) -> int:
    """How many tokens are put in front of a text whose own tokens begin with the same."""
    for n in range(1, len(ids) - len(own) + 1):
        if ids[n : n + len(own)] == own and own[:n] == ids[:n]:
            return n
    return 0


def decode(ids: Sequence[int], tokenizer: Decoder) -> str:
    """The text of ids, special tokens included, nothing tidied."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
