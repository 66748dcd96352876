"""What the most influential features of a graph say, and where else they fire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracer.firing import Signed, firings
from tracer.graph.frontend_ids import id_of_row
from tracer.graph.graph import AttributionGraph
from tracer.graph.influence import influence
from tracer.graph_record import FeatureTokens
from tracer.intervention import BatchLimit
from tracer.measure import Bench
from tracer.measurement_store import Entry
from tracer.spoken import spoken
from tracer.step_cache import Form, remembered
from tracer.tokens import TokenizedPrompt

N_READ = 150
"""Features of a graph whose tokens are read: more than are looked at, a second of work."""
N_TOKENS = 6
MAX_PROMPTS = 16
"""Of the hypothesis; more would take longer than the graph."""
N_FIRINGS = 3


def features_of(
    bench: Bench, pruned: AttributionGraph, graph_key: str, limit: BatchLimit
) -> dict[str, FeatureTokens]:
    """What the most influential features say, the prompt's sign of each taken in.

    Where they fire is told of the first prompts of the file, so it is a step of its own: another
    prompt makes no graph anew.

    Args:
        bench: Opened and resolved.
        pruned: The graph.
        graph_key: What the graph is kept under.
        limit: Nothing is kept if memory runs out meanwhile.
    """
    prompts = [run.prompt for run in bench.clean.values()][:MAX_PROMPTS]
    cache = bench.step_cache
    cause = [graph_key, [[prompt.name, prompt.ids] for prompt in prompts]]
    key = cache.key("features", cause) if cache else ""
    return remembered(cache, key, _FORM, limit, lambda: _read(bench, pruned, prompts)).result


def _read(
    bench: Bench, pruned: AttributionGraph, prompts: Sequence[TokenizedPrompt]
) -> dict[str, FeatureTokens]:
    nodes = pruned.nodes
    rows = np.argsort(-influence(pruned).features, kind="stable")[:N_READ].tolist()
    ids = [(int(nodes.features[row, 0]), int(nodes.features[row, 2])) for row in rows]
    signs = np.where(nodes.activations[rows] >= 0, 1, -1).tolist()
    signed = [Signed(each, sign) for each, sign in zip(ids, signs, strict=True)]
    fire = firings(bench.model, bench.basis, signed, prompts, N_FIRINGS)
    said = spoken(bench.model, bench.basis, ids, N_TOKENS)
    told: dict[str, FeatureTokens] = {}
    for row, each, places in zip(rows, said, fire, strict=True):
        ends = (each.promoted, each.suppressed)
        up, down = ends if nodes.activations[row] >= 0 else ends[::-1]
        told[id_of_row(nodes, row)] = FeatureTokens(
            promotes=tuple(one.token for one in up),
            suppresses=tuple(one.token for one in down),
            fires=places,
        )
    return told


def _pack(found: dict[str, FeatureTokens]) -> Entry:
    return Entry({}, {name: each.model_dump(mode="json") for name, each in found.items()})


def _unpack(entry: Entry) -> dict[str, FeatureTokens]:
    return {name: FeatureTokens.model_validate(each) for name, each in dict(entry.about).items()}


_FORM = Form(_pack, _unpack)
