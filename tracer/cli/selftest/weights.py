"""The weights of a planted model's layers.

- Residual stream: named orthonormal directions in a random rotation. Random readers are projected
  off the directions that nothing may read.
- Attention: a few heads per relation carry a fact from the city to the sentence's last word, and
  look at the first token elsewhere; as many look and carry nothing. Their queries and keys use
  rotary dimensions that turn by less than a thousandth over a sentence. All heads also attend at
  random, and all others copy at random.
- MLPs: the plan's neurons, decoys, and random neurons. A planted gate opens where its direction
  stands out; the constant in every token is its bias and what the up projection reads. Threshold
  and strength are fitted to the sentences, so that neurons of a kind write the asked norm together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from tracer.cli.selftest.sentences import CITY, END, Sentences
from tracer.cli.selftest.world import (
    N_ANSWER,
    N_CITIES,
    N_DETECTORS,
    N_LOOK,
    N_LOOKERS,
    N_MOVERS,
    N_VALUES,
    CircuitPath,
    HeadRole,
    Part,
    PlantedPlan,
    Role,
)

D_MODEL = 192
N_WORD_CODES = 8
"""Dimensions that all words but the cities share for their codes."""
N_DEAD = 6


@dataclass(frozen=True)
class Directions:
    """Rows by name; `0.value` are the six value directions of the first relation."""

    rows: Mapping[str, Float[Tensor, "_ d_model"]]
    unread: Float[Tensor, "_ d_model"]
    """What random readers do not read: dead ends, and the constant, which would drown the rest."""

    def __getitem__(self, name: str) -> Float[Tensor, "_ d_model"]:
        return self.rows[name]

    def random_readers(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d_model"]:
        """Vectors that read about a standard normal number off what has passed a norm."""
        vectors = torch.randn(n, D_MODEL, generator=generator) * D_MODEL**-0.5
        vectors = vectors - (vectors @ self.unread.T) @ self.unread
        return vectors * _WITHOUT_CONSTANT


_WITHOUT_CONSTANT = 1.5
"""Makes up for the share of a token's norm that the constant has."""


def make_directions(plan: PlantedPlan, generator: torch.Generator) -> Directions:
    """Cut a random rotation into named blocks; what is left over belongs to nobody."""
    sizes = {"city": N_CITIES, "word": N_WORD_CODES, "one": 1, "is_city": 1, "is_bos": 1}
    sizes["dead"] = N_DEAD
    unread = ["one", "dead"]
    for number, wiring in enumerate(plan.wirings):
        blocks = _blocks(wiring.path)
        sizes |= {f"{number}.{name}": size for name, size in blocks.items()}
        if wiring.path == "shortcut":
            unread.append(f"{number}.value")
    rotation = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator)).Q
    assert sum(sizes.values()) <= D_MODEL
    parts = rotation.split([*sizes.values(), D_MODEL - sum(sizes.values())])
    rows = dict(zip(sizes, parts, strict=False))
    return Directions(rows, torch.cat([rows[name] for name in unread]))


def _blocks(path: CircuitPath) -> dict[str, int]:
    """The directions that a path needs; `is_end` marks the sentence's last word."""
    if path == "memory":
        return {"is_end": 1, "recalled": N_CITIES}
    blocks = dict.fromkeys(("is_end", "asks", "marked"), 1)
    blocks |= dict.fromkeys(("heard", "value", "carried", "said"), N_VALUES)
    return blocks | ({"direct": N_VALUES} if path == "shortcut" else {})


N_HEADS = 16
D_HEAD = 16
ROPE_BASE = 1e6
_TO_CITY, _TO_FIRST = D_HEAD // 2 - 1, D_HEAD // 2 - 2
"""The slowest two pairs of rotary dimensions."""
_CITY_SCORE, _FIRST_SCORE = 9.0, 4.0
_RANDOM_SCORE = 0.4
"""Standard deviation of random attention scores."""
_COPIED = 2.0
"""Norm with which a copied fact arrives, from all heads that copy it together."""
_COPY_NOISE = 0.1
"""Random part of what a planted head reads, in units of a random reader's."""
_CARRIES: dict[CircuitPath, tuple[str, str]] = {
    "two_hop": ("{}.value", "{}.carried"),
    "shortcut": ("{}.direct", "{}.carried"),
    "memory": ("city", "{}.recalled"),
}


class Attention(NamedTuple):
    """Weights of one layer's attention; the first three read what has passed the norm."""

    W_Q: Float[Tensor, "head d_head d_model"]
    W_K: Float[Tensor, "head d_head d_model"]
    W_V: Float[Tensor, "head d_head d_model"]
    W_O: Float[Tensor, "head d_model d_head"]


PlantedHeads = dict[HeadRole, tuple[int, ...]]


