"""What is planted in a model, decided before any weight: paths, layers, numbers of neurons.

Three ways for a fact of a city to reach the end of the sentence:

- `two_hop`: detectors of cities write the value (the state), **value neurons** read it, one head
  carries what they write to the sentence's end, **answer neurons** say the answer (the capital).
- `shortcut`: the head carries what the detectors of single cities write themselves. The value
  neurons are there and fire as before, but nothing reads them.
- `memory`: the head carries the city's own code, and the unembedding knows the answer by heart. No
  neuron has a part in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.selftest.world import World, make_world

Path = Literal["two_hop", "shortcut", "memory"]
Part = Literal["detector", "value", "answer", "dead end", "lens"]
"""What a planted neuron is: a step of the path, or a decoy.

A dead end fires with the value neurons and writes where nothing reads. A lens writes the answer at
the city, in the last layer, from where no head carries it on.
"""
N_DETECTORS = 2
"""Of each city and relation."""
N_ANSWER = 4
"""Answer neurons, and lenses, of each value."""


class Role(NamedTuple):
    """What a planted neuron does."""

    relation: int
    part: Part
    which: int
    """A city for detectors, else a value."""


@dataclass(frozen=True)
class Wiring:
    """How one relation goes through the layers."""

    path: Path
    detect: int
    value: int
    move: int
    """The layer whose attention carries the fact to the end."""
    say: int
    n_value: int
    """Value neurons of each value; as many dead ends."""


@dataclass(frozen=True)
class Plan:
    """Everything about a planted model that is not a weight."""

    seed: int
    world: World
    n_layers: int
    wirings: tuple[Wiring, Wiring]
    nuisance: float
    """Size of what each layer's random part writes, as a share of an embedding's norm."""


def make_plan(seed: int, path: Path) -> Plan:
    """Draw a model; the second relation goes two hops, but beside a memory it is one too."""
    rng = random.Random(f"plan {seed}")
    n_layers = rng.choice((5, 6))
    paths: tuple[Path, Path] = (path, "memory" if path == "memory" else "two_hop")
    first, second = (_wiring(rng, one, n_layers) for one in paths)
    return Plan(seed, make_world(seed), n_layers, (first, second), rng.uniform(0.4, 1.1))


def _wiring(rng: random.Random, path: Path, n_layers: int) -> Wiring:
    """Steps in their order, all before the last layer, which is the lenses'."""
    detect, value, move = sorted(rng.sample(range(n_layers - 1), 3))
    say = rng.randrange(move, n_layers - 1)
    return Wiring(path, detect, value, move, say, rng.randint(3, 6))
