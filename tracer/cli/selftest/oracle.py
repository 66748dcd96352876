"""What is true of a planted model, by brute force in plain PyTorch, without tracer's engine.

Hooks on the down and output projections set the planted neurons and heads on all sentences of a
relation at once, and masks keep heads from looking. Claims are made only where the logits show that
the circuit does what it was planted for on every city.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.cli.selftest.family import DOSES, LEAST_LOOK, QUIET
from tracer.cli.selftest.planted import Place, Planted
from tracer.cli.selftest.sentences import CITY, END
from tracer.cli.selftest.weights import D_HEAD, N_HEADS
from tracer.cli.selftest.world import N_CITIES, N_VALUES, HeadRole, Part, Role


class Setting(NamedTuple):
    """Neurons that are set to values on every row, at one position."""

    places: Sequence[Place]
    values: Float[Tensor, " n"]
    pos: int


class Swap(NamedTuple):
    """What setting the neurons of one value to 0, and those of another as on its cities, does."""

    ablated_top: Int[Tensor, " city"]
    """The first token when the one is ablated alone, on each of its cities."""
    answering: Float[Tensor, " city"]
    """What is left then of its answer neurons' summed activation, as a share."""
    swapped_top: Int[Tensor, " city"]
    rise: Float[Tensor, " city"]
    """Of logit(the other's answer) − logit(the one's)."""
    dosed: Float[Tensor, "dose city"]
    """Log-probability of the other's answer at each dose of the other."""


def logits(
    planted: Planted, ids: Int[Tensor, "row pos"], settings: Sequence[Setting] = ()
) -> Float[Tensor, "row vocab"]:
    """At the last position, with neurons set."""

    def put(layer: int, hidden: Tensor) -> Tensor:
        hidden = hidden.clone()
        for setting in settings:
            for (at, index), value in zip(setting.places, setting.values, strict=True):
                if at == layer:
                    hidden[:, setting.pos, index] = value
        return hidden

    with torch.no_grad(), _hooked(planted, put):
        return planted.model(ids).logits[:, -1]


@contextmanager
def _hooked(planted: Planted, hook: Callable[[int, Tensor], Tensor]) -> Generator[None, None, None]:
    """Pass each layer's neurons through a hook, before the down projection."""
    with ExitStack() as stack:
        for layer in range(planted.plan.n_layers):
            down = planted.model.get_submodule(f"model.layers.{layer}.mlp.down_proj")
            handle = down.register_forward_pre_hook(
                lambda module, args, layer=layer: (hook(layer, args[0]),)
            )
            stack.callback(handle.remove)
        yield


def activations(
    planted: Planted,
    ids: Int[Tensor, "row pos"],
    places: Sequence[Place],
    pos: int,
    settings: Sequence[Setting] = (),
) -> Float[Tensor, "row n"]:
    """Activations of neurons at a position, with others set in earlier layers."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int, hidden: Tensor) -> Tensor:
        seen[layer] = hidden[:, pos]
        return hidden

    with _hooked(planted, keep):
        logits(planted, ids, settings)
    return torch.stack([seen[layer][:, index] for layer, index in places], dim=1)


class HeadSwap(NamedTuple):
    """What setting the movers' z at the sentence's end does, on each city of a value."""

    ablated_top: Int[Tensor, " city"]
    """The first token when they are 0."""
    swapped_top: Int[Tensor, " city"]
    """The same when they are as on the cities of another value, on the mean."""
    rise: Float[Tensor, " city"]
    """Of logit(the other's answer) − logit(the one's), by the swap."""
    blind_top: Int[Tensor, " city"]
    """The first token when they cannot look at the city."""
    left: Float[Tensor, " city"]
    """⟨z, z₀⟩ / ⟨z₀, z₀⟩ of them when the value neurons of the city are 0."""
    look_lost: Float[Tensor, "city head"]
    """Weight that each no longer gives to the city when the askers are 0."""


def head_swap(planted: Planted, relation: int, one: int, other: int) -> HeadSwap:
    """Swap what the movers carry, take it away, and keep them from looking."""
    mine, theirs = rows_of(planted, relation, one), rows_of(planted, relation, other)
    movers = planted.heads[HeadRole(relation, "mover")]
    layer, heads = movers[0][0], [head for _, head in movers]
    theirs_z = _z(planted, layer, theirs)[:, heads].mean(0)
    first, second = (planted.answer_id(relation, value) for value in (one, other))

    def with_z(value: Tensor) -> Tensor:
        def put(module: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
            z = args[0].clone().unflatten(-1, (N_HEADS, D_HEAD))
            z[:, END, heads] = value
            return (z.flatten(-2),)

        handle = _projection(planted, layer).register_forward_pre_hook(put)
        try:
            return logits(planted, mine)
        finally:
            handle.remove()

    before, swapped = logits(planted, mine), with_z(theirs_z)
    off = planted.places.get(Role(relation, "value", one), ())
    askers = planted.places.get(Role(relation, "asker", 0), ())
    clean = _z(planted, layer, mine)[:, heads].flatten(1)
    less = _z(planted, layer, mine, [Setting(off, torch.zeros(len(off)), CITY)])[:, heads]
    moved = swapped - before
    return HeadSwap(
        ablated_top=with_z(torch.zeros_like(theirs_z)).argmax(-1),
        swapped_top=swapped.argmax(-1),
        rise=moved[:, second] - moved[:, first],
        blind_top=blinded(planted, mine, movers, CITY).argmax(-1),
        left=(less.flatten(1) * clean).sum(1) / clean.square().sum(1),
        look_lost=_looks(planted, mine, movers, ()) - _looks(planted, mine, movers, askers),
    )


def _looks(
    planted: Planted,
    ids: Int[Tensor, "row pos"],
    heads: Sequence[Place],
    off: Sequence[Place],
) -> Float[Tensor, "row head"]:
    """Weight of each head from the sentence's end to the city, with neurons at the end set to 0."""
    seen: list[Tensor] = []

    def keep(module: torch.nn.Module, args: tuple[Any, ...], out: tuple[Tensor, Tensor]) -> None:
        seen.append(out[1][:, [head for _, head in heads], END, CITY])

    name = f"model.layers.{heads[0][0]}.self_attn"
    handle = planted.model.get_submodule(name).register_forward_hook(keep)
    logits(planted, ids, [Setting(off, torch.zeros(len(off)), END)])
    handle.remove()
    return seen[0]


