"""What the most influential features of a graph promote, and on which prompts they are active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.engine.batches import BatchLimit
from tracer.engine.cache import StepForm, remembered
from tracer.engine.feature_card import logit_effects
from tracer.engine.feature_text import Signed, firings
from tracer.engine.measure.context import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.graph.graph import AttributionGraph, id_of_row
from tracer.record.graph.influence import influence
from tracer.record.studies import FeatureTokens

N_READ = 150
"""Features of a graph whose tokens are read: more than are looked at, a second of work."""
N_TOKENS = 6
MAX_PROMPTS = 16
"""Of the hypothesis; more would take longer than the graph."""
N_FIRINGS = 3


def features_of(
    context: MeasurementContext, pruned: AttributionGraph, graph_cause: Any, limit: BatchLimit
) -> dict[str, FeatureTokens]:
    """What the most influential features say, the prompt's sign of each taken in.

    Where they fire is told of the first prompts of the file, so it is a step of its own: another
    prompt makes no graph anew.

    Args:
        context: Opened and resolved.
        pruned: The graph.
        graph_cause: What the graph depends on, as in the cache's key.
        limit: Nothing is kept if memory runs out meanwhile.
    """
    prompts = [run.prompt for run in context.clean.values()][:MAX_PROMPTS]

    def cause() -> list[Any]:
        return [graph_cause, [[prompt.name, prompt.ids] for prompt in prompts]]

    def read() -> dict[str, FeatureTokens]:
        return _read(context, pruned, prompts)

    return remembered(context.cache, "features", cause, _FORM, limit, read).result


def _read(
    context: MeasurementContext, pruned: AttributionGraph, prompts: Sequence[TokenizedPrompt]
) -> dict[str, FeatureTokens]:
    nodes = pruned.nodes
    rows = np.argsort(-influence(pruned).features, kind="stable")[:N_READ].tolist()
    ids = [(int(nodes.features[row, 0]), int(nodes.features[row, 2])) for row in rows]
    signs = np.where(nodes.activations[rows] >= 0, 1, -1).tolist()
    signed = [Signed(each, sign) for each, sign in zip(ids, signs, strict=True)]
    fire = firings(context.model, context.basis, signed, prompts, N_FIRINGS)
    effects = logit_effects(context.model, context.basis, ids, N_TOKENS)
    found: dict[str, FeatureTokens] = {}
    for row, sign, effect, places in zip(rows, signs, effects, fire, strict=True):
        ends = (effect.promoted, effect.suppressed)
        up, down = ends if sign > 0 else ends[::-1]
        found[id_of_row(nodes, row)] = FeatureTokens(
            promotes=tuple(one.token for one in up),
            suppresses=tuple(one.token for one in down),
            fires=places,
        )
    return found


def _pack(found: dict[str, FeatureTokens]) -> StoredEntry:
    return StoredEntry({}, {name: each.model_dump(mode="json") for name, each in found.items()})


def _unpack(entry: StoredEntry) -> dict[str, FeatureTokens]:
    return {name: FeatureTokens.model_validate(each) for name, each in dict(entry.about).items()}


_FORM = StepForm(_pack, _unpack)
