"""What a tokenizer makes of a hypothesis: token ids, span ranges, and every asked-for token.

Needs a tokenizer, but neither torch nor a model. A span covers every token that shares a character
with it, so it may be wider than its text; ranges exclude their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tracer.errors import HypothesisError, Mistake, listed, one_line, prompts_named, show
from tracer.hypothesis.chat import ChatRefused, ChatTokenizer, ChatUnbounded, format_chat
from tracer.hypothesis.check import asked_tokens
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.partial import parts_of
from tracer.hypothesis.positions import position_mistakes
from tracer.hypothesis.spec import Message, PromptSpec
from tracer.hypothesis.studies.study import Asked
from tracer.hypothesis.template import Rendered, places, render_prompt, render_token

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


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt as the model will see it."""

    name: str
    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    """Each id decoded by itself; part of a character reads as U+FFFD."""
    spans: dict[str, tuple[int, int]]
    """Token ranges: `last`, every declared span, every variable that occurs once."""
    answer_id: int | None
    asked: dict[str, int]
    """Token text → id: the answer, and all that expectations and directions ask here."""
    is_opened: bool = False
    """See `TextTokens`."""
    unspaced: tuple[str, ...] = ()
    """What is asked that goes on with the prompt's last word, where a space would begin another."""


class TextTokens(NamedTuple):
    """A plain text as the model reads it, special tokens put around it."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    is_opened: bool
    """Whether the text itself begins with what is put in front, which is not put there again."""


class _Encoded(NamedTuple):
    text: str
    tokens: TextTokens
    starts: tuple[int, ...]
    """Where each rendered part of the prompt begins in the text."""


class _Refused(ValueError):
    """Why something cannot be tokenized; `str` is the sentence."""


def tokenize(
    file: HypothesisFile, tokenizer: Tokenizer, context: int
) -> dict[str, TokenizedPrompt]:
    """Tokenize every prompt and every token asked about.

    Args:
        file: checked, so its texts render and its spans occur.
        tokenizer: a fast one, which knows the characters of each token.
        context: the most tokens the model takes.

    Raises:
        HypothesisError: with every prompt that is too long, every answer or asked-for token that is
            not exactly one token, every chat that the model has no format for, and every feature id
            whose position a prompt does not have.
    """
    reader = _Reader(file, tokenizer, context)
    hypothesis = file.hypothesis
    asked = asked_tokens(parts_of(hypothesis))
    prompts = {name: reader.prompt(name, asked) for name in hypothesis.prompts}
    for name, spec in hypothesis.interventions.items():
        reader.mistakes += _too_long(file, name, spec, prompts, context)
    ids = {name: prompt.ids for name, prompt in prompts.items() if prompt is not None}
    reader.mistakes += position_mistakes(file, ids)
    if reader.mistakes:
        raise HypothesisError(file.path, list(dict.fromkeys(reader.mistakes)))
    return {name: prompt for name, prompt in prompts.items() if prompt is not None}


def _too_long(
    file: HypothesisFile,
    name: str,
    spec: InterventionSpec,
    prompts: Mapping[str, TokenizedPrompt | None],
    context: int,
) -> Iterator[Mistake]:
    """Prompts that leave no room for the text that is to be generated after them."""
    n = spec.generate.tokens if spec.generate else 0
    for prompt in spec.prompts if n else ():
        found = prompts[prompt]
        if found is not None and len(found.ids) <= context < len(found.ids) + n:
            message = (
                f"{prompt} is {len(found.ids):,} tokens long and {n:,} are to follow; "
                f"{context:,} in all fit the model"
            )
            yield file.mistake(("interventions", name, "generate", "tokens"), message)


def shared_prefix(ids: Sequence[int], others: Iterable[Sequence[int]]) -> int:
    """How many first tokens a prompt has in common with all others."""
    return min(
        next((n for n, (a, b) in enumerate(zip(ids, other, strict=False)) if a != b), len(ids))
        for other in others
    )


def token_text(token: int, tokenizer: Decoder) -> str:
    """`text_inside` of one token."""
    return text_inside([token], tokenizer)


def text_inside(ids: Sequence[int], tokenizer: Decoder) -> str:
    """What tokens write behind another one, the space included that they begin with.

    Some tokenizers leave out the first space of whatever they decode (those of Llama 2), and so
    that of a token which is decoded alone.
    """
    before = _decode(ids[:1], tokenizer)
    whole = _decode([*ids[:1], *ids], tokenizer)
    return whole[len(before) :] if whole.startswith(before) else _decode(ids, tokenizer)


def token_id(token: str, tokenizer: Tokenizer) -> int:
    """The id of a text that is exactly one token.

    Of a tokenizer that puts a space in front of a text, it is the token that has none unless the
    text has one: so it is read behind another token, too.

    Raises:
        ValueError: it is not; the sentence shows its pieces and a spelling that would do.
    """
    found = _id_of(token, tokenizer)
    if found is not None:
        return found
    ids = _ids(token, tokenizer)
    if not ids:
        raise _Refused(f"{token!r} is no token at all; exactly one is expected.")
    if tokenizer.unk_token_id in ids:
        found = f"{token!r} holds what the tokenizer does not know; exactly one token is expected."
    else:
        pieces = [token_text(piece, tokenizer) for piece in ids]
        found = f"{token!r} is {len(ids)} tokens, {listed(pieces)}; exactly one is expected."
    raise _Refused(found + _other_spelling(token, tokenizer))


def _id_of(token: str, tokenizer: Tokenizer) -> int | None:
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
    return _decode(ids, tokenizer) == token and _ids(f" {token}", tokenizer) == ids


def _other_spelling(token: str, tokenizer: Tokenizer) -> str:
    core = token.strip()
    spellings = {f" {core}": "with one leading space", core: "without spaces around it"}
    for spelling, how in spellings.items():
        if core and spelling != token and _id_of(spelling, tokenizer) is not None:
            return f" {spelling!r}, {how}, is one token."
    return ""


def _ids(text: str, tokenizer: Tokenizer) -> list[int]:
    return list(_read(text, tokenizer, special=False)["input_ids"])


def _read(text: str, tokenizer: Tokenizer, *, special: bool) -> Mapping[str, Any]:
    """What the tokenizer makes of a text; foreign ones fail on some texts in any way."""
    try:
        return tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    except Exception as error:
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise _Refused(f"the model's tokenizer cannot read {show(text)} ({cause})") from error


def read_text(text: str, tokenizer: Tokenizer) -> TextTokens:
    """A text with the special tokens that the tokenizer puts around it, those in front once.

    Raises:
        ValueError: the tokenizer cannot read it.
    """
    whole, plain = (_read(text, tokenizer, special=special) for special in (True, False))
    ids, own = tuple(whole["input_ids"]), tuple(plain["input_ids"])
    doubled = _n_doubled(ids, own)
    offsets = tuple((int(start), int(end)) for start, end in whole["offset_mapping"])
    return TextTokens(ids[doubled:], offsets[doubled:], doubled > 0)


def _n_doubled(ids: Sequence[int], own: Sequence[int]) -> int:
    """How many tokens are put in front of a text whose own tokens begin with the same."""
    for n in range(1, len(ids) - len(own) + 1):
        if ids[n : n + len(own)] == own and own[:n] == ids[:n]:
            return n
    return 0


def token_notes(prompts: Iterable[TokenizedPrompt]) -> Iterator[str]:
    """What a reader should know of the tokens, a sentence each.

    That a prompt's own opening token is not put there twice, and that a word without a space in
    front is asked about where the prompt ends in a word.
    """
    unspaced: dict[str, list[str]] = {}
    for prompt in prompts:
        for token in prompt.unspaced:
            unspaced.setdefault(token, []).append(prompt.name)
        if prompt.is_opened:
            yield (
                f"the prompt {prompt.name!r} begins with {prompt.tokens[0]!r} itself: no second "
                "one is put in front."
            )

    for token, names in unspaced.items():
        spaced = f" {token}"
        yield (
            f"{token!r} has no space in front, so it goes on with the last word of "
            f"{prompts_named(names)}; to ask for a new word, write {spaced!r}, which is one token."
        )


def _is_unspaced(token: str, text: str, tokenizer: Tokenizer) -> bool:
    """Whether a token goes on with a text's last word, though it is one with a space as well.

    Only where words have spaces between them: between letters of an alphabet that has capitals,
    or behind a comma.
    """
    joins = text[-1:] in (",", ";") or _is_cased(text[-1:])
    return joins and _is_cased(token[:1]) and _id_of(f" {token}", tokenizer) is not None


def _is_cased(letter: str) -> bool:
    return letter.lower() != letter.upper()


def _decode(ids: Sequence[int], tokenizer: Decoder) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


class _Reader:
    """Tokenizes prompt by prompt and keeps the mistakes."""

    def __init__(self, file: HypothesisFile, tokenizer: Tokenizer, context: int) -> None:
        self.mistakes: list[Mistake] = []
        self._file, self._tokenizer, self._context = file, tokenizer, context
        self._unbounded: ChatUnbounded | None = None

    def prompt(self, name: str, asked: Sequence[Asked]) -> TokenizedPrompt | None:
        """The prompt, or None where a mistake was noted."""
        spec = self._file.hypothesis.prompts[name]
        parts = render_prompt(spec, self._file.hypothesis.template)
        ids = dict(self._asked_ids(name, spec, asked))
        try:
            encoded = self._encoded(spec, parts)
        except (ChatRefused, _Refused) as refused:
            path = ("prompts", name) if spec.messages is None else ("prompts", name, "messages")
            self.mistakes.append(self._file.mistake(path, str(refused)))
            return None
        ids_read, _, is_opened = encoded.tokens
        length = len(ids_read)
        if not 0 < length <= self._context:
            message = f"it is {length:,} tokens long; from 1 to {self._context:,} fit the model"
            self.mistakes.append(self._file.mistake(("prompts", name), message))
        return TokenizedPrompt(
            name=name,
            text=encoded.text,
            ids=ids_read,
            tokens=tuple(token_text(token, self._tokenizer) for token in ids_read),
            spans={"last": (length - 1, length), **dict(self._spans(name, spec, parts, encoded))},
            answer_id=None if spec.answer is None else ids.get(spec.answer),
            asked=ids,
            is_opened=is_opened,
            unspaced=tuple(
                token for token in ids if _is_unspaced(token, encoded.text, self._tokenizer)
            ),
        )

    def _encoded(self, spec: PromptSpec, parts: tuple[Rendered, ...]) -> _Encoded:
        """A chat format that has no end on one prompt is not tried on the next."""
        if self._unbounded is not None and spec.messages is not None:
            raise self._unbounded
        try:
            return _encode(spec, parts, self._tokenizer)
        except ChatUnbounded as refused:
            self._unbounded = refused
            raise

    def _asked_ids(
        self, name: str, spec: PromptSpec, asked: Sequence[Asked]
    ) -> Iterator[tuple[str, int]]:
        wanted = [
            (path, render_token(token, spec)) for path, token, prompts in asked if name in prompts
        ]
        if spec.answer is not None:
            wanted.insert(0, (("prompts", name, "answer"), spec.answer))
        for path, token in wanted:
            try:
                yield token, token_id(token, self._tokenizer)
            except _Refused as refused:
                self.mistakes.append(self._file.mistake(path, str(refused)))

    def _spans(
        self, name: str, spec: PromptSpec, parts: tuple[Rendered, ...], encoded: _Encoded
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        for span, found in places(spec, parts).items():
            if len(found) != 1:
                continue
            part, start, end = found[0]
            shift = encoded.starts[part]
            covered = [
                index
                for index, (first, stop) in enumerate(encoded.tokens.offsets)
                if first < end + shift and stop > start + shift and first < stop
            ]
            if covered:
                yield span, (covered[0], covered[-1] + 1)
            else:
                message = f"the tokenizer leaves no token for {parts[part].text[start:end]!r}"
                path = ("prompts", name, "spans", span)
                self.mistakes.append(self._file.mistake(path, message))


def _encode(spec: PromptSpec, parts: tuple[Rendered, ...], tokenizer: Tokenizer) -> _Encoded:
    if spec.messages is None:
        text = parts[0].text
        return _Encoded(text, read_text(text, tokenizer), (0,))
    text, starts = _chat(spec.messages, [part.text for part in parts], tokenizer)
    encoded = _read(text, tokenizer, special=False)
    offsets = tuple((int(start), int(end)) for start, end in encoded["offset_mapping"])
    return _Encoded(text, TextTokens(tuple(encoded["input_ids"]), offsets, False), starts)


def _chat(
    messages: tuple[Message, ...], contents: list[str], tokenizer: Tokenizer
) -> tuple[str, tuple[int, ...]]:
    """The chat as one text, and where each content begins in it.

    The same chat with marks for contents shows what the format itself writes; a format may strip
    the spaces around a content, but nothing else.
    """
    text = format_chat(messages, contents, tokenizer)
    marks = [f"\u27e6{number}\u27e7" for number in range(len(contents))]
    skeleton = format_chat(messages, marks, tokenizer)
    for shown in (contents, [content.strip() for content in contents]):
        starts: list[int] = []
        filled = skeleton
        for mark, content, whole in zip(marks, shown, contents, strict=True):
            starts.append(filled.find(mark) - whole.find(content))
            filled = filled.replace(mark, content, 1)
        if filled == text:
            return text, tuple(starts)
    raise ChatRefused("the model's chat format changes the messages, so spans in them are lost")
