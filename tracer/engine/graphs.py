"""The steps of an attribution graph: open, tokenize, choose what to explain, attribute.

A graph explains the most probable next tokens, unless tokens are named: then it explains these,
or how one token comes to be ahead of another. A hypothesis may name them in its `graph` section.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from tracer.engine.attribution import targets
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.graph import Attributed, ChooseTargets, attributed
from tracer.engine.attribution.head_loadings import edge_loadings
from tracer.engine.attribution.targets import ExplainedTarget, Targets, explained_target_of
from tracer.engine.feature_card import described, influential
from tracer.engine.feature_index.index import find_index
from tracer.engine.features.untrained import opening_note
from tracer.engine.graph_request import N_READ, GraphRequest, NamedGraph
from tracer.engine.head_reason import asked_prompt, head_reason, question_of
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.session import Opened, open_both, subject_of
from tracer.errors import UsageError
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.tokens import TokenizedPrompt, token_notes, tokenize
from tracer.hypothesis.vocabulary import read_text, reopened, token_id, token_text, told_again
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.head_reason import HeadQuestion
from tracer.record.trials import FeatureTokens


def graphs(
    request: GraphRequest, progress: Progress, opened: Opened | None = None
) -> Iterator[NamedGraph]:
    """One graph after the other, each when it is asked for; the model is opened once.

    Args:
        request: What to explain, and by which model where none is open.
        progress: Told of every step.
        opened: Model and features that are open already.

    Raises:
        HypothesisError: A prompt, span or token of the file that does not fit the model.
        UsageError, ModelUnavailable, EngineError: See `tracer.attribution_graph`.
    """
    request.check()
    opened = opened or open_both(request.model, request.features, progress)
    model, basis = opened.model, opened.basis
    prompts = _prompts(request, model, progress)
    told = {prompt.name or "the text": prompt.ids for prompt in prompts}
    if note := opening_note(told, basis.name, basis.opening):
        progress.note(note.rstrip("."))
    for prompt in prompts:
        asked = _question(request, model, prompt)
        taken = take_graph(request, opened, prompt, progress)
        reason = None
        if asked is not None:
            with progress.task("finding why the head looks there"):
                reason = head_reason(model, asked_prompt(taken), asked, {})
        yield NamedGraph(prompt.name, taken.graph, partial(describe, opened), taken, reason)


def take_graph(
    request: GraphRequest, opened: Opened, prompt: GraphedPrompt, progress: Progress
) -> Attributed:
    """The graph of one prompt, nothing pruned.

    Raises:
        UsageError: The prompt is too short or too long, or a token that is asked for is none.
    """
    _require_length(prompt.name or "the prompt", prompt.ids, opened.model)
    toward = _toward(request, opened.model, prompt)
    ids = torch.tensor(prompt.ids)
    n_features, n_heads = request.kept_features, request.kept_heads
    return attributed(
        opened.model, opened.basis, ids, toward, n_features, progress, n_heads=n_heads
    )


def describe(
    opened: Opened, kept: AttributionGraph, progress: Progress
) -> Mapping[str, FeatureTokens]:
    """What the most influential features of a graph, or of what a pruning left of it, promote."""
    active = influential(kept, N_READ)
    with progress.task("reading what features promote"):
        index = find_index(subject_of(opened))
        return described(opened.model, opened.basis, active, {}, index)


def with_heads(taken: Attributed, kept: AttributionGraph, progress: Progress) -> AttributionGraph:
    """A graph, or what a pruning left of it, with the heads that carry each of its edges.

    Raises:
        EngineError: Too little memory.
    """
    with memory_told(f"the heads of {np.count_nonzero(kept.edges):,} edges"):
        return replace(kept, heads=edge_loadings(taken, kept, progress))


OPENED = "the text begins with the model's special token itself: no second one is put in front"


class GraphedPrompt(NamedTuple):
    """A prompt whose graph is to be taken."""

    name: str | None
    """None for a text."""
    ids: tuple[int, ...]
    answer: int | None
    declared: ExplainedTarget | None
    """What the file says its graph explains; None where it says nothing."""
    spans: Mapping[str, tuple[int, int]]


def _prompts(request: GraphRequest, model: Model, progress: Progress) -> list[GraphedPrompt]:
    file = request.source
    if isinstance(file, str):
        try:
            found = read_text(file, model.tokenizer)
        except ValueError as refused:
            raise UsageError(str(refused)) from None
        if found.is_opened:
            progress.note(OPENED)
        if again := reopened(found.ids, model.tokenizer):
            token = token_text(found.ids[again[0]], model.tokenizer)
            progress.note(told_again("the text", again, token))
        return [GraphedPrompt(None, found.ids, None, None, {})]
    tokenized = tokenize(file, model.tokenizer, model.context)
    for note in token_notes(tokenized[name] for name in request.names):
        progress.note(note)
    title, found = file.hypothesis.hypothesis, [tokenized[name] for name in request.names]
    return [
        GraphedPrompt(f"{title}-{p.name}", p.ids, p.answer_id, _declared(file, p), p.spans)
        for p in found
    ]


def _question(request: GraphRequest, model: Model, prompt: GraphedPrompt) -> HeadQuestion | None:
    if request.why is None:
        return None
    tokens = [token_text(each, model.tokenizer) for each in prompt.ids]
    return question_of(model, request.why, tokens, prompt.spans)


def _declared(file: HypothesisFile, prompt: TokenizedPrompt) -> ExplainedTarget | None:
    """What the graph section explains on a prompt; its tokens are known on its own prompts only."""
    section = file.hypothesis.graph
    if section is None or prompt.name not in section.prompts:
        return None
    return explained_target_of(section.toward, file.hypothesis.prompts[prompt.name], prompt)


def _require_length(name: str, ids: Sequence[int], model: Model) -> None:
    if not 2 <= len(ids) <= model.context:
        raise UsageError(
            f"the length of {name} in tokens, special ones included, is {len(ids):,}; "
            f"a graph needs at least 2, and {model.context:,} fit the model."
        )


def _toward(request: GraphRequest, model: Model, prompt: GraphedPrompt) -> ChooseTargets:
    tokenizer = model.tokenizer
    wanted = [_token(text, model) for text in dict.fromkeys(request.toward)]
    foil = None if request.against is None else _token(request.against, model)
    if wanted and wanted[0] == foil:
        raise UsageError(f"{request.against!r} against itself is no difference.")

    def toward(frozen: Frozen) -> Targets:
        if foil is not None:
            return targets.difference(frozen, tokenizer, wanted[0], foil)
        if wanted:
            return targets.tokens(frozen, tokenizer, wanted)
        if prompt.declared is not None:
            return targets.explained(frozen, prompt.declared, tokenizer)
        return _salient_and(frozen, tokenizer, prompt.answer)

    return toward


def _salient_and(frozen: Frozen, tokenizer: Any, answer: int | None) -> Targets:
    found = targets.salient(frozen, tokenizer)
    ids = [logit.token for logit in found.logits if logit.token is not None]
    if answer is None or answer in ids:
        return found
    return targets.tokens(frozen, tokenizer, [*ids, answer])


def _token(text: str, model: Model) -> int:
    try:
        return token_id(text, model.tokenizer)
    except ValueError as refused:
        raise UsageError(str(refused)) from None
