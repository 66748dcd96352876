"""What a basis explains of each layer's MLP: fraction of variance unexplained, L0, dead features.

With y the outputs at an output site on N tokens of a text, ŷ what the basis makes of them, and ȳ
their mean over the same tokens,

    FVU = Σ ‖y − ŷ‖² / Σ ‖y − ȳ‖²

and L0 is the mean number of features of a layer whose activation is not zero. A feature is dead
here if it is zero on all N tokens: a longer text would find fewer of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.evaluation.reconstruction import reconstructing, summed
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Model


@dataclass(frozen=True)
class LayerSums:
    """Sums over the tokens of some texts, of one layer; float64, on the CPU."""

    n: int
    total: Float[Tensor, " d_model"]
    """Σ y."""
    squares: float
    """Σ ‖y‖²."""
    missed: float
    """Σ ‖y − ŷ‖²."""
    n_active: int
    fired: Bool[Tensor, " feature"]

    def __add__(self, other: LayerSums) -> LayerSums:
        return LayerSums(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            self.missed + other.missed,
            self.n_active + other.n_active,
            self.fired | other.fired,
        )

    @property
    def fvu(self) -> float | None:
        """None where the outputs do not vary."""
        variance = self.squares - float(self.total @ self.total) / self.n
        return self.missed / variance if variance > 0 else None

    @property
    def l0(self) -> float:
        """Active features of the layer on a token."""
        return self.n_active / self.n

    @property
    def n_dead(self) -> int:
        """Features that fired on none of the tokens."""
        return int((~self.fired).sum())


def explained(
    model: Model,
    basis: FeatureBasis,
    ids: Int[Tensor, "prompt pos"],
    first: int,
) -> list[LayerSums]:
    """The sums of every layer over one unchanged pass, from position `first` on."""
    layers = range(basis.n_layers)
    outputs: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    n_active = dict.fromkeys(layers, 0)
    fired: dict[int, Tensor] = {}

    def see(layer: int, activations: Tensor) -> None:
        active = activations != 0
        n_active[layer] += int(active.sum())
        here = active.any(0)
        fired[layer] = fired[layer] | here if layer in fired else here

    def look(layer: int, output: Tensor, made: Tensor) -> None:
        y = output.to(summed(output.dtype))
        missed = (y - made).double().square().sum()
        outputs[layer] = (y.double().sum(0), y.double().square().sum(), missed)

    model.read(ids, reconstructing(basis, layers, first, look, see))
    return [
        LayerSums(
            n=ids[:, first:].numel(),
            total=outputs[layer][0].cpu(),
            squares=float(outputs[layer][1]),
            missed=float(outputs[layer][2]),
            n_active=n_active[layer],
            fired=fired[layer].cpu(),
        )
        for layer in layers
    ]


def added(parts: Sequence[Sequence[LayerSums]]) -> list[LayerSums]:
    """The sums of each layer over several passes."""
    found = list(parts[0])
    for part in parts[1:]:
        found = [one + other for one, other in zip(found, part, strict=True)]
    return found
