"""The MLPs of a planted model: the neurons of its plan, decoys, and random ones in between.

A planted neuron's gate opens where its direction stands out; the constant in every token serves as
bias, and as what the up projection reads. Threshold and strength are set from what the layer sees
on the sentences, so that neurons of a kind together write what is asked for where they fire.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from tracer.selftest.directions import D_MODEL, Directions
from tracer.selftest.plan import N_ANSWER, N_DETECTORS, Part, Plan, Role
from tracer.selftest.sentences import Sentences
from tracer.selftest.world import N_CITIES, N_VALUES

D_MLP = 288
SPREAD = 0.2
"""Standard deviation of the logarithm of a planted neuron's strength."""
NOISE = 0.15
"""Random part of a planted neuron's readings and write, in units of a random neuron's."""
LOUD = 1.7
"""Makes what a layer's random neurons write together about as large as the plan's nuisance says."""
FACT, SAID = 1.5, 3.0
"""Norms of what neurons write together: detectors of a city and value neurons; answer neurons."""
GATE = 6.0
"""What an open planted gate reads, on the mean."""
SHUT = 0.35
"""Where it shuts, between what its direction reads elsewhere (0) and where it fires (1)."""


class Neuron(NamedTuple):
    """One hidden unit; gate and up read what has passed the norm, before the norm's weight."""

    role: Role | None
    gate: Float[Tensor, " d_model"]
    up: Float[Tensor, " d_model"]
    write: Float[Tensor, " d_model"]


class _Wanted(NamedTuple):
    """A neuron that is to be: what opens it, and what it writes with the others of its kind."""

    role: Role
    on: Float[Tensor, " d_model"]
    to: Float[Tensor, " d_model"]
    n: int


def layer_neurons(
    plan: Plan,
    layer: int,
    directions: Directions,
    sentences: Sentences,
    x: Float[Tensor, "row pos d_model"],
    generator: torch.Generator,
) -> list[Neuron]:
    """All neurons of a layer, in a random order; `x` is what they see on the sentences."""
    wanted = [
        each
        for relation, wiring in enumerate(plan.wirings)
        if wiring.path != "memory"
        for each in _of_layer(plan, relation, layer, directions, generator)
    ]
    assert len(wanted) <= D_MLP * 3 // 4, "planted neurons crowd out the random ones"
    size = LOUD * plan.nuisance * D_MLP**-0.5
    gates, ups = directions.random_readers(2 * D_MLP, generator).split(D_MLP)
    writes = torch.randn(D_MLP, D_MODEL, generator=generator) * D_MODEL**-0.5 * size
    neurons = [Neuron(None, *parts) for parts in zip(gates, ups, writes, strict=True)]
    for number, each in enumerate(wanted):
        strength = math.exp(SPREAD * float(torch.randn(1, generator=generator)))
        neurons[number] = _plant(each, neurons[number], strength, directions, sentences, x)
    order = torch.randperm(D_MLP, generator=generator).tolist()
    return [neurons[number] for number in order]


def _of_layer(
    plan: Plan, relation: int, layer: int, directions: Directions, generator: torch.Generator
) -> Iterator[_Wanted]:
    """One relation's neurons and decoys in a layer."""
    wiring = plan.wirings[relation]
    named = {k: directions[f"{relation}.{k}"] for k in ("heard", "value", "carried", "said")}
    if layer == wiring.detect:
        yield from _detectors(plan, relation, directions)
    if layer == wiring.value:
        ends = torch.randn(N_VALUES, len(directions["dead"]), generator=generator)
        ends = ends / ends.norm(dim=1, keepdim=True) @ directions["dead"]
        value = FACT * named["value"]
        yield from _by_value(relation, "value", named["heard"], value, wiring.n_value)
        yield from _by_value(relation, "dead end", named["heard"], FACT * ends, wiring.n_value)
    said = SAID * named["said"]
    if layer == wiring.say:
        yield from _by_value(relation, "answer", named["carried"], said, N_ANSWER)
    if layer == plan.n_layers - 1 and wiring.path == "two_hop":
        yield from _by_value(relation, "lens", named["value"], said, N_ANSWER)


def _detectors(plan: Plan, relation: int, directions: Directions) -> Iterator[_Wanted]:
    for city in range(N_CITIES):
        value = plan.world.relations[relation].value_of[city]
        to = directions[f"{relation}.heard"][value]
        if plan.wirings[relation].path == "shortcut":
            to = to + directions[f"{relation}.direct"][value]
        for _ in range(N_DETECTORS):
            role = Role(relation, "detector", city)
            yield _Wanted(role, directions["city"][city], FACT * to, N_DETECTORS)


def _by_value(relation: int, part: Part, on: Tensor, to: Tensor, n: int) -> Iterator[_Wanted]:
    for value in range(N_VALUES):
        for _ in range(n):
            yield _Wanted(Role(relation, part, value), on[value], to[value], n)


def _plant(
    wanted: _Wanted,
    random: Neuron,
    strength: float,
    directions: Directions,
    sentences: Sentences,
    x: Float[Tensor, "row pos d_model"],
) -> Neuron:
    """Set the gate's threshold and the write's size from what is seen where it is to fire."""
    fires = sentences.fires(wanted.role)
    one = directions["one"][0]
    bias = one / float((x @ one).mean())
    read = x @ wanted.on
    inside, outside = float(read[fires].mean()), float(read[~fires].mean())
    shut = outside + SHUT * (inside - outside)
    gate = GATE * (wanted.on - shut * bias) / (inside - shut) + NOISE * random.gate
    up = bias + NOISE * random.up
    active = float((silu(x @ gate) * (x @ up))[fires].mean())
    write = wanted.to * strength / (active * wanted.n) + NOISE * random.write
    return Neuron(wanted.role, gate, up, write)