def _projection(planted: Planted, layer: int) -> torch.nn.Module:
    return planted.model.get_submodule(f"model.layers.{layer}.self_attn.o_proj")


def _z(
    planted: Planted, layer: int, ids: Int[Tensor, "row pos"], settings: Sequence[Setting] = ()
) -> Float[Tensor, "row head d_head"]:
    """What a layer's heads carry to the sentence's end, with neurons set."""
    seen: list[Tensor] = []

    def keep(module: torch.nn.Module, args: tuple[Tensor]) -> None:
        seen.append(args[0][:, END])

    handle = _projection(planted, layer).register_forward_pre_hook(keep)
    logits(planted, ids, settings)
    handle.remove()
    return seen[0].unflatten(-1, (N_HEADS, D_HEAD))


def blinded(
    planted: Planted, ids: Int[Tensor, "row pos"], heads: Sequence[Place], key: int | slice
) -> Float[Tensor, "row vocab"]:
    """Last logits where heads cannot look from the sentence's end at a key, by a mask."""
    n_pos = ids.shape[1]
    mask = torch.full((n_pos, n_pos), float("-inf")).triu(1).expand(1, N_HEADS, -1, -1).clone()
    mask[0, [head for _, head in heads], END, key] = float("-inf")
    name = f"model.layers.{heads[0][0]}.self_attn"

    def put(
        module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs | {"attention_mask": mask}

    module = planted.model.get_submodule(name)
    handle = module.register_forward_pre_hook(put, with_kwargs=True)
    found = logits(planted, ids)
    handle.remove()
    return found


def rows_of(planted: Planted, relation: int, value: int) -> Int[Tensor, "row pos"]:
    """The sentences on the cities of a value."""
    cities = planted.plan.world.relations[relation].cities(value)
    return planted.sentences.ids[[relation * N_CITIES + city for city in cities]]


def swap(planted: Planted, relation: int, part: Part, one: int, other: int) -> Swap:
    """Swap the values' neurons of a part at the city."""
    mine, theirs = rows_of(planted, relation, one), rows_of(planted, relation, other)
    own = planted.places[Role(relation, part, one)]
    others = planted.places[Role(relation, part, other)]
    off = Setting(own, torch.zeros(len(own)), CITY)
    on = Setting(others, activations(planted, theirs, others, CITY).mean(0), CITY)
    first, second = (planted.answer_id(relation, value) for value in (one, other))
    before, ablated = (logits(planted, mine, settings) for settings in ((), (off,)))
    doses = [(off, on._replace(values=factor * on.values)) for factor in DOSES]
    dosed = torch.stack([logits(planted, mine, settings) for settings in doses])
    moved = dosed[DOSES.index(1)] - before
    says = planted.places.get(Role(relation, "answer", one), ())
    left = [activations(planted, mine, says, END, s).sum(1) for s in ((off,), ())] if says else []
    return Swap(
        ablated_top=ablated.argmax(-1),
        answering=left[0] / left[1] if left else torch.ones(len(mine)),
        swapped_top=dosed[DOSES.index(1)].argmax(-1),
        rise=moved[:, second] - moved[:, first],
        dosed=dosed.log_softmax(-1)[..., second],
    )


def answered(planted: Planted, relation: int) -> list[int]:
    """The values all of whose cities get their answer."""

    def is_answered(value: int) -> bool:
        top = logits(planted, rows_of(planted, relation, value)).argmax(-1)
        return bool((top == planted.answer_id(relation, value)).all())

    return [value for value in range(N_VALUES) if is_answered(value)]


def does_swap(planted: Planted, relation: int, found: Swap, one: int, other: int) -> bool:
    """Whether everything that true claims state is so on every city of the one.

    Ablation takes the answer away and quiets its neurons; the swap puts the other's answer first,
    and every dose of it makes that answer likelier.
    """
    lost = (found.ablated_top != planted.answer_id(relation, one)) & (found.answering < QUIET)
    won = found.swapped_top == planted.answer_id(relation, other)
    return bool(lost.all()) and bool(won.all()) and bool((found.dosed.diff(dim=0) > 0).all())


def does_carry(planted: Planted, relation: int, found: HeadSwap, one: int, other: int) -> bool:
    """Whether everything that true claims state of the movers is so on every city of the one.

    Without them, and without their look at the city, the answer goes; swapped, the other's comes
    first; what they carry comes of the value neurons, and their look of the askers.
    """
    own = planted.answer_id(relation, one)
    lost = (found.ablated_top != own) & (found.blind_top != own) & (found.left < QUIET)
    won = found.swapped_top == planted.answer_id(relation, other)
    return bool((lost & won & (found.look_lost > LEAST_LOOK).all(1)).all())


def gap(planted: Planted, relation: int, one: int, other: int) -> float:
    """Least logit(one's answer) − logit(other's), over the cities of the one."""
    found = logits(planted, rows_of(planted, relation, one))
    first, second = (planted.answer_id(relation, value) for value in (one, other))
    return float((found[:, first] - found[:, second]).min())
