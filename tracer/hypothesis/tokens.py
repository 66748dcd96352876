"""What a tokenizer makes of a hypothesis: token ids, span ranges, and every asked-for token.

Needs a tokenizer, but neither torch nor a model. A span covers every token that shares a character
with it, so it may be wider than its text; ranges exclude their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tracer.errors import HypothesisError, Mistake, prompts_named
from tracer.hypothesis.chat import ChatRefused, ChatUnbounded, format_chat
from tracer.hypothesis.check import asked_tokens
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.partial import parts_of
from tracer.hypothesis.pattern_places import pattern_mistakes
from tracer.hypothesis.positions import position_mistakes
from tracer.hypothesis.spec import Message, PromptSpec
from tracer.hypothesis.studies.study import Asked
from tracer.hypothesis.template import Rendered, places, render_prompt, render_token
from tracer.hypothesis.vocabulary import (
    TextTokens,
    Tokenizer,
    TokenRefused,
    encode,
    id_of,
    read_text,
    reopened,
    token_id,
    token_text,
    told_again,
)


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
    reopened: tuple[int, ...] = ()
    """Positions beyond the first where the token stands that opens a text."""
    unspaced: tuple[str, ...] = ()
    """What is asked that goes on with the prompt's last word, where a space would begin another."""


class _Encoded(NamedTuple):
    text: str
    tokens: TextTokens
    starts: tuple[int, ...]
    """Where each rendered part of the prompt begins in the text."""


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
    sizes = {n: (len(p.ids), p.spans) for n, p in prompts.items() if p is not None}
    reader.mistakes += pattern_mistakes(file, sizes)
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


def token_notes(prompts: Iterable[TokenizedPrompt]) -> Iterator[str]:
    """What a reader should know of the tokens, a sentence each.

    That a prompt's own opening token is not put there twice, that it stands inside a prompt, and
    that a word without a space in front is asked about where the prompt ends in a word.
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
        if prompt.reopened:
            token = prompt.tokens[prompt.reopened[0]]
            yield told_again(f"the prompt {prompt.name!r}", prompt.reopened, token)
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
    return joins and _is_cased(token[:1]) and id_of(f" {token}", tokenizer) is not None


def _is_cased(letter: str) -> bool:
    return letter.lower() != letter.upper()


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
        except (ChatRefused, TokenRefused) as refused:
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
            reopened=reopened(ids_read, self._tokenizer),
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
            except TokenRefused as refused:
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
    encoded = encode(text, tokenizer, special=False)
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
