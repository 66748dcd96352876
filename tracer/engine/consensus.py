"""The steps of a consensus: open, tokenize, align, take each prompt's graph, count.

Prompts that do not align are told before the first graph is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from tracer.engine.attribution.targets import explained_target_of
from tracer.engine.consensus_request import ConsensusRequest
from tracer.engine.graph_request import NamedConsensus
from tracer.engine.graphs import GraphedPrompt, describe, take_graph
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.session import Opened, open_both
from tracer.errors import HypothesisError
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.tokens import token_notes, tokenize
from tracer.record.graph.alignment import SpannedPrompt, align, misaligned
from tracer.record.graph.consensus import consensus
from tracer.record.graph.consensus_items import PromptGraph


class _Counted(NamedTuple):
    """A prompt that is counted: as it is aligned, and as its graph is taken."""

    name: str
    """Of the file."""
    spec: PromptSpec
    wording: str | None
    """The paraphrase that it is in."""
    spanned: SpannedPrompt
    asked: GraphedPrompt


def consensus_graph(
    request: ConsensusRequest, progress: Progress, opened: Opened | None = None
) -> NamedConsensus:
    """The consensus of the graphs of some prompts of a file, and of their paraphrases.

    Args:
        request: Which prompts, and what is explained.
        progress: Told of every step.
        opened: Model and features that are open already.

    Raises:
        HypothesisError: A prompt, span or token of the file that does not fit the model, or prompts
            that do not align.
        UsageError, ModelUnavailable, EngineError: See `tracer.attribution_graph`.
    """
    request.check()
    opened = opened or open_both(request.graph.model, request.graph.features, progress)
    counted = list(_counted(request, opened.model, progress))
    _require_aligned(request, counted)
    alignment = align([each.spanned for each in counted])
    found = consensus(_graphs(request, opened, counted, progress), alignment, request.core)
    ids = tuple(each.asked.ids for each in counted)
    title = request.file.hypothesis.hypothesis
    return NamedConsensus(title, found, ids, partial(describe, opened))


def _counted(request: ConsensusRequest, model: Model, progress: Progress) -> Iterator[_Counted]:
    for wording, file in request.wordings():
        tokenized = tokenize(file, model.tokenizer, model.context)
        for name in request.graph.names:
            spec, found = file.hypothesis.prompts[name], tokenized[name]
            own = spec.text is not None or spec.messages is not None
            if wording is not None and own:
                continue  # a paraphrase is one of the template
            label = name if wording is None else f"{name} ({wording})"
            template = None if own else file.hypothesis.template
            for note in token_notes([found]):
                progress.note(note)
            target = None
            if not request.graph.toward:
                target = explained_target_of(request.explained, spec, found)
            yield _Counted(
                name,
                spec,
                wording,
                SpannedPrompt(label, found.tokens, found.spans, template),
                GraphedPrompt(label, found.ids, found.answer_id, target, found.spans),
            )


def _require_aligned(request: ConsensusRequest, counted: Sequence[_Counted]) -> None:
    wrong = misaligned([each.spanned for each in counted])
    if wrong is None:
        return
    [at] = [each for each in counted if each.spanned.name == wrong.prompt]
    path = ("prompts", at.name)
    if at.wording is not None:
        path = ("robustness", "templates", at.wording)
    raise HypothesisError(request.file.path, [request.file.mistake(path, f"{wrong.reason}.")])


def _graphs(
    request: ConsensusRequest, opened: Opened, counted: Sequence[_Counted], progress: Progress
) -> Iterator[PromptGraph]:
    """One after the other: none is held longer than it is read."""
    with progress.task("taking the graphs", len(counted)) as advance:
        for each in counted:
            taken = take_graph(request.graph, opened, each.asked, progress)
            yield PromptGraph(each.spanned.name, each.spec.held_out, each.asked.answer, taken.graph)
            advance(1)
