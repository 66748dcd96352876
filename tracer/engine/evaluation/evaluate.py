"""Measure how good dictionaries are: on a text, by its tokens, and on prompts, by their graphs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import torch

from tracer.engine.corpus.windows import Windows, read_windows
from tracer.engine.evaluation.explained import LayerSums, added, explained
from tracer.engine.evaluation.replaced import NextTokenSums, next_tokens
from tracer.engine.evaluation.request import EvaluationRequest
from tracer.engine.evaluation.trained_on import (
    trained_on,
    training_of,
    training_warnings,
)
from tracer.engine.features.open import open_basis
from tracer.engine.graphs import graphs
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Model
from tracer.engine.new_record import dictionary_record
from tracer.engine.progress import Progress
from tracer.engine.session import Opened, open_both
from tracer.engine.surroundings import environment
from tracer.engine.whole_prompts import run_together
from tracer.errors import EngineError
from tracer.record.evaluation import (
    BasisEvaluation,
    EvaluatedText,
    Evaluation,
    GraphEvaluation,
    LayerEvaluation,
    MlpsReplaced,
)
from tracer.record.graph.influence import scores

_READ = 1 << 20
"""Tokens of each text that are read; the windows that are run are drawn from these."""
_SEED = 0


class _Text(NamedTuple):
    windows: Windows
    n_replaced: int
    """Windows that are also run with MLPs replaced: the first ones."""


def evaluate(request: EvaluationRequest, progress: Progress) -> Evaluation:
    """Measure every basis on the same tokens and prompts.

    Raises:
        HypothesisError: A prompt of a file that does not fit the model.
        UsageError: Features of another model, a text too short for a window, a prompt too long.
        ModelUnavailable: The model or its features cannot be had here, or have no such sites.
        EngineError: Numbers that are not finite, or too little memory.
    """
    request.check()
    started, begun = datetime.now(UTC), time.monotonic()
    bases = _opened(request, progress)
    model = bases[0].model
    text = _text(request, model, progress)
    found = [_of_basis(request, opened, text, progress) for opened in bases]
    return Evaluation(
        started=started.isoformat(timespec="seconds"),
        model=model.record,
        environment=environment(torch.get_num_threads()),
        text=_told(request, text, found[0][1]),
        bases=tuple(each for each, _ in found),
        seconds=round(time.monotonic() - begun, 3),
    )


def _opened(request: EvaluationRequest, progress: Progress) -> list[Opened]:
    """All of them with one model, so that none is refused after another has been measured."""
    first, *others = request.features
    opened = open_both(request.model, first, progress)
    model = opened.model
    return [opened, *(Opened(model, open_basis(name, model, progress)) for name in others)]


def _text(request: EvaluationRequest, model: Model, progress: Progress) -> _Text:
    windows = read_windows(
        request.text,
        model.tokenizer,
        progress,
        part="all" if request.is_held_out else "held out",
        at_most=max(_READ, request.n_tokens),
    ).sample(request.n_tokens, _SEED)
    step = windows.n_tokens // len(windows)
    return _Text(windows, min(len(windows), math.ceil(request.n_replaced / step)))


def _told(request: EvaluationRequest, text: _Text, sums: NextTokenSums) -> EvaluatedText:
    return EvaluatedText(
        sources=tuple(source.what for source in request.text),
        is_whole=request.is_held_out,
        sha256=text.windows.sha256,
        n_windows=len(text.windows),
        n_tokens=text.windows.n_tokens,
        n_replaced=sums.n,
        ce=sums.ce / sums.n,
    )


def _of_basis(
    request: EvaluationRequest, opened: Opened, text: _Text, progress: Progress
) -> tuple[BasisEvaluation, NextTokenSums]:
    name = opened.basis.name
    with memory_told("one window of the text"):
        of_layers = _explained(opened, text, progress)
        sums = _replaced(opened, text, progress)
    replaced = list(_means(sums))
    _require_finite(name, of_layers, replaced)
    training, model = training_of(opened.features), opened.model.record
    held_out = [source.name for source in request.text] if request.is_held_out else []
    evaluation = BasisEvaluation(
        basis=name,
        dictionary=dictionary_record(opened.features),
        trained_on=None if training is None else trained_on(training, model),
        layers=tuple(
            LayerEvaluation(
                n_features=len(layer.fired),
                fvu=layer.fvu,
                l0=layer.l0,
                n_dead=layer.n_dead,
                replaced=alone,
            )
            for layer, alone in zip(of_layers, replaced[1:], strict=True)
        ),
        replaced=replaced[0],
        graphs=tuple(_graphs(request, opened, progress)),
        warnings=tuple(training_warnings(training, model, held_out) if training else ()),
    )
    return evaluation, sums


def _explained(opened: Opened, text: _Text, progress: Progress) -> list[LayerSums]:
    model, basis = opened.model, opened.basis
    windows = text.windows
    with progress.task(f"{basis.name}: explaining MLPs", len(windows)) as advance:

        def run(numbers: Sequence[int]) -> list[list[LayerSums]]:
            ids = torch.from_numpy(windows.ids[list(numbers)]).long()
            return [explained(model, basis, ids, windows.n_prefix)]

        parts: list[list[LayerSums]] = []
        for numbers, found in run_together(windows.ids.tolist(), run):
            parts += found
            advance(len(numbers))
    return added(parts)


def _replaced(opened: Opened, text: _Text, progress: Progress) -> NextTokenSums:
    """Of all layers together, then of each alone."""
    model, basis = opened.model, opened.basis
    ids = text.windows.ids[: text.n_replaced]
    layers = range(basis.n_layers)
    variants = [tuple(layers), *((layer,) for layer in layers)]
    with progress.task(f"{basis.name}: replacing MLPs", len(ids)) as advance:
        parts: list[NextTokenSums] = []
        for window in torch.from_numpy(ids).long().split(1):
            parts.append(next_tokens(model, basis, window, text.windows.n_prefix, variants))
            advance(1)
    return sum(parts[1:], parts[0])


def _means(sums: NextTokenSums) -> Iterator[MlpsReplaced]:
    columns = (sums.kl.tolist(), sums.ce_change.tolist(), sums.kept.tolist())
    for kl, ce_change, kept in zip(*columns, strict=True):
        yield MlpsReplaced(kl=kl / sums.n, ce_change=ce_change / sums.n, kept=kept / sums.n)


def _require_finite(
    name: str, layers: Sequence[LayerSums], replaced: Sequence[MlpsReplaced]
) -> None:
    numbers = [each.missed for each in layers] + [each.squares for each in layers]
    numbers += [value for each in replaced for value in (each.kl, each.ce_change)]
    if not all(map(math.isfinite, numbers)):
        raise EngineError(
            f"features {name!r}: what they make of the MLPs' outputs is not finite (NaN or "
            "infinite). Try dtype float32."
        )


def _graphs(
    request: EvaluationRequest, opened: Opened, progress: Progress
) -> Iterator[GraphEvaluation]:
    for asked in request.graphs(opened.basis.name):
        for name, graph, *_ in graphs(asked, progress, opened):
            subject = graph.subject
            yield GraphEvaluation(
                prompt=subject.prompt,
                name=name,
                n_active=subject.n_active,
                n_kept=graph.nodes.n_features,
                relevance_share=subject.relevance_share,
                scores=scores(graph),
                without_dropped=subject.without_dropped,
            )
