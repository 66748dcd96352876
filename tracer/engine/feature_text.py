"""Where features are strongly active: in the lines of a text, and on a hypothesis's own prompts.

Every line and every prompt is a pass of its own; only its strongest token is told. Special tokens
that a text begins with do not count, nor does an opening that a dictionary was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import n_prefix
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.progress import Progress
from tracer.engine.session import Opened
from tracer.engine.whole_prompts import run_together
from tracer.errors import EngineError
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.hypothesis.vocabulary import TextTokens, read_text, text_inside, token_text
from tracer.record.feature_card import Example, FeatureId, Line, OnText
from tracer.record.trials import Firing

MAX_TOKENS = 1024
"""Lines are cut to so many tokens: attention's memory grows with the square."""
_BEFORE, _AFTER = 12, 6
"""Tokens of a line shown around the one that is meant."""
_BEFORE_FIRING = 6
"""Tokens of a prompt shown before the one that is meant."""


def on_text(
    opened: Opened,
    features: Sequence[FeatureId],
    lines: Sequence[Line],
    top: int,
    progress: Progress,
) -> list[OnText]:
    """What each feature does on the lines.

    Raises:
        EngineError: An activation is not finite, or too little memory.
    """
    tallies = [_Tally(top) for _ in features]
    tokenizer = opened.model.tokenizer
    length, n_cut, n_opened = min(opened.model.context, MAX_TOKENS), 0, 0
    of_line = partial(activations_of, opened.model, opened.basis, features)
    with progress.task("running the text", len(lines)) as advance, memory_told("a line's pass"):
        for line in lines:
            found = _read_line(line, tokenizer)
            ids, n_opened = list(found.ids), n_opened + found.is_opened
            n_cut += len(ids) > length
            ids = ids[:length]
            if ids:
                first = n_prefix(ids, tokenizer.all_special_ids, opened.basis.opening)
                read = _Read(line.number, ids, first, tokenizer)
                for tally, mine in zip(tallies, of_line([ids])[0], strict=True):
                    tally.add(mine[first:], read)
            advance(1)
    if n_cut:
        progress.note(f"lines cut to {length} tokens: {n_cut}")
    if n_opened:
        progress.note(f"lines that begin with a special token, which is put there once: {n_opened}")
    return [tally.result() for tally in tallies]


def _read_line(line: Line, tokenizer: Any) -> TextTokens:
    try:
        return read_text(line.text, tokenizer)
    except ValueError as refused:
        raise EngineError(f"line {line.number}: {refused}") from None


@dataclass(frozen=True)
class _Read:
    """A line as the model read it, from the first token that counts."""

    number: int
    ids: list[int]
    first: int
    tokenizer: Any

    def example(self, pos: int, activation: float) -> Example:
        """What stands around a place; `pos` counts from `first`."""
        at = self.first + pos
        before = self.ids[max(self.first, at - _BEFORE) : at]
        after = self.ids[at + 1 : at + 1 + _AFTER]
        parts = (before, self.ids[at : at + 1], after)
        texts = [text_inside(ids, self.tokenizer) for ids in parts]
        return Example(activation, self.number, *texts)


@dataclass
class _Tally:
    """One feature's counts and examples so far."""

    top: int
    n_tokens: int = 0
    n_positive: int = 0
    n_negative: int = 0
    positive: list[Example] = field(default_factory=list[Example])
    negative: list[Example] = field(default_factory=list[Example])

    def add(self, activations: Float[Tensor, " pos"], read: _Read) -> None:
        """Count a line, and keep its strongest places where they are among the best."""
        self.n_tokens += len(activations)
        self.n_positive += int((activations > 0).sum())
        self.n_negative += int((activations < 0).sum())
        for signed, kept in ((activations, self.positive), (-activations, self.negative)):
            pos = int(signed.argmax())
            if signed[pos] > 0:
                kept.append(read.example(pos, float(activations[pos])))
                # The sort is stable: of equally strong lines the earlier one stays first.
                kept.sort(key=lambda example: -abs(example.activation))
                del kept[self.top :]

    def result(self) -> OnText:
        counts = (self.n_tokens, self.n_positive, self.n_negative)
        return OnText(*counts, tuple(self.positive), tuple(self.negative))


def activations_of(
    model: Model, basis: FeatureBasis, features: Sequence[FeatureId], ids: Sequence[Sequence[int]]
) -> Float[Tensor, "line feature pos"]:
    """Of single features at every position of lines of one length.

    Raises:
        EngineError: One is not finite.
    """
    seen: dict[Site, Tensor] = {}

    def keep(site: Site) -> tuple[Site, Hook]:
        return site, lambda x: seen.__setitem__(site, x.detach())

    sites = sorted({basis.read_site(layer) for layer, _ in features})
    model.read(torch.tensor(ids), [keep(site) for site in sites])
    n_lines, length = len(ids), len(ids[0])
    row, pos = torch.cartesian_prod(torch.arange(n_lines), torch.arange(length)).to(model.device).T
    encoded: list[Tensor] = []
    for layer, index in features:
        x = seen[basis.read_site(layer)]
        encoded.append(basis.encode_at(layer, x, row, pos, torch.full_like(pos, index)))
    found = torch.stack(encoded).reshape(-1, n_lines, length).transpose(0, 1)
    if not bool(torch.isfinite(found).all()):
        raise EngineError("activations are not finite on this text. Try dtype float32.")
    return found.float().cpu()


class Signed(NamedTuple):
    """A feature, and the sign that its activation is looked for with."""

    feature: FeatureId
    sign: int


def firings(
    model: Model,
    basis: FeatureBasis,
    features: Sequence[Signed],
    prompts: Sequence[TokenizedPrompt],
    top: int,
) -> dict[Signed, tuple[Firing, ...]]:
    """The `top` prompts on which each feature is most active, with the token where it is."""
    if not features:
        return {}
    found: list[list[Firing]] = [[] for _ in features]
    ids = [each.feature for each in features]
    signs = torch.tensor([[float(each.sign)] for each in features])
    active: dict[int, Float[Tensor, "feature pos"]] = {}

    def run(numbers: Sequence[int]) -> list[Tensor]:
        return list(signs * activations_of(model, basis, ids, [prompts[n].ids for n in numbers]))

    for batch, values in run_together([prompt.ids for prompt in prompts], run):
        active.update(zip(batch, values, strict=True))
    for number, prompt in enumerate(prompts):
        first = n_prefix(prompt.ids, model.tokenizer.all_special_ids, basis.opening)
        if first >= len(prompt.ids):
            continue
        for mine, values in zip(found, active[number][:, first:], strict=True):
            mine += _strongest(model, prompt, first, values)
    pairs = zip(features, found, strict=True)
    return {each: _first(mine, top, each.sign) for each, mine in pairs}


def _strongest(
    model: Model, prompt: TokenizedPrompt, first: int, values: Float[Tensor, " pos"]
) -> list[Firing]:
    """The prompt's strongest place, activation as looked for; none where it is not active so."""
    pos = int(values.argmax())
    if values[pos] <= 0:
        return []
    at, ids = first + pos, list(prompt.ids)
    before = text_inside(ids[max(first, at - _BEFORE_FIRING) : at], model.tokenizer)
    token = token_text(ids[at], model.tokenizer)
    value = float(values[pos])
    return [Firing(prompt=prompt.name, before=before, token=token, activation=value)]


def _first(found: Sequence[Firing], top: int, sign: int) -> tuple[Firing, ...]:
    strongest = sorted(found, key=lambda each: -each.activation)[:top]
    return tuple(e.model_copy(update={"activation": sign * e.activation}) for e in strongest)
