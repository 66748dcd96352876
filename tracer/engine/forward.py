"""The intervention engine: many clamps of one prompt in one batched forward pass.

A row sets single features to values; everything downstream reacts unless frozen. A feature is set
by adding (value − its current activation) × its write vector where the basis writes.

What a clamp cannot change is not computed: positions before the first clamped one come from the
clean pass's keys and values, layers below the first clamped one are run once for all rows, and
logits are taken at the last position only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.ablation import ablation_hooks
from tracer.engine.batches import BatchLimit, Row, in_batches
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis, Place
from tracer.engine.freeze import LINEAR, held_hooks
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.errors import EngineError


class Measured(NamedTuple):
    """The results of one batch."""

    rows: list[int]
    """Numbers of its rows."""
    logits: Float[Tensor, "row vocab"]
    activations: list[Float[Tensor, " read"]]
    """By row, in the order of its `read`."""
    unembed_in: Float[Tensor, "row d_model"]
    """What the unembedding read: `Model.unembed` makes the logits of it again."""


@dataclass(frozen=True)
class Flat:
    """Clamped or read features of one layer, over the rows of a batch."""

    row: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    value: Float[Tensor, " n"]


def run_rows(
    model: Model, basis: FeatureBasis, clean: CleanRun, rows: Sequence[Row], limit: BatchLimit
) -> Iterator[Measured]:
    """Measure rows in batches that share a freeze mode and start as late as they can.

    Raises:
        EngineError: Logits are not finite, or one row alone does not fit into memory.
    """

    def run(batch: list[int]) -> Measured:
        return _run_batch(model, basis, clean, batch, [rows[n] for n in batch])

    return in_batches(rows, clean, limit, run)


def _run_batch(
    model: Model, basis: FeatureBasis, clean: CleanRun, numbers: list[int], rows: list[Row]
) -> Measured:
    starts, layers = zip(*(row.start(clean) for row in rows), strict=True)
    start = min(starts)
    clamps = flatten([row.values for row in rows], start, clean.logits)
    wanted = flatten([dict.fromkeys(row.read, 0.0) for row in rows], start, clean.logits)
    read: dict[int, Tensor] = {}
    ends: list[Tensor] = []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
        frozen = held_hooks(model, basis, clean, start, rows[0].freeze)
        base = _clean_values(clean, clamps, start) if rows[0].freeze in LINEAR else None
        kept = [row.kept for row in rows if row.kept is not None]
        ablated = ablation_hooks(basis, kept, start) if kept else []
        hooks = [*frozen, *ablated, *clamp_hooks(basis, clamps, wanted, read, base)]
        hooks.append((Site("unembed_in", 0), lambda x: ends.append(x[:, -1])))
        logits = model.forward(
            clean.ids[start:],
            hooks,
            prefix=clean.prefix.until(start),
            rows=len(rows),
            rows_from=min(layers),
        )
    require_finite(logits, clean, "under a clamp")
    activations = [_collect(row, n, wanted, read, clean, start) for n, row in enumerate(rows)]
    return Measured(numbers, logits, activations, ends[0])


def require_finite(logits: Float[Tensor, "*row vocab"], clean: CleanRun, when: str) -> None:
    """Refuse logits that are NaN or infinite; `when` ends the sentence.

    Raises:
        EngineError: Some are.
    """
    if not bool(torch.isfinite(logits.sum(-1)).all()):
        raise EngineError(
            f"prompt {clean.prompt.name!r}: the model's logits are not finite (NaN or infinite) "
            f"{when}. Try dtype float32, or a smaller factor."
        )


def flatten(entries: Sequence[Mapping[Place, float]], start: int, like: Tensor) -> dict[int, Flat]:
    """Entries of all rows, by layer; positions count from `start`, earlier ones are dropped.

    Tensors are on the device of `like`, values in its dtype.
    """
    by_layer: dict[int, list[tuple[int, int, int, float]]] = {}
    for row, places in enumerate(entries):
        for (layer, pos, index), value in places.items():
            if pos >= start:
                by_layer.setdefault(layer, []).append((row, pos - start, index, value))

    def flat(entries: list[tuple[int, int, int, float]]) -> Flat:
        places = torch.tensor([entry[:3] for entry in entries], device=like.device)
        values = torch.tensor([e[3] for e in entries], device=like.device, dtype=like.dtype)
        return Flat(places[:, 0], places[:, 1], places[:, 2], values)

    return {layer: flat(entries) for layer, entries in by_layer.items()}


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
    pending: dict[Site, list[tuple[Flat, Tensor]]] = {}

    def encode(layer: int) -> Hook:
        def hook(x: Tensor) -> None:
            if flat := wanted.get(layer):
                row = flat.row if x.shape[0] > 1 else torch.zeros_like(flat.row)
                read[layer] = basis.encode_at(layer, x, row, flat.pos, flat.index)
            if flat := clamps.get(layer):
                at = (flat.row, flat.pos, flat.index)
                now = basis.encode_at(layer, x, *at) if base is None else base[layer]
                change = (flat.value - now).to(x.dtype)[:, None]
                for to in basis.write_layers(layer):
                    vectors = basis.W_dec(layer, flat.index, to).to(x.dtype)
                    site = basis.output_site(to)
                    pending.setdefault(site, []).append((flat, change * vectors))

        return hook

    def write(site: Site) -> Hook:
        def hook(x: Tensor) -> Tensor | None:
            additions = pending.pop(site, None)
            if additions is None:
                return None
            out = x.clone()
            for flat, vectors in additions:
                # A norm may be read in float32 although the model is not.
                out.index_put_((flat.row, flat.pos), vectors.to(x.dtype), accumulate=True)
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
    found: dict[Place, float] = {}
    for layer, flat in wanted.items() if row.read else ():
        mine = flat.row == number
        columns = (flat.pos[mine].tolist(), flat.index[mine].tolist(), read[layer][mine].tolist())
        for pos, index, value in zip(*columns, strict=True):
            found[(layer, pos + start, index)] = value
    found.update(row.values)
    values = [
        found[place] if place in found else float(clean.activation(*place[:2])[place[2]])
        for place in row.read
    ]
    return torch.tensor(values, dtype=clean.logits.dtype)


def _clean_values(clean: CleanRun, clamps: dict[int, Flat], start: int) -> dict[int, Tensor]:
    """Clean activations of the clamped features, by layer."""

    def values(layer: int, flat: Flat) -> Tensor:
        places = zip(flat.pos.tolist(), flat.index.tolist(), strict=True)
        return torch.stack([clean.activation(layer, pos + start)[index] for pos, index in places])

    return {layer: values(layer, flat) for layer, flat in clamps.items()}
