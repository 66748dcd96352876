"""Windows of tokens, all of one length, cut from passages that follow each other.

Each begins with the special tokens that the tokenizer puts in front of a text. Behind them stand
the tokens of the passages, a blank line between two, and a window may hold the end of one passage
and the beginning of the next. What is left over at the end, less than a window, is not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from tracer.engine.corpus.passages import Passage, TextSource
from tracer.engine.progress import Progress
from tracer.errors import UsageError
from tracer.hypothesis.vocabulary import encode, special_front

LENGTH = 128
"""Tokens of a window where nobody says otherwise."""
Part = Literal["all", "training", "held out"]
"""Which passages are read; see `Passage.is_held_out`."""


class PassageStart(NamedTuple):
    """Where a passage begins in the stream of tokens."""

    start: int
    source: str
    title: str


@dataclass(frozen=True)
class Windows:
    """Tokens by window, and the passage that each token stands in."""

    ids: Int[np.ndarray, "window pos"]
    n_prefix: int
    """Special tokens that each window begins with."""
    numbers: Int[np.ndarray, " window"]
    """Of the windows among all that were cut, in the order of the text."""
    origins: tuple[PassageStart, ...]

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self.ids)

    @property
    def n_tokens(self) -> int:
        """All tokens but the special ones in front."""
        return len(self) * self._step

    @property
    def sha256(self) -> str:
        """Of the tokens and their order."""
        about = f"{self.ids.shape} {self.n_prefix} "
        return hashlib.sha256(about.encode() + self.ids.tobytes()).hexdigest()

    @property
    def _step(self) -> int:
        return self.ids.shape[1] - self.n_prefix

    @cached_property
    def _starts(self) -> Int[np.ndarray, " passage"]:
        return np.array([each.start for each in self.origins])

    def of(self, window: int, pos: int) -> PassageStart:
        """The passage that a token stands in; the special tokens count to the one behind them."""
        return self.origins[self._passage(window, pos)]

    def passage(self, window: int, pos: int) -> slice:
        """The positions of the window that are in the same passage as the one given."""
        mine = self._passage(window, pos)
        begin = int(self.numbers[window]) * self._step - self.n_prefix
        first = max(self.origins[mine].start - begin, self.n_prefix)
        is_last = mine + 1 == len(self.origins)
        end = self.ids.shape[1] if is_last else self.origins[mine + 1].start - begin
        return slice(first, min(end, self.ids.shape[1]))

    def sample(self, n_tokens: int, seed: int) -> Windows:
        """Windows in random order, as few as hold `n_tokens`, or all where there are fewer."""
        order = np.random.default_rng(seed).permutation(len(self))
        chosen = order[: -(-n_tokens // self._step)]
        return replace(self, ids=self.ids[chosen], numbers=self.numbers[chosen])

    def _passage(self, window: int, pos: int) -> int:
        place = int(self.numbers[window]) * self._step + max(pos - self.n_prefix, 0)
        return int(np.searchsorted(self._starts, place, "right")) - 1


def read_windows(
    sources: Sequence[TextSource],
    tokenizer: Any,
    progress: Progress,
    *,
    length: int = LENGTH,
    part: Part = "all",
    at_most: int,
) -> Windows:
    """Cut texts into windows.

    Args:
        sources: Texts; of each no more than `at_most` tokens are read.
        tokenizer: The model's.
        progress: Is told of the passages.
        length: Tokens of a window, special ones included.
        part: Which passages are read.
        at_most: Tokens of a source. All that are read stay in memory, four bytes each.

    Raises:
        UsageError: A text cannot be read, or all of them together are shorter than a window.
    """
    front = special_front(tokenizer)
    step = length - len(front)
    if step < 1:
        raise UsageError(f"a window of {length} tokens has no room for text.")
    between = _tokens("\n\n", tokenizer)
    pieces: list[Int[np.ndarray, " token"]] = []
    origins: list[PassageStart] = []
    total = 0
    with progress.task("reading the text") as advance:
        for source in sources:
            start = total
            for passage in _of_part(source.passages(), part):
                ids = np.array([*_tokens(passage.text, tokenizer), *between], np.int32)
                origins.append(PassageStart(total, source.name, passage.title))
                pieces.append(ids)
                total += len(ids)
                advance(1)
                if total - start >= at_most:
                    break
    if total < step:
        what = "" if part == "all" else f" in its {part} part"
        raise UsageError(
            f"The text has {total:,} tokens{what}; one window takes {step:,}. Give more text."
        )
    n = total // step
    text = np.concatenate(pieces)[: n * step].reshape(n, step)
    ids = np.concatenate([np.tile(np.array(front, np.int32), (n, 1)), text], 1)
    return Windows(ids, len(front), np.arange(n), tuple(origins))


def _of_part(passages: Iterator[Passage], part: Part) -> Iterator[Passage]:
    if part == "all":
        return passages
    return (each for each in passages if each.is_held_out == (part == "held out"))


def _tokens(text: str, tokenizer: Any) -> list[int]:
    """The text's own tokens; what reads like a special token in it is left out."""
    special = set(tokenizer.all_special_ids)
    return [id for id in encode(text, tokenizer, special=False)["input_ids"] if id not in special]
