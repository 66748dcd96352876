"""Mean ablation of everything but some features, at the MLPs' outputs.

Where a `Reference` reaches (some layers, some positions), every MLP's output is replaced by its
mean over reference prompts at the same token position. A feature f that is kept adds what it writes
beyond its own mean, (a_f − mean_f) · W_dec,f, with a_f as it is in the ablated pass: a kept feature
reacts to the loss of everything upstream of it that is not kept. So a whole set of rows is one mean
and short lists of features, and no row stores what it ablates.

What the features of a dictionary do not explain of an output, its error, is ablated with the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.sums import add_rows
from tracer.engine.transfer import by_key_on_cpu, moved


@dataclass(frozen=True, eq=False)
class Reference:
    """Means over reference prompts, by layer, at a run of token positions."""

    start: int
    outputs: Mapping[int, Float[Tensor, "pos d_model"]]
    """What stands at the layer's output site, from position `start` on; on the model's device."""
    features: Mapping[int, Float[Tensor, "pos feature"]]
    """Activations, from position `start` on; on the CPU."""

    @property
    def stop(self) -> int:
        """The first position after them."""
        return self.start + len(next(iter(self.outputs.values())))

    @property
    def layers(self) -> range:
        """From the first to the last."""
        return range(min(self.outputs), max(self.outputs) + 1)

    def digest(self) -> str:
        """SHA-256 over every number."""
        total = hashlib.sha256(str(self.start).encode())
        for kind in (by_key_on_cpu(self.outputs), self.features):
            for layer, mean in sorted(kind.items()):
                total.update(f"\0{layer}\0{mean.dtype}\0{tuple(mean.shape)}\0".encode())
                total.update(mean.contiguous().view(torch.uint8).numpy().tobytes())
        return total.hexdigest()

    def between(self, start: int, stop: int) -> Reference:
        """The same at fewer positions."""
        here = slice(start - self.start, stop - self.start)
        return Reference(
            start,
            {layer: mean[here] for layer, mean in self.outputs.items()},
            {layer: mean[here] for layer, mean in self.features.items()},
        )


@dataclass(frozen=True, eq=False)
class Kept:
    """The features that stay, of everything that a reference ablates."""

    base: Reference
    places: Mapping[int, Int[Tensor, "n 2"]]
    """Position and index, by layer; all of them where the base reaches. On the CPU."""


def observe(
    model: Model, basis: FeatureBasis, ids: Sequence[int], layers: range, positions: range
) -> Reference:
    """One prompt's own outputs and activations, as they are."""
    outputs: dict[int, Tensor] = {}
    features: dict[int, Tensor] = {}
    here = slice(positions.start, positions.stop)

    def see(layer: int) -> Hook:
        return lambda x: outputs.__setitem__(layer, x[0, here].clone())

    def encode(layer: int) -> Hook:
        return lambda x: features.__setitem__(layer, basis.encode(layer, x[0, here]).clone())

    hooks: list[tuple[Site, Hook]] = [(basis.read_site(n), encode(n)) for n in layers]
    hooks += [(basis.output_site(n), see(n)) for n in layers]
    model.clean(torch.tensor([ids]), hooks)
    return Reference(positions.start, outputs, by_key_on_cpu(features))


def mean_of(prompts: Sequence[Reference]) -> Reference:
    """The mean of several prompts' observations; there is one at least."""

    def mean(found: Sequence[Mapping[int, Tensor]]) -> dict[int, Tensor]:
        return {n: torch.stack([each[n] for each in found]).mean(0) for n in found[0]}

    outputs, features = [each.outputs for each in prompts], [each.features for each in prompts]
    return Reference(prompts[0].start, mean(outputs), mean(features))


@dataclass(frozen=True)
class _KeptOfLayer:
    """What the rows of a batch keep in a layer, by entry."""

    row: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]
    """From the first that is computed."""
    index: Int[Tensor, " n"]
    cells: Int[Tensor, " cell"]
    """Which (row, position) pairs there are, as row · number of positions + position."""
    features: Int[Tensor, " feature"]
    """The features, each once."""
    place: Int[Tensor, " n"]
    """Cell and feature of each entry, in the table of both."""
    mean: Float[Tensor, " n"]


def ablation_hooks(
    basis: FeatureBasis, rows: Sequence[Kept], start: int, n_pos: int
) -> list[tuple[Site, Hook]]:
    """Hooks that ablate everything that is not kept; rows share their base.

    The pass computes `n_pos` positions from `start` on, which is not after the base's.
    """
    base, kept = rows[0].base, _kept_by_layer(rows, start, n_pos)
    here = slice(base.start - start, base.stop - start)
    pending: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def keep(layer: int) -> Hook:
        flat = kept[layer]

        def hook(x: Tensor) -> None:
            now = basis.encode_at(layer, x, flat.row, flat.pos, flat.index)
            change = now - flat.mean.to(now.dtype)
            said = change.new_zeros(len(flat.cells) * len(flat.features))
            said = said.index_put_((flat.place,), change).view(len(flat.cells), -1)
            for to in basis.write_layers(layer):
                if to in base.outputs:
                    written = said @ basis.W_dec(layer, flat.features, to).to(said.dtype)
                    pending.setdefault(to, []).append((flat.cells, written))

        return hook

    def ablate(layer: int) -> Hook:
        def hook(x: Tensor) -> Tensor:
            out = x.clone(memory_format=torch.contiguous_format)
            out[:, here] = base.outputs[layer].to(x.dtype)
            flat = out.view(-1, out.shape[-1])
            for cells, written in pending.pop(layer, ()):
                add_rows(flat, cells, written.to(x.dtype))
            return out

        return hook

    hooks: list[tuple[Site, Hook]] = [(basis.read_site(n), keep(n)) for n in kept]
    return hooks + [(basis.output_site(n), ablate(n)) for n in base.outputs]


def _kept_by_layer(rows: Sequence[Kept], start: int, n_pos: int) -> dict[int, _KeptOfLayer]:
    """What is kept, layer by layer, sent to the model's device together."""
    base = rows[0].base
    layers = sorted({layer for row in rows for layer in row.places})
    columns: list[Tensor] = []
    for layer in layers:
        found = [row.places.get(layer, torch.zeros(0, 2, dtype=torch.long)) for row in rows]
        pos, index = torch.cat(found).unbind(1)
        row = torch.repeat_interleave(torch.tensor([len(each) for each in found]))
        cells, cell = (row * n_pos + pos - start).unique(return_inverse=True)
        features, feature = index.unique(return_inverse=True)
        mean = base.features[layer][pos - base.start, index]
        place = cell * len(features) + feature
        columns += [row, pos - start, index, cells, features, place, mean]
    device = next(iter(base.outputs.values())).device
    sent = iter(moved(columns, device))
    return {layer: _KeptOfLayer(*islice(sent, 7)) for layer in layers}
