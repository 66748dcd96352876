"""The intervention engine: many clamps of one prompt in one batched forward pass.

A row sets single features to values; everything downstream reacts unless frozen. What a clamp
cannot change is not computed: positions before the first clamped one come from the clean pass's
keys and values, layers below the first clamped one are run once for all rows, and logits are taken
at the last position only. A feature is set by adding (value − its current activation) × its write
vector where the basis writes.

Running out of memory, told as what it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.ablation import Kept, ablation_hooks
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis, Place
from tracer.engine.freeze import Freeze, held_hooks
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.errors import EngineError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; what allocation on the CPU fails with has no class of its own."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "can't allocate memory" in str(error)


@contextmanager
def memory_told(of: str) -> Generator[None]:
    """Running out of memory inside is a sentence about what was being computed.

    Raises:
        EngineError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise EngineError(
            f"memory does not hold {of}; try fewer features, a shorter text or `--dtype bfloat16`."
        ) from error


Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One clamped version of a prompt."""

    values: dict[Place, float]
    freeze: Freeze = "none"
    read: tuple[Place, ...] = ()
    """Features whose activation after the clamps is wanted."""
    is_control: bool = False
    kept: Kept | None = None
    """All that stays, where the MLPs' outputs are ablated; rows run together share its base."""


class Measured(NamedTuple):
    """Some rows' results."""

    rows: list[int]
    logits: Float[Tensor, "row vocab"]
    activations: list[Float[Tensor, " read"]]


class Ended(NamedTuple):
    """Some rows' results, with what the unembedding read: `Model.unembed` repeats the logits."""

    measured: Measured
    unembed_in: Float[Tensor, "row d_model"]


@dataclass(frozen=True)
class Flat:
    """Clamped or read features of one layer, over the rows of a batch."""

    row: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    value: Float[Tensor, " n"]


@dataclass
class BatchLimit:
    """How many rows go through the model at once; halved for good when memory runs out."""

    rows: int
    halved: int = field(default=0)


