"""The intervention engine: many clamps of one prompt in one batched forward pass.

A row sets single features to values; everything downstream reacts unless frozen. A feature is set
by adding (value − its current activation) × its write vector where the basis writes.

What a clamp cannot change is not computed: positions before the first clamped one come from the
clean pass's keys and values, layers below the first clamped one are run once for all rows, and
logits are taken at the last position only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.ablation import ablation_hooks
from tracer.engine.batches import BatchLimit, Row, in_batches
from tracer.engine.clean import CleanRun, require_finite
from tracer.engine.features.basis import FeatureBasis, Groups
from tracer.engine.features.places import PlaceValues, keys_of
from tracer.engine.freeze import LINEAR, held_hooks
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.patterns import pattern_hooks
from tracer.engine.transfer import by_key_on_cpu, moved, on_cpu

Read = TypeVar("Read")


class Measured(NamedTuple):
    """The results of one batch."""

    rows: list[int]
    """Numbers of its rows."""
    logits: Float[Tensor, "row vocab"]
    activations: list[Float[Tensor, " read"]]
    """By row, in the order of its `read`."""
    looked: list[Float[Tensor, " look"]]
    """By row, in the order of its `looks`."""
    unembed_in: Float[Tensor, "row d_model"]
    """What the unembedding read: `Model.unembed` makes the logits of it again."""


@dataclass(frozen=True)
class Flat:
    """Clamped or read features of one layer, over the rows of a batch."""

    row: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    value: Float[Tensor, " n"]
    cells: Int[Tensor, " cell"]
    """Which (row, position) pairs there are, as row · number of positions + position."""
    groups: Groups
    """The entries by cell."""
    where: Int[np.ndarray, "n 3"]
    """Row, position from the first that is computed, and index: the same on the CPU."""


def run_rows(
    model: Model, basis: FeatureBasis, clean: CleanRun, rows: Sequence[Row], limit: BatchLimit
) -> Iterator[Measured]:
    """Measure rows in batches that share a freeze mode and start as late as they can.

    Raises:
        EngineError: Logits are not finite, or one row alone does not fit into memory.
    """
    return read_of_rows(model, basis, clean, rows, limit, lambda measured: measured)


def read_of_rows(
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    rows: Sequence[Row],
    limit: BatchLimit,
    read: Callable[[Measured], Read],
) -> Iterator[Read]:
    """What is read of each batch of `run_rows`.

    A batch is also halved where memory runs out while it is read, and its logits are let go of
    before the next one is run.
    """

    def run(batch: list[int]) -> Read:
        return read(_run_batch(model, basis, clean, batch, [rows[n] for n in batch]))

    return in_batches(rows, clean, limit, run)


def _run_batch(
    model: Model, basis: FeatureBasis, clean: CleanRun, numbers: list[int], rows: list[Row]
) -> Measured:
    starts, layers = zip(*(row.start(clean) for row in rows), strict=True)
    start = min(starts)
    n_pos = len(clean.ids) - start
    clamps = flatten([row.values for row in rows], start, n_pos, clean.logits)
    wanted = flatten([PlaceValues.zeros(row.read) for row in rows], start, n_pos, clean.logits)
    read: dict[int, Tensor] = {}
    ends: list[Tensor] = []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
        frozen = held_hooks(model, basis, clean, start, rows[0].freeze)
        base = _clean_values(clean, clamps, start) if rows[0].freeze in LINEAR else None
        kept = [row.kept for row in rows if row.kept is not None]
        ablated = ablation_hooks(basis, kept, start, n_pos) if kept else []
        hooks = [*frozen, *ablated, *clamp_hooks(basis, clamps, wanted, read, base)]
        looks = [row.looks for row in rows]
        nothing = torch.zeros((), device=clean.logits.device)
        looked = [[nothing for _ in each] for each in looks]
        hooks += pattern_hooks([row.patterns for row in rows], looks, looked, start)
        hooks.append((Site("unembed_in", 0), lambda x: ends.append(x[:, -1])))
        logits = model.forward(
            clean.ids[start:],
            hooks,
            prefix=clean.prefix.until(start),
            rows=len(rows),
            rows_from=min(layers),
        )
    require_finite(logits, clean.prompt.name, "under a clamp")
    seen = by_key_on_cpu(read)
    activations = [_collect(row, n, wanted, seen, clean, start) for n, row in enumerate(rows)]
    weights = on_cpu([torch.stack(row) if row else torch.zeros(0) for row in looked])
    return Measured(numbers, logits, activations, weights, ends[0])


def flatten(
    entries: Sequence[PlaceValues], start: int, n_pos: int, like: Tensor
) -> dict[int, Flat]:
    """Entries of all rows, by layer; `n_pos` positions from `start`, earlier ones are dropped.

    Tensors are on the device of `like`, values in its dtype. All layers' are sent there together.
    """
    row = np.repeat(np.arange(len(entries)), [len(each) for each in entries])
    where = np.concatenate([each.where for each in entries])
    value = torch.from_numpy(np.concatenate([each.value for each in entries])).to(like.dtype)
    layers = np.unique(where[where[:, 1] >= start, 0]).tolist()
    places: list[Int[np.ndarray, "n 3"]] = []
    columns: list[Tensor] = []
    for layer in layers:
        of = np.flatnonzero((where[:, 0] == layer) & (where[:, 1] >= start))
        here = np.stack([row[of], where[of, 1] - start, where[of, 2]], axis=1)
        cells, cell = np.unique(here[:, 0] * n_pos + here[:, 1], return_inverse=True)
        whole = torch.from_numpy(here)
        columns += [*whole.unbind(1), value[of], torch.from_numpy(cells)]
        columns += Groups.of(here[:, 2], cell, len(cells))
        places.append(here)
    sent = iter(moved(columns, like.device))
    flats: list[Flat] = []
    for here in places:
        rows, pos, index, values, cells, *groups = islice(sent, 9)
        flats.append(Flat(rows, pos, index, values, cells, Groups(*groups), here))
    return dict(zip(layers, flats, strict=True))


def clamp_hooks(
    basis: FeatureBasis,
    clamps: dict[int, Flat],
    wanted: dict[int, Flat],
    read: dict[int, Tensor],
    base: dict[int, Tensor] | None,
) -> list[tuple[Site, Hook]]:
    """Hooks that read features, set the clamped ones, and fill `read` by layer.

    `base` holds what the clamped features are changed from; None takes what they are by then.
    """
    pending: dict[Site, list[tuple[Tensor, Tensor]]] = {}

    def encode(layer: int) -> Hook:
        def hook(x: Tensor) -> None:
            if flat := wanted.get(layer):
                row = flat.row if x.shape[0] > 1 else torch.zeros_like(flat.row)
                read[layer] = basis.encode_at(layer, x, row, flat.pos, flat.index)
            if flat := clamps.get(layer):
                at = (flat.row, flat.pos, flat.index)
                now = basis.encode_at(layer, x, *at) if base is None else base[layer]
                change = (flat.value - now).to(x.dtype)
                for to in basis.write_layers(layer):
                    added = basis.written(layer, flat.groups, change, to)
                    pending.setdefault(basis.output_site(to), []).append((flat.cells, added))

        return hook

    def write(site: Site) -> Hook:
        def hook(x: Tensor) -> Tensor | None:
            additions = pending.pop(site, None)
            if additions is None:
                return None
            out = x.clone(memory_format=torch.contiguous_format)
            for cells, added in additions:
                # A norm may be read in float32 although the model is not.
                out.view(-1, x.shape[-1])[cells] += added.to(x.dtype)
            return out

        return hook

    layers = sorted(clamps.keys() | wanted.keys())
    sites = sorted({basis.output_site(to) for n in clamps for to in basis.write_layers(n)})
    reads: list[tuple[Site, Hook]] = [(basis.read_site(n), encode(n)) for n in layers]
    return reads + [(site, write(site)) for site in sites]


def _collect(
    row: Row,
    number: int,
    wanted: dict[int, Flat],
    read: dict[int, Tensor],
    clean: CleanRun,
    start: int,
) -> Float[Tensor, " read"]:
    """A row's activations, in the order asked for: clamped, as read, or (earlier) clean."""
    found = clean.at(row.read).to(clean.logits.dtype)
    if not len(found):
        return found
    for layer, flat in wanted.items():
        # Both are in the order of the row's places.
        there = (row.read[:, 0] == layer) & (row.read[:, 1] >= start)
        first, stop = np.searchsorted(flat.where[:, 0], [number, number + 1])
        found[torch.from_numpy(there)] = read[layer][first:stop].to(found)
    order = np.argsort(keys_of(row.values.where))
    keys, wanted_keys = keys_of(row.values.where)[order], keys_of(row.read)
    is_set = np.flatnonzero(np.isin(wanted_keys, keys))
    values = row.values.value[order][np.searchsorted(keys, wanted_keys[is_set])]
    found[torch.from_numpy(is_set)] = torch.from_numpy(values).to(found.dtype)
    return found


def _clean_values(clean: CleanRun, clamps: dict[int, Flat], start: int) -> dict[int, Tensor]:
    """Clean activations of the clamped features, by layer."""
    found: list[Tensor] = []
    for layer, flat in clamps.items():
        where = flat.where + [0, start, 0]
        where[:, 0] = layer
        found.append(clean.at(where))
    return dict(zip(clamps, moved(found, clean.logits.device), strict=True))