def layer_attention(
    plan: PlantedPlan,
    layer: int,
    directions: Directions,
    x: Float[Tensor, "row pos d_model"],
    generator: torch.Generator,
) -> tuple[Attention, PlantedHeads]:
    """Random heads, and planted ones for each relation; `x` is what they see on the sentences."""
    attention = _random(plan, directions, generator)
    free = iter(torch.randperm(N_HEADS, generator=generator).tolist())
    planted: PlantedHeads = {}
    for relation, wiring in enumerate(plan.wirings):
        if wiring.move == layer:
            rows = x.unflatten(0, (len(plan.wirings), -1))[relation]
            movers = tuple(islice(free, N_MOVERS[wiring.path]))
            lookers = tuple(islice(free, N_LOOKERS))
            for head in (*movers, *lookers):
                _plant_look(attention, head, relation, wiring.path, directions, rows)
            _plant_copies(attention, movers, lookers, relation, wiring.path, directions, rows)
            planted[HeadRole(relation, "mover")] = movers
            planted[HeadRole(relation, "looker")] = lookers
    return attention, planted


def _random(plan: PlantedPlan, directions: Directions, generator: torch.Generator) -> Attention:
    readers = directions.random_readers(3 * N_HEADS * D_HEAD, generator)
    W_Q, W_K, W_V = readers.view(3, N_HEADS, D_HEAD, D_MODEL)
    W_O = torch.randn(N_HEADS, D_MODEL, D_HEAD, generator=generator)
    out = plan.nuisance * (D_MODEL * D_HEAD * N_HEADS) ** -0.5
    return Attention(W_Q * math.sqrt(_RANDOM_SCORE), W_K * math.sqrt(_RANDOM_SCORE), W_V, W_O * out)


def _plant_look(
    attention: Attention,
    head: int,
    relation: int,
    path: CircuitPath,
    directions: Directions,
    x: Float[Tensor, "row pos d_model"],
) -> None:
    """Scores: the city from the relation's end, and from everywhere, less, the first token.

    The end asks by its askers, and the city is marked half by its word and half by its marks, each
    of which counts with its mean on the sentences. In a memory both are words alone.
    """
    one, is_first = directions["one"][0], directions["is_bos"][0]
    is_city, by_word = directions["is_city"][0], path == "memory"
    asks = directions[f"{relation}.is_end" if by_word else f"{relation}.asks"][0]
    marks = [is_city] if by_word else [is_city, directions[f"{relation}.marked"][0]]
    seen = torch.stack([each / float((x[:, CITY] @ each).mean()) for each in marks]).sum(0)
    for dim, query, key, at, score in (
        (_TO_CITY, asks, seen, (END, CITY), _CITY_SCORE),
        (_TO_FIRST, one, is_first, (END, 0), _FIRST_SCORE),
    ):
        strength = float((x[:, at[0]] @ query).mean() * (x[:, at[1]] @ key).mean())
        half = math.sqrt(score * math.sqrt(D_HEAD) / strength)
        attention.W_Q[head, dim] += half * query
        attention.W_K[head, dim] += half * key


def _plant_copies(
    attention: Attention,
    movers: Sequence[int],
    lookers: Sequence[int],
    relation: int,
    path: CircuitPath,
    directions: Directions,
    x: Float[Tensor, "row pos d_model"],
) -> None:
    """From what the path reads at the city to what it has at the end, each direction by itself.

    Lookers read the same, as far as there are dead ends for it.
    """
    read, write = (directions[name.format(relation)] for name in _CARRIES[path])
    present = float((x[:, CITY] @ read.T).max(dim=1).values.mean())
    read = _COPIED * read / present
    if path == "memory":
        n = len(read) // len(movers)
        parts = list(zip(movers, read.split(n), write.split(n), strict=True))
    else:
        parts = [(head, read / len(movers), write) for head in movers]
    dead = directions["dead"]
    parts += [(head, read[: len(dead)] / len(lookers), dead) for head in lookers]
    for head, own, to in parts:
        attention.W_V[head] *= _COPY_NOISE
        attention.W_V[head, : len(own)] += own
        attention.W_O[head, :, : len(to)] += to.T


D_MLP = 384
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
    plan: PlantedPlan,
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
    plan: PlantedPlan, relation: int, layer: int, directions: Directions, generator: torch.Generator
) -> Iterator[_Wanted]:
    """One relation's neurons and decoys in a layer."""
    wiring = plan.wirings[relation]
    named = {k: directions[f"{relation}.{k}"] for k in ("heard", "value", "carried", "said")}
    if layer == wiring.detect:
        yield from _detectors(plan, relation, directions)
        yield from _for_looks(relation, directions)
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


def _detectors(plan: PlantedPlan, relation: int, directions: Directions) -> Iterator[_Wanted]:
    for city in range(N_CITIES):
        value = plan.world.relations[relation].value_of[city]
        to = directions[f"{relation}.heard"][value]
        if plan.wirings[relation].path == "shortcut":
            to = to + directions[f"{relation}.direct"][value]
        for _ in range(N_DETECTORS):
            role = Role(relation, "detector", city)
            yield _Wanted(role, directions["city"][city], FACT * to, N_DETECTORS)


def _for_looks(relation: int, directions: Directions) -> Iterator[_Wanted]:
    """Askers at the relation's end, and marks at every city."""
    parts: tuple[tuple[Part, str, str], ...] = (
        ("asker", f"{relation}.is_end", f"{relation}.asks"),
        ("mark", "is_city", f"{relation}.marked"),
    )
    for part, on, to in parts:
        for _ in range(N_LOOK):
            role = Role(relation, part, 0)
            yield _Wanted(role, directions[on][0], FACT * directions[to][0], N_LOOK)


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
