"""The steps of an attribution graph: open, tokenize, choose what to explain, attribute.

A graph explains the most probable next tokens, unless tokens are named: then it explains these,
or how one token comes to be ahead of another. A hypothesis may name them in its `graph` section.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from tracer.engine.attribution import targets
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.graph import ChooseTargets, attribute
from tracer.engine.attribution.targets import ExplainedTarget, Targets, explained_target_of
from tracer.engine.feature_card import described, influential
from tracer.engine.graph_request import GraphRequest, NamedGraph
from tracer.engine.model.model import Model
from tracer.engine.model.sources import named_model
from tracer.engine.progress import Progress, Silent
from tracer.engine.session import Opened, open_both
from tracer.errors import UsageError
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.studies.graph import KEPT_FEATURES
from tracer.hypothesis.tokens import TokenizedPrompt, read_text, token_id, token_notes, tokenize
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.prune import prune as prune_graph


def attribution_graph(
    prompt: str,
    *,
    model: str | None = None,
    features: str = "neurons",
    toward: str | Sequence[str] | None = None,
    against: str | None = None,
    max_features: int = KEPT_FEATURES,
    prune: tuple[float, float] | None = (0.8, 0.98),
    device: str | None = None,
    dtype: str | None = None,
    progress: Progress | None = None,
) -> AttributionGraph:
    """The attribution graph of one prompt, pruned.

    Args:
        prompt: A text; the special tokens that the tokenizer puts in front are added.
        model: A registered name, a Hugging Face id or a folder.
        features: `neurons`, a registered dictionary, a folder or a Hugging Face id.
        toward: A token, or several, to explain; None means the most probable ones.
        against: A second token: logit(toward) − logit(against) is explained instead.
        max_features: So many of the active features are kept, the most relevant; what the others
            write is in the error nodes.
        prune: Shares of the nodes' and of the edges' influence to keep (see
            `tracer.record.graph.prune`); None keeps all.
        device: `auto`, `cpu`, `cuda`, …
        dtype: `float32`, `bfloat16`, `float16` or `float64`.
        progress: Told of every step; silent by default.

    Raises:
        UsageError: A prompt that is too short or too long, a token that is none, unknown features.
        ModelUnavailable: The model cannot be had, or no graph can be made of its blocks.
        EngineError: Numbers that are not finite, or too little memory.

    Example:
        >>> graph = tracer.attribution_graph(
        ...     "the capital of Texas",
        ...     model="./gemma",
        ...     toward=" Austin",
        ...     max_features=20,
        ...     prune=None,
        ... )
        >>> graph.subject.tokens
        ('<bos>', 'the', ' capital', ' of', ' Texas')
        >>> graph.nodes.n_features, [logit.label for logit in graph.nodes.logits]
        (20, [' Austin'])
        >>> graph.edges.shape == (graph.nodes.n_targets, graph.nodes.n_sources)
        True
    """
    request = GraphRequest(
        source=prompt,
        model=named_model(model, device, dtype),
        features=features,
        toward=(toward,) if isinstance(toward, str) else tuple(toward or ()),
        against=against,
        max_features=max_features,
    )
    [(_, whole, _)] = graphs(request, progress or Silent())
    return whole if prune is None else prune_graph(whole, *prune)


def graphs(request: GraphRequest, progress: Progress) -> Iterator[NamedGraph]:
    """One graph after the other, each when it is asked for; the model is opened once.

    Raises:
        HypothesisError: A prompt, span or token of the file that does not fit the model.
        UsageError, ModelUnavailable, EngineError: See `attribution_graph`.
    """
    request.check()
    yield from graphs_on(open_both(request.model, request.features, progress), request, progress)


def graphs_on(opened: Opened, request: GraphRequest, progress: Progress) -> Iterator[NamedGraph]:
    """The same on a model that is open, whatever model the request names.

    Raises:
        HypothesisError, UsageError, ModelUnavailable, EngineError: See `graphs`.
    """
    model, basis = opened.model, opened.basis
    for prompt in _prompts(request, model, progress):
        _require_length(prompt.name or "the prompt", prompt.ids, model)
        toward = _toward(request, model, prompt)
        ids = torch.tensor(prompt.ids)
        graph = attribute(model, basis, ids, toward, request.kept_features, progress)
        told = {}
        if request.described:
            told = described(model, basis, influential(graph, request.described), ())
        yield NamedGraph(prompt.name, graph, told)


OPENED = "the text begins with the model's special token itself: no second one is put in front"


class _Prompt(NamedTuple):
    name: str | None
    ids: tuple[int, ...]
    answer: int | None
    declared: ExplainedTarget | None
    """What the file says its graph explains; None where it says nothing."""


def _prompts(request: GraphRequest, model: Model, progress: Progress) -> list[_Prompt]:
    file = request.source
    if isinstance(file, str):
        try:
            found = read_text(file, model.tokenizer)
        except ValueError as refused:
            raise UsageError(str(refused)) from None
        if found.is_opened:
            progress.note(OPENED)
        return [_Prompt(None, found.ids, None, None)]
    tokenized = tokenize(file, model.tokenizer, model.context)
    for note in token_notes(tokenized[name] for name in request.names):
        progress.note(note)
    title = file.hypothesis.hypothesis
    return [
        _Prompt(f"{title}-{name}", found.ids, found.answer_id, _declared(file, found))
        for name, found in ((name, tokenized[name]) for name in request.names)
    ]


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


def _toward(request: GraphRequest, model: Model, prompt: _Prompt) -> ChooseTargets:
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