def batch_limit(model: Model, clean: CleanRun, budget: int = 512 * 2**20) -> BatchLimit:
    """Rows whose logits, keys and values and hidden states fit into `budget` bytes."""
    n_vocab = clean.logits.numel()
    per_pos = sum(k.shape[1] * k.shape[3] for k in clean.prefix.keys) // model.n_layers
    wide = max(a.shape[-1] for a in clean.activations)
    keys_and_values = 2 * len(clean.ids) * per_pos * model.n_layers
    row_bytes = 4 * (3 * n_vocab + 2 * keys_and_values + 8 * wide)
    return BatchLimit(max(1, min(256, budget // row_bytes)))


def run_rows(
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    rows: Sequence[Row],
    limit: BatchLimit,
) -> Iterator[Measured]:
    """Measure rows in batches that share a freeze mode and start as late as they can.

    Raises:
        EngineError: One row alone does not fit into memory.
    """
    return (ended.measured for ended in run_to_end(model, basis, clean, rows, limit))


def run_to_end(
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    rows: Sequence[Row],
    limit: BatchLimit,
) -> Iterator[Ended]:
    """As `run_rows`, keeping what the logits were made from."""

    def run(batch: list[int]) -> Ended:
        return _run_batch(model, basis, clean, batch, [rows[n] for n in batch])

    return in_batches(rows, clean, limit, run)


def in_batches(
    rows: Sequence[Row], clean: CleanRun, limit: BatchLimit, run: Callable[[list[int]], Result]
) -> Iterator[Result]:
    """What `run` makes of batches of rows (by number) that share a freeze mode and a base.

    Raises:
        EngineError: One row alone does not fit into memory.
    """
    order = sorted(range(len(rows)), key=lambda n: (_kind(rows[n]), *start_of(rows[n], clean)))
    while order:
        same = [n for n in order if _kind(rows[n]) == _kind(rows[order[0]])]
        batch = same[: limit.rows]
        try:
            yield run(batch)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise EngineError(
                    f"out of memory with a single row of prompt {clean.prompt.name!r} "
                    f"({len(clean.ids)} tokens). Use a smaller model, dtype or prompt."
                ) from error
            limit.rows = len(batch) // 2
            limit.halved += 1
            continue
        order = order[len(batch) :]


def _kind(row: Row) -> tuple[Freeze, bool]:
    """What the rows of a batch have in common."""
    return row.freeze, row.kept is not None


def start_of(row: Row, clean: CleanRun) -> tuple[int, int]:
    """First changed position and layer; a row without changes starts at the last position."""
    if row.kept is not None:
        return row.kept.base.start, min(row.kept.base.outputs)
    pos = min((p for _, p, _ in row.values), default=len(clean.ids) - 1)
    return pos, min((layer for layer, _, _ in row.values), default=0)


def _run_batch(
    model: Model, basis: FeatureBasis, clean: CleanRun, numbers: list[int], rows: list[Row]
) -> Ended:
    start = min(start_of(row, clean)[0] for row in rows)
    layer = min(start_of(row, clean)[1] for row in rows)
    prefix = clean.prefix.until(start)
    clamps = flatten([row.values for row in rows], start, clean.logits)
    wanted = flatten([dict.fromkeys(row.read, 0.0) for row in rows], start, clean.logits)
    read: dict[int, Tensor] = {}
    ends: list[Tensor] = []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
        frozen = held_hooks(model, basis, clean, start, rows[0].freeze)
        base = _clean_values(clean, clamps, start) if rows[0].freeze == "all" else None
        kept = [row.kept for row in rows if row.kept is not None]
        ablated = ablation_hooks(basis, kept, start) if kept else []
        hooks = [*frozen, *ablated, *clamp_hooks(basis, clamps, wanted, read, base)]
        hooks.append((Site("unembed_in", 0), lambda x: ends.append(x[:, -1])))
        logits = model.forward(
            clean.ids[start:], hooks, prefix=prefix, rows=len(rows), rows_from=layer
        )
    if not bool(torch.isfinite(logits.sum(-1)).all()):
        raise EngineError(
            f"prompt {clean.prompt.name!r}: the model's logits are not finite (NaN or infinite) "
            "under a clamp. Try dtype float32, or a smaller factor."
        )
    activations = [_collect(row, n, wanted, read, clean, start) for n, row in enumerate(rows)]
    return Ended(Measured(numbers, logits, activations), ends[0])


def flatten(entries: Sequence[Mapping[Place, float]], start: int, like: Tensor) -> dict[int, Flat]:
    """Entries of all rows, by layer; positions count from `start`, earlier ones are dropped.

    Tensors are on the device of `like`, values in its dtype.
    """
    by_layer: dict[int, list[tuple[int, int, int, float]]] = {}
    for row, places in enumerate(entries):
        for (layer, pos, index), value in places.items():
            if pos >= start:
                by_layer.setdefault(layer, []).append((row, pos - start, index, value))

    def column(items: list[tuple[int, int, int, float]], n: int) -> Tensor:
        return torch.tensor([item[n] for item in items], device=like.device)

    return {
        layer: Flat(
            column(items, 0),
            column(items, 1),
            column(items, 2),
            torch.tensor([item[3] for item in items], device=like.device, dtype=like.dtype),
        )
        for layer, items in by_layer.items()
    }


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
                now = (
                    basis.encode_at(layer, x, flat.row, flat.pos, flat.index)
                    if base is None
                    else base[layer]
                )
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
        positions: list[int] = flat.pos[mine].tolist()
        indices: list[int] = flat.index[mine].tolist()
        values: list[float] = read[layer][mine].tolist()
        for pos, index, value in zip(positions, indices, values, strict=True):
            found[(layer, pos + start, index)] = value
    found.update(row.values)
    return torch.tensor(
        [
            found[place] if place in found else float(clean.activation(*place[:2])[place[2]])
            for place in row.read
        ],
        dtype=clean.logits.dtype,
    )


def _clean_values(clean: CleanRun, clamps: dict[int, Flat], start: int) -> dict[int, Tensor]:
    """Clean activations of the clamped features, by layer."""
    return {
        layer: torch.stack(
            [
                clean.activation(layer, pos + start)[index]
                for pos, index in zip(flat.pos.tolist(), flat.index.tolist(), strict=True)
            ]
        )
        for layer, flat in clamps.items()
    }
