"""What attribution graphs cost, and what is read off them, before a model is opened.

A row that is carried through one layer at one position costs 2·d_model·d_head·(heads + groups),
which is `ModelSize.n_attention`. Where numbers are known only once supernodes are found, the
largest that they can be are taken. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from tracer.engine.cost import ModelSize
from tracer.hypothesis.attention import HeadsForm
from tracer.hypothesis.expectations.because import Because, BecauseTest
from tracer.hypothesis.expectations.carried import Carried
from tracer.hypothesis.heads import parse_head
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.graph import N_CONTROLS, GraphSpec

PRUNED = 0.4
"""Share of the features that a pruning leaves: 840 of 2,048 for gemma-3-270m and 40 tokens."""


def graphs_flops(hypothesis: Hypothesis, lengths: Mapping[str, int], model: ModelSize) -> float:
    """FLOP of the graphs, of the ablations that check them, and of what is claimed of their heads.

    Args:
        hypothesis: As it would be run.
        lengths: Tokens of the prompts, by name.
        model: Its sizes.
    """
    spec = hypothesis.graph
    if spec is None:
        return 0.0
    ablated = 3 * (1 + spec.check + len(hypothesis.supernodes))
    # With heads as nodes there is a second sweep.
    n_kept = spec.max_features + (spec.max_features + spec.heads if spec.heads else 0)
    total = 0.0
    for n in (lengths[prompt] for prompt in spec.prompts):
        # A kept feature is carried through a quarter of the layers, at half of the positions.
        total += n_kept * model.n_layers / 4 * model.n_attention * n / 2
        total += ablated * model.flops(n)
        if spec.head_loadings:
            # As a target through the layers below it, and as a source through those above it.
            kept = PRUNED * spec.max_features
            total += kept * model.n_layers * model.n_attention * n / 2
        total += _claims(hypothesis, spec, model, n)
    return total


def _claims(hypothesis: Hypothesis, spec: GraphSpec, model: ModelSize, n: int) -> float:
    """Each once, whatever is expected of its share."""
    through = float(model.n_layers * model.n_attention * n)
    carried = {e.carried.key: e.carried for e in spec.expect if isinstance(e, Carried)}
    reasons = {e.because.name: e.because for e in spec.expect if isinstance(e, Because)}
    # One row of sources forward; one of targets backward for the heads, and for every other set.
    rows = sum(2 + _n_other_sets(each.heads, model) for each in carried.values())
    told = (_reason(hypothesis, each, model, n) for each in reasons.values())
    return rows * through + math.fsum(told)


def _n_other_sets(heads: HeadsForm, model: ModelSize) -> int:
    """Other sets of as many heads of the same layers: all there are, at most `N_CONTROLS`."""
    if isinstance(heads, str):
        return N_CONTROLS
    named = Counter(parse_head(each).layer for each in heads)
    return min(N_CONTROLS, math.prod(math.comb(model.n_heads, k) for k in named.values()) - 1)


def _reason(hypothesis: Hypothesis, asked: BecauseTest, model: ModelSize, n: int) -> float:
    """For each head a pass of the prompt, both sides backward, and its nodes' rows forward.

    A row enters at half of the layers below the head, and half of the positions before its query.
    """
    spec = hypothesis.graph
    assert spec is not None
    rows = sum(_n_rows(hypothesis, name, spec.max_features) for name in asked.sides)
    if isinstance(asked.heads, str):
        n_heads, layer = _size(hypothesis, asked.heads, 1), model.n_layers
    else:
        n_heads, layer = 1, parse_head(asked.head).layer
    carried = (2 + rows / 4) * layer * model.n_attention * n
    return n_heads * (model.flops(n) + carried)


def _n_rows(hypothesis: Hypothesis, name: str, most: int) -> int:
    """Nodes of a supernode and of the sets in its place, each once."""
    return min(most, (1 + N_CONTROLS) * _size(hypothesis, name, most))


def _size(hypothesis: Hypothesis, name: str, otherwise: int) -> int:
    """How many members a supernode has, where the file tells."""
    node = hypothesis.supernodes[name]
    if node.select is not None:
        return node.select.top or otherwise
    return len(node.heads or node.features or ()) or otherwise
